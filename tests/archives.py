"""Archives of test images: as Docker writes them, as an image layout, and broken ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.images import Image

Files = dict[str, bytes]
"""The members of an archive, by name and in order."""

INDEX = "application/vnd.oci.image.index.v1+json"


def tar(files: Mapping[str, bytes]) -> bytes:
    """A tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def docker(*images: tuple[Image, Sequence[str]]) -> Files:
    """What `docker save` writes of images with their tags: layers as they are unpacked, and no manifest of a registry."""
    files: Files = {}
    listed = []
    for image, tags in images:
        config = image.configuration
        name = f"{config.digest.removeprefix('sha256:')}.json"
        files[name] = config.data
        layers = []
        for layer in image.layers:
            path = f"{layer.diff_id.removeprefix('sha256:')}/layer.tar"
            files[path] = gzip.decompress(layer.blob.data)
            layers.append(path)
        listed.append({"Config": name, "RepoTags": list(tags) or None, "Layers": layers})
    files["manifest.json"] = json.dumps(listed).encode()
    return files


def layout(*images: tuple[Image, Mapping[str, str]], platform: Mapping[str, str] | None = None) -> Files:
    """An image layout of images with the annotations of their entries."""
    files: Files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    entries = []
    for image, said in images:
        for blob in (image.manifest, *image.blobs):
            files[blob_path(blob.digest)] = blob.data
        entries.append(
            {
                "mediaType": image.media_type,
                "digest": image.manifest.digest,
                "size": len(image.manifest.data),
                "annotations": dict(said),
            }
            | ({"platform": dict(platform)} if platform else {})
        )
    return files | {"index.json": index(entries)}


def index(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """An index of descriptors."""
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


def nested(files: Files, annotations: Mapping[str, str]) -> Files:
    """The layout whose own index names that of another one, as a build for several platforms writes it."""
    inner = files["index.json"]
    digest = f"sha256:{hashlib.sha256(inner).hexdigest()}"
    entry = {"mediaType": INDEX, "digest": digest, "size": len(inner), "annotations": dict(annotations)}
    return files | {blob_path(digest): inner, "index.json": index([entry])}


def blob_path(digest: str) -> str:
    """Where a layout has a part."""
    return f"blobs/{digest.replace(':', '/')}"


def packed(path: Path, data: bytes, by: str = "") -> str:
    """Write a file, packed by a program or not at all; returns its path."""
    if by:
        data = subprocess.run([by, "-c"], input=data, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    path.write_bytes(data)
    return str(path)
