"""`moorage image ls`: the images of this node, as they are now."""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from controller.cli.errors import finish
from controller.cli.image.local import Found, Local, look
from controller.cli.image.options import Output
from controller.cli.image.rows import as_json, columns
from controller.cli.options import DEFAULT_CONTAINERD, DEFAULT_STATE_DIR, Containerd, StateDir, open_runtime
from controller.cli.table import GAP, Narrowing, table
from controller.runtime.port import Runtime

EXAMPLES: Final = """
[bold]Examples[/]

moorage image ls

moorage image ls -o wide

moorage image ls -o json | jq -r '.[] | select(.complete | not) | .name'
"""

NARROWING: Final = Narrowing(cut="NAME", least=24, drop=("PLATFORM", "AGE", "DIGEST"))
COLOURED: Final = "SIZE"


def ls(
    context: typer.Context,
    output: Annotated[Output, typer.Option("--output", "-o", help="table, wide, or json for machines.")] = Output.TABLE,
    containerd: Containerd = DEFAULT_CONTAINERD,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """List the images of this node.

    SIZE is that of the content as the registry sends it, and incomplete when
    a part is missing or is for another platform: pull it to mend that. AGE is
    since the name came to mean this digest here. USED BY counts containers,
    instances that name it without having one, and says pinned when a
    ContainerImage keeps it.
    """
    found = finish(_look(open_runtime(context, containerd), state_dir))
    for note in found.notes:
        typer.echo(f"moorage: {note}", err=True)
    if output is Output.JSON:
        typer.echo(json.dumps([as_json(local) for local in found.images], indent=2))
    elif found.images:
        terminal, wide = sys.stdout.isatty(), output is Output.WIDE
        width = shutil.get_terminal_size().columns if terminal and not wide else None
        for line in render(found.images, time.time(), width, wide=wide, colour=terminal):
            print(line)
    else:
        typer.echo("moorage: no images on this node", err=True)


def render(listed: Sequence[Local], now: float, width: int | None, *, wide: bool = False, colour: bool = False) -> list[str]:
    """The lines of the table; it fits into `width` characters unless that is None."""
    cells = [columns(local, now, wide=wide) for local in listed]
    header, *lines = table(list(cells[0]), [list(c.values()) for c in cells], width, NARROWING)
    names = [name.strip() for name in header]
    if colour and COLOURED in names:
        at = names.index(COLOURED)
        for local, line in zip(listed, lines, strict=True):
            if local.state is None:
                line[at] = typer.style(line[at], fg="red")
    return [(" " * GAP).join(line) for line in (header, *lines)]


async def _look(runtime: Runtime, state_dir: StateDir) -> Found:
    try:
        return await look(runtime, state_dir)
    finally:
        await runtime.close()
