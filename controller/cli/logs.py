"""`moorage logs`: what a container wrote, from the files that the runtime writes."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from controller.agent.decide.observation import restart_count
from controller.agent.decide.restart import restarts
from controller.api import labels
from controller.cli import find
from controller.cli.changes import Changes
from controller.cli.errors import CommandError, finish
from controller.cli.inventory import Known, read_state, take
from controller.cli.logfiles import LogReader, attempts
from controller.cli.options import (
    DEFAULT_CONTAINERD,
    DEFAULT_LOG_DIR,
    DEFAULT_STATE_DIR,
    Containerd,
    ContainerName,
    Instance,
    LogDir,
    StateDir,
    open_runtime,
)
from controller.runtime.port import ContainerState, EventKind, NotFound, Phase, Runtime, RuntimeFailure

EXAMPLES: Final = """
[bold]Examples[/]

moorage logs web-1f2e3d4c

moorage logs -f --tail 20 default/web-1f2e3d4c -c proxy

moorage logs --previous web
"""

RUNTIME_PATIENCE_SECONDS: Final = 2.0
"""How long the runtime may take to say what it has; without it the files alone have to do."""

LAST_WORDS_SECONDS: Final = 0.2
"""The runtime tells the end of a process a moment before it has written the last of its output."""


def logs(
    context: typer.Context,
    instance: Instance,
    container: ContainerName = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until the container ends for good.")
    ] = False,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="The run before the last restart.")] = False,
    tail: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Only the last N lines. Default: all that is kept.", show_default=False),
    ] = None,
    containerd: Containerd = DEFAULT_CONTAINERD,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    log_dir: LogDir = DEFAULT_LOG_DIR,
) -> None:
    """Print what a container wrote to stdout and stderr, as it wrote it.

    Reads the files that the runtime writes, so it works while all else is
    away. Rotated files are printed, too, as far as they are kept.

    With --follow it goes on over rotations and restarts, until the container
    ends for good or its instance is deleted.
    """
    if follow and previous:
        raise typer.BadParameter("the run before the last restart has ended: there is nothing to --follow")
    request = _Request(instance, container, state_dir, log_dir, follow, previous, tail)
    finish(request.answer(open_runtime(context, containerd)))


@dataclass(frozen=True, slots=True)
class _Request:
    """One call of the command."""

    instance: str
    container: str
    state_dir: Path
    log_dir: Path
    follow: bool
    previous: bool
    tail: int | None

    async def answer(self, runtime: Runtime) -> None:
        """Find the files, print them, and follow them if asked to."""
        try:
            inventory = take(read_state(self.state_dir), await _containers(runtime), self.log_dir)
            known = find.instance(self.instance, inventory.instances)
            container = find.container(self.container, known, lambda note: typer.echo(f"moorage: {note}", err=True))
            folder, attempt = self._place(known, container)
            if self.follow:
                await followed(runtime, known, container, folder, attempt, self.tail, sys.stdout.buffer)
            else:
                with LogReader(folder, attempt, tail=self.tail) as reader:
                    _print(reader, sys.stdout.buffer)
        except PermissionError as exc:
            raise CommandError(f"{exc.filename} may not be read: run it as root") from exc
        except FileNotFoundError as exc:
            raise CommandError(f"{exc.filename} went away meanwhile") from exc
        finally:
            await runtime.close()

    def _place(self, known: Known, container: str) -> tuple[Path, int]:
        """Folder and attempt. The runtime knows best: the agent may log elsewhere, and counts anew after a suspension."""
        folder = (known.log_dir or self.log_dir / f"{known.namespace}_{known.name}_{known.uid}") / container
        newest = known.newest(container)
        if newest is not None and labels.LOG_PATH in newest.labels:
            folder = Path(newest.labels[labels.LOG_PATH]).parent
        there = attempts(folder)
        if newest is not None and restart_count(newest) in there:
            there = [attempt for attempt in there if attempt <= restart_count(newest)]
        if not there:
            raise CommandError(f"container {container!r} of {known.full_name} has not been started yet: there is no log of it")
        if not self.previous:
            return folder, there[-1]
        if len(there) == 1:
            raise CommandError(f"container {container!r} of {known.full_name} has no earlier run that a log is kept of")
        return folder, there[-2]


async def _containers(runtime: Runtime) -> tuple[ContainerState, ...]:
    """The containers, or none when the runtime does not answer: their logs are on disk all the same."""
    try:
        async with asyncio.timeout(RUNTIME_PATIENCE_SECONDS):
            return await runtime.list()
    except (RuntimeFailure, TimeoutError):
        return ()


def _print(reader: LogReader, out: BinaryIO) -> None:
    out.writelines(reader.read())
    out.flush()


async def followed(
    runtime: Runtime, known: Known, container: str, folder: Path, attempt: int, tail: int | None, out: BinaryIO
) -> None:
    """Print what an attempt wrote, and what it and those after it write, until the container has ended for good."""
    over = asyncio.Event()
    with Changes(folder) as changes:

        def end() -> None:
            over.set()
            changes.tell()

        watcher = asyncio.create_task(_watch_for_the_end(runtime, known, container, end))
        reader = LogReader(folder, attempt, tail=tail)
        try:
            while True:
                ending = over.is_set()
                if ending:
                    await asyncio.sleep(LAST_WORDS_SECONDS)
                newer = next((a for a in attempts(folder) if a > attempt), None)
                _print(reader, out)
                if newer is not None:  # the one before had ended by then, so all of it is printed
                    reader.close()
                    attempt = newer
                    reader = LogReader(folder, attempt)
                elif ending or not folder.is_dir():
                    return
                else:
                    await changes.wait()
        finally:
            reader.close()
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)


async def _watch_for_the_end(runtime: Runtime, known: Known, container: str, end: Callable[[], None]) -> None:
    """Call `end` once the container has ended for good. Without the runtime nobody can say: then the files are followed on."""
    try:
        async with aclosing(runtime.events()) as events:
            async for event in events:
                states: tuple[ContainerState, ...] = ()
                if event.kind is EventKind.SUBSCRIBED:
                    states = await runtime.list()
                elif event.kind is EventKind.EXITED:
                    states = await _asked(runtime, event.container_id)
                if any(_over(known, container, state) for state in states):
                    end()
    except RuntimeFailure:
        return


async def _asked(runtime: Runtime, container_id: str) -> tuple[ContainerState, ...]:
    try:
        return (await runtime.inspect(container_id),)
    except NotFound:
        return ()


def _over(known: Known, container: str, state: ContainerState) -> bool:
    """Whether this is the container, and it is never started again."""
    mine = state.labels.get(labels.INSTANCE_UID) == known.uid and state.labels.get(labels.CONTAINER) == container
    if not mine or state.phase is not Phase.EXITED:
        return False
    spec = known.desired.instance.spec if known.desired else None
    wanted = next((c for c in spec.all_containers if c.name == container), None) if spec is not None else None
    return spec is None or wanted is None or not restarts(wanted, spec, state.exit_code)
