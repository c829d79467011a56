"""Archives of the runtime in memory: real files, so that one runtime reads what the other wrote.

A simulated image has no files: what is written of it has one layer, in which there is nothing, and so another digest.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from controller.runtime import archives
from controller.runtime.archives import Archive, ArchiveWriter, Named, blob_name, docker_images, index_of
from controller.runtime.documents import INDEXES, created_at, image_config
from controller.runtime.platforms import choose, node_platform, offers, platform_of, runs
from controller.runtime.port import ImageDamaged, ImageState, PlatformMissing
from controller.runtime.reference import Reference

_KIND: Final = "application/vnd.oci.image"
_EMPTY: Final = bytes(1024)
"""A tar file with nothing in it."""


def load(path: str, name: str) -> tuple[ImageState, ...]:
    """The images of an archive; `name` for the one that is in it. Raises as `archives.read` and `archives.images_of`."""
    archive = archives.read(path)
    return tuple(_state(archive, one, path) for one in archives.images_of(archive.entries, name, node_platform(), path))


def _state(archive: Archive, named: Named, path: str) -> ImageState:
    digest, entry = named.entry["digest"], named.entry
    document = _document(archive, digest, path)
    size = archive.sizes[digest]
    if entry.get("mediaType") in INDEXES:
        chosen = choose(document["manifests"], node_platform())
        if chosen is None:
            raise _missing(path, named.name, ", ".join(map(str, offers(document["manifests"]))))
        document = _document(archive, chosen["digest"], path)
        size += archive.sizes[chosen["digest"]]
    config = _document(archive, document["config"]["digest"], path)
    if not runs(platform_of(config), node_platform()):
        raise _missing(path, named.name, str(platform_of(config)))
    parts = (document["config"]["digest"], *(layer["digest"] for layer in document["layers"]))
    return ImageState(
        named.name,
        digest,
        size + sum(archive.sizes[part] for part in parts),
        image_config(config),
        platform=str(platform_of(config)),
        created_at=created_at(config.get("created")),
        layers=parts[1:],
    )


def _document(archive: Archive, digest: str, path: str) -> Mapping[str, Any]:
    found = archive.documents.get(digest)
    if not isinstance(found, dict):
        raise ImageDamaged(f"archive {path} lacks a part of an image: {digest}")
    return found


def _missing(path: str, name: str, found: str) -> PlatformMissing:
    return PlatformMissing(
        f"archive {path}: image {name} has nothing for this node's platform {node_platform()}; it has {found}"
    )


def save(images: Sequence[tuple[Reference, ImageState]], path: str) -> None:
    """Write images into an archive."""
    blobs: dict[str, bytes] = {}

    def add(kind: str, data: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        blobs[digest] = data
        return {"mediaType": f"{_KIND}.{kind}", "digest": digest, "size": len(data)}

    manifests = []
    for name, image in images:
        layer = add("layer.v1.tar", _EMPTY)
        config = add("config.v1+json", json.dumps(_config(image, layer["digest"])).encode())
        manifests.append(
            (name, {"schemaVersion": 2, "mediaType": f"{_KIND}.manifest.v1+json", "config": config, "layers": [layer]})
        )
    targets = [(name, add("manifest.v1+json", json.dumps(manifest).encode())) for name, manifest in manifests]
    with ArchiveWriter(path) as archive:
        archive.put("oci-layout", {"imageLayoutVersion": "1.0.0"})
        archive.put("index.json", index_of(targets))
        archive.put("manifest.json", docker_images(manifests))
        for digest, data in blobs.items():
            archive.begin(blob_name(digest), len(data))
            archive.write(data)
        archive.finish()


def _config(image: ImageState, layer: str) -> Mapping[str, Any]:
    how = image.config
    platform = dict(zip(("os", "architecture", "variant"), image.platform.split("/"), strict=False))
    created = {} if image.created_at is None else {"created": datetime.fromtimestamp(image.created_at, UTC).isoformat()}
    config = {
        "Entrypoint": how.entrypoint,
        "Cmd": how.cmd,
        "Env": how.env,
        "WorkingDir": how.working_dir,
        "User": how.user,
        "StopSignal": how.stop_signal,
    }
    return {**platform, **created, "config": config, "rootfs": {"type": "layers", "diff_ids": [layer]}}
