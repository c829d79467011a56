"""How an image is told to people and to machines. Pure."""

from dataclasses import asdict
from typing import Any, Final

from controller.api.conditions import timestamp
from controller.api.people import duration_text, size_text
from controller.cli.image.local import Local
from controller.cli.image.uses import Uses
from controller.cli.rows import short_image
from controller.runtime.port import ImageConfig, ImageState

_SHORT_DIGEST: Final = 12
_CONFIG: Final = {
    "entrypoint": "Entrypoint",
    "cmd": "Cmd",
    "env": "Env",
    "working_dir": "WorkingDir",
    "user": "User",
    "stop_signal": "StopSignal",
}
"""The words of OCI image-spec, config.md."""


def columns(local: Local, now: float, *, wide: bool) -> dict[str, str]:
    """The cells of an image by the name of their column."""
    name, state = local.name, local.state
    return {
        "NAME": name.name if wide else short_image(name.name),
        "DIGEST": name.digest if wide else short_digest(name.digest),
        "PLATFORM": (state.platform or "-") if state else "-",
        "SIZE": size_text(state.size) if state else "incomplete",
        "AGE": duration_text(now - name.since) if name.since else "-",
        "USED BY": local.uses.summary,
    }


def short_digest(digest: str) -> str:
    """Its first 12 digits, by which it can be named, too."""
    return digest.partition(":")[2][:_SHORT_DIGEST]


def as_json(local: Local) -> dict[str, Any]:
    """An image for machines; what is not known is null."""
    state = local.state
    return {
        "name": local.name.name,
        "digest": local.name.digest,
        "complete": state is not None,
        "platform": (state.platform or None) if state else None,
        "size": state.size if state else None,
        "since": timestamp(local.name.since) if local.name.since else None,
        "createdAt": timestamp(state.created_at) if state and state.created_at is not None else None,
        "usedBy": _used_by(local.uses),
    }


def inspected(local: Local, state: ImageState | None) -> dict[str, Any]:
    """All that is known of an image; `state` with its config."""
    return as_json(Local(local.name, state, local.uses)) | {
        "layers": list(state.layers) if state else None,
        "config": _config(state.config) if state else None,
    }


def _config(config: ImageConfig) -> dict[str, Any]:
    return {
        _CONFIG[name]: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items() if value
    }


def _used_by(uses: Uses) -> dict[str, Any]:
    return {
        "containers": list(uses.containers),
        "instances": list(uses.instances),
        "pinnedBy": list(uses.pinned_by),
    }
