"""What registries are shown by this node: from options to credentials."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from controller.agent.credentials.plugins import Plugin


def config_file(given: Path | None, state_dir: Path) -> Path:
    """The node's file with credentials: the given one, or that of the state folder."""
    return (given or state_dir / "config.json").absolute()


def providers(config: Path | None, folder: Path | None) -> "tuple[Plugin, ...]":
    """The plugins that are asked for credentials.

    Raises:
        typer.BadParameter: when they cannot be used.
    """
    from controller.agent.credentials.plugins import load

    if (config is None) != (folder is None):
        both = "--image-credential-provider-config and --image-credential-provider-bin-dir"
        raise typer.BadParameter("one needs the other", param_hint=both)
    if config is None or folder is None:
        return ()
    try:
        return load(config.absolute(), folder.absolute())
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--image-credential-provider-config") from exc
