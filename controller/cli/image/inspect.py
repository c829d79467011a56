"""`moorage image inspect`: all that is known of some images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import typer

from controller.cli.errors import CommandError, finish
from controller.cli.image import find
from controller.cli.image.local import look
from controller.cli.image.options import ImageRefs
from controller.cli.image.rows import inspected
from controller.cli.options import DEFAULT_CONTAINERD, DEFAULT_STATE_DIR, Containerd, StateDir, open_runtime
from controller.runtime.port import ImageFailure, ImageState, NotFound, Runtime

EXAMPLES: Final = """
[bold]Examples[/]

moorage image inspect nginx:1.27

moorage image inspect nginx:1.27 | jq -r '.[0].config.Env[]'
"""


def inspect(
    context: typer.Context,
    images: ImageRefs,
    containerd: Containerd = DEFAULT_CONTAINERD,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Print all that is known of images, as a JSON list.

    Name, digest, platform, size, layers (of the compressed content, the lowest
    first), config in the words of the OCI image-spec, and who uses it. Those
    that are not here are told on stderr, with exit code 1; the others are
    printed all the same.
    """
    listed, missing = finish(_inspect(open_runtime(context, containerd), state_dir, images))
    typer.echo(json.dumps(listed, indent=2))
    for problem in missing:
        typer.echo(f"moorage: {problem}", err=True)
    if missing:
        raise typer.Exit(1)


async def _inspect(runtime: Runtime, state_dir: Path, images: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    listed: list[dict[str, Any]] = []
    missing: list[str] = []
    try:
        found = {local.name: local for local in (await look(runtime, state_dir)).images}
        for text in images:
            try:
                local = found[find.image(text, tuple(found))]
            except CommandError as exc:
                missing.append(str(exc))
            else:
                listed.append(inspected(local, await _state(runtime, local.name.name)))
    finally:
        await runtime.close()
    return listed, missing


async def _state(runtime: Runtime, name: str) -> ImageState | None:
    """An image with its config; None when it is not complete."""
    try:
        return await runtime.image(name)
    except (NotFound, ImageFailure):
        return None
