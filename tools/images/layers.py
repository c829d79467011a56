"""Image layers: file trees as gzipped tar archives that come out the same every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """A regular file."""

    content: bytes
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Folder:
    """A folder; those above a path need not be named, they are made with the defaults."""

    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


Entry = File | Folder | Link
Tree = Mapping[str, Entry]
"""Entries by path from the root, without a leading slash."""


@dataclass(frozen=True)
class Blob:
    """Content with its digest, as registries and layouts keep it."""

    data: bytes

    @property
    def digest(self) -> str:
        """The digest in the form of OCI descriptors."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"


@dataclass(frozen=True)
class Layer:
    """A layer as it is stored, and the digest of what it unpacks to, which image configs list (`diff_ids`)."""

    blob: Blob
    diff_id: str


def make_layer(tree: Tree, *, level: int = 6) -> Layer:
    """Pack a tree, with gzip's level. Times are 0 and the order is that of the paths, so the digest depends on these alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, entry in sorted(_with_parents(tree).items()):
            _add(archive, path, entry)
    raw = buffer.getvalue()
    return Layer(Blob(gzip.compress(raw, compresslevel=level, mtime=0)), Blob(raw).digest)


def _with_parents(tree: Tree) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for path in tree:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            entries["/".join(parts[:depth])] = Folder()
    return entries | dict(tree)


def _add(archive: tarfile.TarFile, path: str, entry: Entry) -> None:
    info = tarfile.TarInfo(path)
    match entry:
        case File(content, mode, (uid, gid)):
            info.size, info.mode, info.uid, info.gid = len(content), mode, uid, gid
            archive.addfile(info, io.BytesIO(content))
        case Folder(mode, (uid, gid)):
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, uid, gid
            archive.addfile(info)
        case Link(target):
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(info)
