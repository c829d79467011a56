"""Writing an OCI archive that Docker reads, too: beside its place, under which it appears when it is whole.

Nothing in it tells of time or place, so that the same images make the same file.
"""

import errno
import json
import os
import secrets
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from controller.runtime.archives.names import IMAGE_NAME, REF_NAME
from controller.runtime.port import DiskFull, ImageFailure
from controller.runtime.reference import Reference

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_INDEX: Final = "application/vnd.oci.image.index.v1+json"

Descriptor = Mapping[str, Any]
"""Of the OCI image-spec: mediaType, digest, size."""


class ArchiveWriter:
    """An archive that is being written; as a context manager nothing is left of it unless `finish` was called.

    Its calls wait for the disk. They raise `DiskFull`, or another `ImageFailure` that names the file.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._unfinished = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        self._left = self._padding = 0

    def __enter__(self) -> Self:
        try:
            self._file = self._unfinished.open("xb")
        except OSError as exc:
            raise self._failure(exc) from exc
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):  # what was not written is not wanted any more
            self._file.close()
        self._unfinished.unlink(missing_ok=True)

    def put(self, name: str, document: Any) -> None:
        """Write a file of JSON."""
        data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        self.begin(name, len(data))
        self.write(data)

    def begin(self, name: str, size: int) -> None:
        """Begin a file, whose bytes are written next."""
        self._end()
        header = tarfile.TarInfo(name)
        header.size, header.mode = size, 0o444
        self._left, self._padding = size, -size % tarfile.BLOCKSIZE
        self._write(header.tobuf(tarfile.PAX_FORMAT))

    def write(self, data: bytes) -> None:
        """Write bytes of the file that was begun."""
        if len(data) > self._left:
            raise ImageFailure(f"archive {self._path}: a file in it is longer than was said")
        self._left -= len(data)
        self._write(data)
        if not self._left:
            self._write(bytes(self._padding))

    def finish(self) -> None:
        """Let it appear in its place, in place of what was there."""
        self._end()
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._unfinished.replace(self._path)
        except OSError as exc:
            raise self._failure(exc) from exc

    def _end(self) -> None:
        if self._left:
            raise ImageFailure(f"archive {self._path}: a file in it is shorter than was said")

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as exc:
            raise self._failure(exc) from exc

    def _failure(self, exc: OSError) -> ImageFailure:
        if exc.errno in _FULL:
            return DiskFull(f"archive {self._path}: no room on its disk: free some, or write it elsewhere")
        return ImageFailure(f"archive {self._path} cannot be written: {exc.strerror}")


def blob_name(digest: str) -> str:
    """Where a part is in an image layout."""
    return f"blobs/{digest.replace(':', '/', 1)}"


def index_of(images: Sequence[tuple[Reference, Descriptor]]) -> Mapping[str, Any]:
    """The `index.json` of images by their names, in full as containerd and Docker read them, and by tag as others do."""
    manifests = []
    for name, target in images:
        annotations = {IMAGE_NAME: str(name)} | ({REF_NAME: name.tag} if name.tag else {})
        manifests.append({**target, "annotations": annotations})
    return {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}


def docker_images(images: Sequence[tuple[Reference, Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """The `manifest.json` by which Docker reads them, from the manifests for one platform. It has no names with a digest."""
    found: dict[str, dict[str, Any]] = {}
    for name, manifest in images:
        config = blob_name(manifest["config"]["digest"])
        layers = [blob_name(layer["digest"]) for layer in manifest["layers"]]
        image = found.setdefault(config, {"Config": config, "RepoTags": [], "Layers": layers})
        if name.tag and not name.digest:
            image["RepoTags"].append(name.familiar)
    return list(found.values())
