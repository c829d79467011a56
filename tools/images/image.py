"""Images as values: layers and a configuration, in either of the two manifest formats that are in use."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from tools.images.layers import Blob, Layer

EPOCH = datetime.fromtimestamp(0, UTC)

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's words, which image configs use, by those of uname."""


class Format(Enum):
    """The media types of manifest, config and layer."""

    OCI = (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
    )
    DOCKER = (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    )


@dataclass(frozen=True)
class Image:
    """An image for the machine's own architecture."""

    name: str
    tag: str
    layers: Sequence[Layer]
    config: dict[str, object] = field(default_factory=dict)
    """The `config` part of the image configuration: Cmd, Entrypoint, Env, User, WorkingDir, StopSignal, Labels."""
    format: Format = Format.OCI
    created: datetime = EPOCH

    @property
    def media_type(self) -> str:
        """The media type of the manifest."""
        return self.format.value[0]

    @property
    def configuration(self) -> Blob:
        """The image configuration (OCI image spec, config.md)."""
        machine = platform.machine()
        return _json(
            {
                "created": f"{self.created:%Y-%m-%dT%H:%M:%SZ}",
                "architecture": ARCHITECTURES.get(machine, machine),
                "os": "linux",
                "config": self.config,
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
            }
        )

    @property
    def manifest(self) -> Blob:
        """The image manifest (OCI image spec, manifest.md; Docker's schema 2 differs in the media types alone)."""
        media_type, config_type, layer_type = self.format.value
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": media_type,
                "config": _descriptor(config_type, self.configuration),
                "layers": [_descriptor(layer_type, layer.blob) for layer in self.layers],
            }
        )

    @property
    def blobs(self) -> list[Blob]:
        """All that the manifest refers to."""
        return [self.configuration, *(layer.blob for layer in self.layers)]


def _descriptor(media_type: str, blob: Blob) -> dict[str, object]:
    return {"mediaType": media_type, "digest": blob.digest, "size": len(blob.data)}


def _json(value: object) -> Blob:
    return Blob(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
