"""Why an import failed: by looking into the file, which tells more than containerd does, and by what containerd says."""

import re
from typing import Final

from controller.runtime import archives
from controller.runtime.platforms import node_platform
from controller.runtime.port import (
    DiskFull,
    ImageDamaged,
    ImageFailure,
    PlatformMissing,
    RuntimeFailure,
    Unavailable,
    Unsupported,
)

_FULL: Final = re.compile(r"no space left on device|disk quota exceeded")

_SAID: Final = (
    (
        re.compile(r"unexpected EOF|missing index\.json"),
        ImageFailure,
        "it ends in its middle: it was not written, or not copied, to its end",
    ),
    (re.compile(r"filtered out"), PlatformMissing, "it has nothing for this node's platform"),
    (re.compile(r"unrecognized image format"), ImageFailure, "it is a tar file, but no archive of images"),
    (re.compile(r"invalid tar header|magic number mismatch|invalid header"), ImageFailure, "it is no tar file"),
    (re.compile(r"schema ?1 "), ImageFailure, "it has a manifest of Docker schema 1, which is not supported"),
    (re.compile(r"wrong diff id|unexpected commit|checksum"), ImageDamaged, "a part of it is not what its digest says"),
    (re.compile(r"not found"), ImageDamaged, "it lacks a part of an image, or has it damaged"),
)
"""Texts of containerd and of Go's archive/tar, for files that are not looked into."""


def import_failure(failure: RuntimeFailure, path: str, name: str) -> RuntimeFailure:
    """What a failure to import an archive means. Reads the file, so it is for a thread.

    Args:
        failure: as containerd told it.
        path: of the archive.
        name: for the one image that is in it; empty: as they are called there.
    """
    text = str(failure)
    if isinstance(failure, Unavailable):
        return failure
    if _FULL.search(text):
        return DiskFull(f"archive {path}: no room on the node's disk: free some, or give containerd's folder a larger one")
    try:
        archives.images_of(archives.read(path).entries, name, node_platform(), path)
    except Unsupported:
        pass
    except ImageFailure as found:
        return found
    for said, kind, meaning in _SAID:
        if said.search(text):
            return kind(f"archive {path}: {meaning} ({text})")
    return ImageFailure(f"archive {path}: {text}")
