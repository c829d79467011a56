"""`moorage exec`: a further process in a running container."""

import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Final

import typer

from controller.cli import find
from controller.cli.errors import CommandError, ending_orderly, finish
from controller.cli.inventory import Known, read_state, take
from controller.cli.options import (
    DEFAULT_CONTAINERD,
    DEFAULT_STATE_DIR,
    Containerd,
    ContainerName,
    Instance,
    StateDir,
    open_runtime,
)
from controller.cli.rows import told
from controller.cli.terminal import Input, raw, resizes
from controller.runtime.port import ContainerState, ExecConfig, ExecProcess, Phase, Runtime, Stream

EXAMPLES: Final = """
[bold]Examples[/]

moorage exec web-1f2e3d4c -- ls -l /srv

moorage exec -it web -- sh

moorage exec -i db -c main -- psql < dump.sql
"""


def execute(
    context: typer.Context,
    instance: Instance,
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --.", metavar="COMMAND")],
    container: ContainerName = "",
    stdin: Annotated[bool, typer.Option("--stdin", "-i", help="Pass on standard input.")] = False,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give it a terminal; with -i for a shell.")] = False,
    containerd: Containerd = DEFAULT_CONTAINERD,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Run a command in a running container.

    Ends with the command's own exit code; 128 and the signal's number if a
    signal ended it. What still runs when this command ends is killed.
    """
    if tty and stdin and not os.isatty(_descriptor()):
        typer.echo("moorage: standard input is no terminal: going on without -t", err=True)
        tty = False
    config = ExecConfig(tuple(command), (("TERM", os.environ.get("TERM", "xterm")),) if tty else (), tty=tty, stdin=stdin)
    raise typer.Exit(finish(_exec(open_runtime(context, containerd), state_dir, instance, container, config)))


async def _exec(runtime: Runtime, state_dir: Path, instance: str, name: str, config: ExecConfig) -> int:
    try:
        inventory = take(read_state(state_dir), await runtime.list())
        known = find.instance(instance, inventory.instances)
        chosen = find.container(name, known, lambda note: typer.echo(f"moorage: {note}", err=True))
        state = _running(known, chosen)
        async with ending_orderly(signal.SIGTERM, signal.SIGHUP):
            return await _attached(await runtime.exec(state.id, config), config)
    finally:
        await runtime.close()


async def _attached(process: ExecProcess, config: ExecConfig) -> int:
    """Pass on input, output and the terminal's size until the process has ended; its exit code."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(process)
        if config.tty and os.isatty(_descriptor()):
            stack.enter_context(resizes(_descriptor(), process.resize))
            if config.stdin:
                stack.enter_context(raw(_descriptor()))
        if config.stdin:
            await stack.enter_async_context(Input(_descriptor(), process))
        async for stream, data in process.output():
            out = sys.stdout.buffer if stream is Stream.STDOUT else sys.stderr.buffer
            out.write(data)
            out.flush()
        return await process.wait()


def _running(known: Known, name: str) -> ContainerState:
    """The container of that name that runs."""
    there = known.of(name)
    running = [state for state in there if state.phase is Phase.RUNNING]
    if running:
        return running[-1]
    how = told(there[-1] if there else None, time.time())
    raise CommandError(f"container {name!r} of {known.full_name} does not run: {how}")


def _descriptor() -> int:
    """Standard input."""
    return sys.stdin.fileno()
