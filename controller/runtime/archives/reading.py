"""Reading an archive from its beginning to its end: what is in it, and what is wrong with it."""

import gzip
import hashlib
import json
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from controller.runtime.archives.names import Entry
from controller.runtime.documents import INDEXES
from controller.runtime.platforms import platform_of
from controller.runtime.port import ImageDamaged, ImageFailure, Unsupported

_MOST_BYTES: Final = 4 << 20
"""A document larger than this is none (OCI distribution-spec: the largest manifest that a registry must take)."""

_CHUNK: Final = 1 << 20

_PACKED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
"""How packed files begin."""


@dataclass(slots=True)
class Archive:
    """What an archive holds."""

    entries: list[Entry] = field(default_factory=list)
    """Its images, as descriptors of the OCI image-spec."""
    documents: dict[str, Any] = field(default_factory=dict)
    """Indexes, manifests and configs, by digest."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of all that is in it, by digest."""


def open_archive(path: str) -> IO[bytes]:
    """Open the file, whatever is in it. Raises `ImageFailure`, also for a pipe: to read from one may take for ever."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ImageFailure(f"archive {path} cannot be read: it is no regular file")
        return Path(path).open("rb")
    except OSError as exc:
        raise ImageFailure(f"archive {path} cannot be read: {exc.strerror}") from exc


def read(path: str) -> Archive:
    """Read an archive, packed by gzip or not at all.

    Raises:
        ImageFailure: when it is no archive of images, or a broken one; `ImageDamaged`.
        Unsupported: when it is packed by zstd, which Python has no means to read.
    """
    try:
        with open_archive(path) as file:
            return _Reader(path).read(_unpacked(file, path))
    except EOFError as exc:
        raise _cut(path) from exc
    except (OSError, zlib.error) as exc:  # an OSError also of what is no gzip inside
        raise ImageFailure(f"archive {path} cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    except (KeyError, TypeError, AttributeError) as exc:
        raise ImageFailure(f"archive {path} is not made as archives of images are ({type(exc).__name__}: {exc})") from exc


def _cut(path: str) -> ImageFailure:
    return ImageFailure(f"archive {path} ends in its middle: it was not written, or not copied, to its end")


def _unpacked(file: IO[bytes], path: str) -> IO[bytes]:
    begin = file.read(8)
    file.seek(0)
    packed = next((name for magic, name in _PACKED.items() if begin.startswith(magic)), "")
    if packed == "zstd":
        raise Unsupported(f"archive {path} is packed by zstd")
    if packed == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if packed:
        raise ImageFailure(f"archive {path} is packed by {packed}: only gzip and zstd are read")
    return file


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path
        self._files: dict[str, str] = {}
        """Digests of the members, by name."""
        self._links: dict[str, str] = {}
        self._archive = Archive()

    def read(self, file: IO[bytes]) -> Archive:
        try:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for member in tar:
                    self._take(tar, member)
        except tarfile.ReadError as exc:
            begun = self._files or "unexpected end" in str(exc)
            raise (_cut(self._path) if begun else ImageFailure(f"archive {self._path} is no tar file")) from exc
        if "oci-layout" in self._files:
            self._of_layout()
        elif "manifest.json" in self._files:
            self._of_docker()
        else:
            old = "repositories" in self._files or any(name.endswith("/VERSION") for name in self._files)
            raise ImageFailure(
                f"archive {self._path} "
                + (
                    "is of a Docker before 1.10 (image spec v1), which is not supported: have it saved anew"
                    if old
                    else "is a tar file, but no archive of images: it has neither oci-layout nor manifest.json"
                )
            )
        return self._archive

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = posixpath.normpath(member.name)
        if member.issym():
            self._links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        source = tar.extractfile(member) if member.isreg() else None
        if source is None:
            return
        kind, _, wanted = name.removeprefix("blobs/").partition("/")
        named = name.startswith("blobs/") and kind in {"sha256", "sha512"}
        hashed = hashlib.new(kind if named else "sha256")
        document = bytearray()
        while part := source.read(_CHUNK):
            hashed.update(part)
            if member.size <= _MOST_BYTES:
                document += part
        if named and hashed.hexdigest() != wanted:
            raise ImageDamaged(f"archive {self._path}: its part {kind}:{wanted} is not what its digest says")
        digest = f"{hashed.name}:{hashed.hexdigest()}"
        self._files[name] = digest
        self._archive.sizes[digest] = member.size
        if document.startswith((b"{", b"[")):
            try:
                self._archive.documents[digest] = json.loads(document)
            except ValueError:
                return  # a layer, or no document; whoever needs it misses it

    def _of_layout(self) -> None:
        index = self._document(self._files.get("index.json", ""), "index.json")
        self._archive.entries = list(index.get("manifests", ()))
        for entry in self._archive.entries:
            if entry.get("mediaType") not in INDEXES:
                self._check(self._document(entry["digest"], entry["digest"]))

    def _check(self, manifest: Mapping[str, Any]) -> None:
        """That all is there which a manifest names."""
        for blob in (manifest.get("config", {}), *manifest.get("layers", ())):
            if blob.get("digest") not in self._archive.sizes:
                raise ImageDamaged(f"archive {self._path} lacks a part of an image: {blob.get('digest')}")

    def _of_docker(self) -> None:
        listed = self._document(self._files["manifest.json"], "manifest.json", list)
        for image in listed:
            config = self._descriptor(image["Config"], "application/vnd.docker.container.image.v1+json")
            layers = [self._descriptor(name, "application/vnd.docker.image.rootfs.diff.tar") for name in image["Layers"]]
            kind = "application/vnd.docker.distribution.manifest.v2+json"
            manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}
            data = json.dumps(manifest, separators=(",", ":")).encode()
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            self._archive.documents[digest], self._archive.sizes[digest] = manifest, len(data)
            own = platform_of(self._document(config["digest"], image["Config"]))
            platform = {"os": own.os, "architecture": own.architecture, "variant": own.variant}
            entry = {"mediaType": kind, "digest": digest, "size": len(data), "platform": platform}
            named = [{**entry, "annotations": {"io.containerd.image.name": tag}} for tag in image.get("RepoTags") or ()]
            self._archive.entries += named or [entry]

    def _descriptor(self, name: str, media_type: str) -> dict[str, Any]:
        member = posixpath.normpath(name)
        digest = self._files.get(self._links.get(member, member))
        if digest is None:
            raise ImageDamaged(f"archive {self._path} lacks a part of an image: {name}")
        return {"mediaType": media_type, "digest": digest, "size": self._archive.sizes[digest]}

    def _document(self, digest: str, name: str, kind: type = dict) -> Any:
        found = self._archive.documents.get(digest)
        if not isinstance(found, kind):
            there = digest in self._archive.sizes
            raise ImageDamaged(f"archive {self._path}: {name} is {'no document' if there else 'not in it'}")
        return found
