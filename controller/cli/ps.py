"""`moorage ps`: the instances of this node and their containers, as they are now."""

import enum
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from controller.cli.errors import finish
from controller.cli.inventory import Inventory, read_state, take
from controller.cli.options import DEFAULT_CONTAINERD, DEFAULT_STATE_DIR, Containerd, StateDir, open_runtime
from controller.cli.rows import Row, as_json, columns, rows
from controller.cli.table import GAP, Narrowing, table
from controller.runtime.port import Runtime

EXAMPLES: Final = """
[bold]Examples[/]

moorage ps

moorage ps -o wide

moorage ps -o json | jq -r '.[] | select(.ready | not) | .instance'
"""

NARROWING: Final = Narrowing(cut="IMAGE", drop=("PID", "IMAGE", "AGE"))
COLOURED: Final = "STATUS"
_COLOURS: Final = {"running": "green", "waiting": "yellow", "created": "yellow", "paused": "yellow", "unknown": "red"}


class Output(enum.StrEnum):
    """How the list is written."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"


def ps(
    context: typer.Context,
    output: Annotated[Output, typer.Option("--output", "-o", help="table, wide, or json for machines.")] = Output.TABLE,
    containerd: Containerd = DEFAULT_CONTAINERD,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """List this node's instances and their containers.

    Asks the container runtime and the agent's state on disk, so it works
    while the API server, or even the agent, is away.

    What is wanted and has no container is Waiting. A container that no
    instance wants is (unwanted): the agent removes it once the API server has
    confirmed that. RESTARTS counts replacements by a changed spec, too.
    """
    found = finish(_look(open_runtime(context, containerd), state_dir))
    if not found.has_state:
        typer.echo(f"moorage: no agent keeps its state in {state_dir} (see --state-dir): what is wanted is not known", err=True)
    listed = rows(found)
    if output is Output.JSON:
        typer.echo(json.dumps([as_json(row) for row in listed], indent=2))
    elif listed:
        terminal, wide = sys.stdout.isatty(), output is Output.WIDE
        width = shutil.get_terminal_size().columns if terminal and not wide else None
        for line in render(listed, time.time(), width, wide=wide, colour=terminal):
            print(line)
    else:
        typer.echo("moorage: no instances on this node", err=True)


def render(listed: Sequence[Row], now: float, width: int | None, *, wide: bool = False, colour: bool = False) -> list[str]:
    """The lines of the table; it fits into `width` characters unless that is None."""
    cells = [columns(row, now, wide=wide) for row in listed]
    header, *lines = table(list(cells[0]), [list(c.values()) for c in cells], width, NARROWING)
    names = [name.strip() for name in header]
    if colour and COLOURED in names:
        at = names.index(COLOURED)
        for row, line in zip(listed, lines, strict=True):
            line[at] = typer.style(line[at], fg=_colour(row))
    return [(" " * GAP).join(line) for line in (header, *lines)]


async def _look(runtime: Runtime, state_dir: Path) -> Inventory:
    try:
        return take(read_state(state_dir), await runtime.list())
    finally:
        await runtime.close()


def _colour(row: Row) -> str | None:
    if row.wanted is False:
        return "red"
    if row.phase == "exited":
        return None if row.exit_code == 0 else "red"
    return _COLOURS.get(row.phase)
