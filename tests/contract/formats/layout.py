"""Images of our own making, byte by byte: layers as tar archives with explicit whiteouts, manifests of every kind."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.images.image import ARCHITECTURES

MACHINE = ARCHITECTURES.get(platform.machine(), platform.machine())

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MANIFEST = {"oci": f"{OCI}manifest.v1+json", "docker": f"{DOCKER}distribution.manifest.v2+json"}
INDEX = {"oci": f"{OCI}index.v1+json", "docker": f"{DOCKER}distribution.manifest.list.v2+json"}
CONFIG = {"oci": f"{OCI}config.v1+json", "docker": f"{DOCKER}container.image.v1+json"}
LAYER = {
    ("oci", ""): f"{OCI}layer.v1.tar",
    ("oci", "gzip"): f"{OCI}layer.v1.tar+gzip",
    ("oci", "zstd"): f"{OCI}layer.v1.tar+zstd",
    ("docker", ""): f"{DOCKER}image.rootfs.diff.tar",
    ("docker", "gzip"): f"{DOCKER}image.rootfs.diff.tar.gzip",
    ("docker", "zstd"): f"{DOCKER}image.rootfs.diff.tar.zstd",
}
"""Media types of OCI image-spec (media-types.md) and of Docker's distribution."""


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True, timeout=60).stdout


COMPRESSED: Mapping[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "gzip": lambda data: gzip.compress(data, 6, mtime=0),
    "zstd": _zstd,
}


@dataclass(frozen=True)
class Blob:
    """Content, and what it is."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        """Its name."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    @property
    def descriptor(self) -> dict[str, object]:
        """What refers to it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


def archive(root: Path, names: Sequence[str], whiteouts: Sequence[str] = ()) -> bytes:
    """A layer: some files of a tree with their attributes, and what it hides of the layers below (OCI image-spec, layer.md)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for whiteout in whiteouts:
            tar.addfile(tarfile.TarInfo(whiteout))
        for name in names:
            entry = tar.gettarinfo(root / name, name)
            if not (root / name).is_symlink():
                attributes = {key: os.getxattr(root / name, key) for key in os.listxattr(root / name)}
                entry.pax_headers = {f"SCHILY.xattr.{key}": value.decode("ascii") for key, value in attributes.items()}
            with (root / name).open("rb") if entry.isreg() else io.BytesIO() as content:
                tar.addfile(entry, content)
    return out.getvalue()


EMPTY = archive(Path("/"), ())
"""A layer without anything in it."""


def image(
    layers: Sequence[bytes],
    kind: str,
    compression: str,
    *,
    history: Sequence[Mapping[str, Any]] | None = None,
    os_: str = "linux",
) -> list[Blob]:
    """An image's blobs, its manifest last."""
    packed = [Blob(LAYER[kind, compression], COMPRESSED[compression](layer)) for layer in layers]
    config: dict[str, Any] = {
        "architecture": MACHINE if os_ == "linux" else "unknown",
        "os": os_,
        "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]},
    }
    if history is not None:
        config["history"] = list(history)
    described = _json(CONFIG[kind], config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST[kind],
        "config": described.descriptor,
        "layers": [layer.descriptor for layer in packed],
    }
    return [*packed, described, _json(MANIFEST[kind], manifest)]


def index(manifests: Sequence[tuple[Blob, Mapping[str, str]]], kind: str) -> Blob:
    """An index (Docker: a manifest list) of manifests, each for a platform."""
    entries = [manifest.descriptor | {"platform": dict(for_)} for manifest, for_ in manifests]
    return _json(INDEX[kind], {"schemaVersion": 2, "mediaType": INDEX[kind], "manifests": entries})


def push(host: str, name: str, blobs: Sequence[Blob], tag: str = "") -> None:
    """Put blobs into a registry, and the last one as manifest, by its digest or a tag."""
    for blob in blobs[:-1]:
        with _request("POST", f"http://{host}/v2/{name}/blobs/uploads/") as answer:
            place = answer.headers["Location"]
        _request("PUT", f"{place}&digest={blob.digest}", blob.data, "application/octet-stream").close()
    last = blobs[-1]
    _request("PUT", f"http://{host}/v2/{name}/manifests/{tag or last.digest}", last.data, last.media_type).close()


def _request(method: str, url: str, data: bytes | None = None, media_type: str = "") -> Any:
    headers = {"Content-Type": media_type} if media_type else {}
    return urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=30)


def _json(media_type: str, value: object) -> Blob:
    return Blob(media_type, json.dumps(value).encode())
