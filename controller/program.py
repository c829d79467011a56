"""Running a program that is asked something: a process with a deadline, an environment, and an answer of bounded size."""

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_MOST_ANSWER: Final = 2**20
_MOST_WORDS: Final = 2**16
"""Bytes that are kept of what a program writes; the rest is read and dropped."""

_END_SECONDS: Final = 5.0
"""How long the end of a killed program is waited for; one that the kernel does not let go of is left behind."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be run; by no shell."""

    path: str | Path
    environment: Mapping[str, str] = field(repr=False)
    given: bytes = field(repr=False)
    """What it reads from its standard input."""
    seconds: float
    """Deadline."""
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended."""

    code: int | None
    answer: bytes = field(repr=False)
    """What it wrote to its standard output."""
    words: bytes = field(repr=False)
    """What it wrote to its standard error."""


async def run(call: Call) -> Ended:
    """One process, from its start to its end. When its deadline has passed it is killed, with all that it has started.

    Raises:
        TimeoutError: when it did not end in time.
        OSError: when it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        call.path,
        *call.arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=call.environment,
        cwd="/",
        start_new_session=True,
    )
    done = False
    try:
        async with asyncio.timeout(call.seconds):
            answer, words = await _spoken_with(process, call.given)
        done = True
    finally:
        if not done:
            await _end(process)
    return Ended(process.returncode, answer, words)


async def _spoken_with(process: asyncio.subprocess.Process, given: bytes) -> tuple[bytes, bytes]:
    """Hand it what it is to read, and take what it writes until it has ended."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("started with pipes")

    async def fed(stdin: asyncio.StreamWriter) -> None:
        try:
            stdin.write(given)
            await stdin.drain()
            stdin.close()
            await stdin.wait_closed()
        except (BrokenPipeError, ConnectionResetError):
            return  # it ended without reading; its exit code and its answer say why

    _, answer, words = await asyncio.gather(
        fed(process.stdin), _read(process.stdout, _MOST_ANSWER), _read(process.stderr, _MOST_WORDS)
    )
    await process.wait()
    return answer, words


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    kept = bytearray()
    while piece := await stream.read(2**16):
        kept += piece[: most - len(kept)]
    return bytes(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it, and whatever it has started and holds its output."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        return
