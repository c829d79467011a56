"""What the documents say that images consist of (OCI image-spec, and Docker's image spec, which differs little). Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from controller.runtime.port import ImageConfig

INDEXES: Final = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
"""Media types of what points at images for several platforms."""


def created_at(text: Any) -> float | None:
    """When an image was built (RFC 3339), in seconds since the epoch; None when it does not say, as by Go's zero time."""
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time.replace(tzinfo=time.tzinfo or UTC).timestamp() if time.year > 1 else None


def image_config(document: Mapping[str, Any]) -> ImageConfig:
    """The part of a config that says how to run it."""
    config = document.get("config") or {}
    return ImageConfig(
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        env=tuple(config.get("Env") or ()),
        working_dir=config.get("WorkingDir") or "",
        user=config.get("User") or "",
        stop_signal=config.get("StopSignal") or "",
    )
