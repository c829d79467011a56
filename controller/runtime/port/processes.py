"""Further processes in a running container."""

import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class ExecConfig:
    """A further process in a running container; what is not set is as in the container."""

    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    """Added to the container's own environment."""
    tty: bool = False
    stdin: bool = False


class Stream(enum.StrEnum):
    """Where output of a process comes from. With a terminal everything is `STDOUT`."""

    STDOUT = "stdout"
    STDERR = "stderr"


class ExecProcess(Protocol):
    """A process started by `Runtime.exec`. Use it as an async context manager: on leaving, it is killed if it still runs."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc: object) -> None: ...

    def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """What it writes, until it has closed both streams. To be read by one reader; unread output makes the process wait."""
        ...

    async def write(self, data: bytes) -> None:
        """Feed its standard input (only with `ExecConfig.stdin`). Raises `Conflict` when that is closed or it has ended."""
        ...

    async def close_stdin(self) -> None:
        """Let it read end of file."""
        ...

    async def resize(self, width: int, height: int) -> None:
        """Tell its terminal the size, in characters."""
        ...

    async def signal(self, signal: str) -> None:
        """Send it a signal, by name (`SIGINT`). Raises `NotFound` when it has ended."""
        ...

    async def wait(self) -> int:
        """Its exit code; 128 + n when signal n ended it."""
        ...
