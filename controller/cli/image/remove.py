"""`moorage image rm`: remove images by name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from controller.cli.errors import CommandError, finish
from controller.cli.image import find
from controller.cli.image.local import Found, Local, look
from controller.cli.image.options import ImageRefs, Result, ResultOutput
from controller.cli.image.uses import refusal
from controller.cli.options import DEFAULT_CONTAINERD, DEFAULT_STATE_DIR, Containerd, StateDir, open_runtime
from controller.runtime.port import Runtime

EXAMPLES: Final = """
[bold]Examples[/]

moorage image rm nginx:1.26

moorage image rm 5f3a9c1d2e4b --force
"""


@dataclass(frozen=True, slots=True)
class Order:
    """One of the images that were named: what it is, or why it stays."""

    text: str
    local: Local | None
    problem: str = ""


def rm(
    context: typer.Context,
    images: ImageRefs,
    force: Annotated[bool, typer.Option("--force", "-f", help="Also what is used or pinned.")] = False,
    output: ResultOutput = Result.TEXT,
    containerd: Containerd = DEFAULT_CONTAINERD,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Remove images from this node, by name.

    The room is free when the command ends, as far as nothing else needs the
    content: other names, other images with the same layers, containers.

    What a container was made of, an instance names or a ContainerImage pins
    stays, with a word about who that is and exit code 1; --force removes it.
    """
    orders = finish(_rm(open_runtime(context, containerd), state_dir, images, force=force))
    told = [{"image": o.text, "name": o.local.name.name if o.local else None, "error": o.problem or None} for o in orders]
    if output is Result.JSON:
        typer.echo(json.dumps(told, indent=2))
    for order in orders:
        if order.problem:
            typer.echo(f"moorage: {order.problem}", err=True)
        elif order.local is not None and output is Result.TEXT:
            typer.echo(f"removed {order.local.name.name}")
    if any(order.problem for order in orders):
        raise typer.Exit(1)


def decide(texts: Sequence[str], found: Found, *, force: bool) -> list[Order]:
    """What of the images that were named may go. Pure."""
    locals_ = {local.name: local for local in found.images}
    orders = []
    for text in texts:
        try:
            local = locals_[find.image(text, tuple(locals_))]
        except CommandError as exc:
            orders.append(Order(text, None, str(exc)))
            continue
        problem = refusal(local.name.name, local.uses)
        if problem is None and not found.pins_known:
            problem = f"{local.name.name} may be pinned: {found.notes[-1]}; --force removes it all the same"
        orders.append(Order(text, local, "" if force or problem is None else problem))
    return orders


async def _rm(runtime: Runtime, state_dir: Path, images: Sequence[str], *, force: bool) -> list[Order]:
    try:
        orders = decide(images, await look(runtime, state_dir), force=force)
        await removed(runtime, [order.local for order in orders if order.local is not None and not order.problem])
    finally:
        await runtime.close()
    return orders


async def removed(runtime: Runtime, images: Sequence[Local]) -> None:
    """Remove them, and wait for the room once, with the last."""
    names = list(dict.fromkeys(local.name.name for local in images))
    for name in names:
        await runtime.remove_image(name, wait=name == names[-1])
