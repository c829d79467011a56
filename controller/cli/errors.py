"""How a command ends: what goes wrong is said in one line on stderr, with an exit code, and never as a traceback."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import typer

from controller.runtime.port import RuntimeFailure

T = TypeVar("T")

SIGNALED: Final = 128
"""Exit code of a command that a signal ended: 128 and the signal's number, as shells have it."""


class CommandError(Exception):
    """A command cannot do what it was asked for; said to people as it is, exit code 1."""


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end.

    Raises:
        typer.Exit: with code 1 when it failed, after saying why; 130 when it was interrupted from the keyboard.
    """
    try:
        return asyncio.run(work)
    except (CommandError, RuntimeFailure) as exc:
        typer.echo(f"moorage: {exc}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(SIGNALED + signal.SIGINT) from None


@asynccontextmanager
async def ending_orderly(*numbers: signal.Signals) -> AsyncIterator[None]:
    """Let these signals cancel the work inside, so that it cleans up after itself, and then end the command."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    received: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        if task is not None:
            task.cancel()

    for number in numbers:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if received:
            raise typer.Exit(SIGNALED + received[0]) from None
        raise
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
