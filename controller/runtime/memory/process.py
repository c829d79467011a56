"""A further process in a simulated container."""

import asyncio
from collections.abc import AsyncIterator
from typing import Self

from controller.runtime.memory.script import FOREVER, Script
from controller.runtime.port import Conflict, NotFound, Stream
from controller.runtime.signals import signal_number


class MemoryProcess:
    """See `controller.runtime.port.ExecProcess`."""

    def __init__(self, script: Script, *, tty: bool) -> None:
        """Start it, in the running loop."""
        self._script = script
        self._tty = tty
        self._output: asyncio.Queue[tuple[Stream, bytes] | None] = asyncio.Queue()
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._stdin_open = True
        self.size = (0, 0)
        """Width and height of the terminal, as last told."""
        for stream, data in script.output:
            self._emit(stream, data)
        if script.seconds < FOREVER:
            asyncio.get_running_loop().call_later(script.seconds, self._end, script.exit_code)

    async def __aenter__(self) -> Self:
        """Nothing is to be done: it runs already."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Kill it if it still runs."""
        self._end(137)

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """What it writes."""
        while (item := await self._output.get()) is not None:
            yield item

    async def write(self, data: bytes) -> None:
        """Feed its standard input."""
        if self._exit.done() or not self._stdin_open:
            raise Conflict("the process does not read any more")
        if self._script.echoes:
            self._emit(Stream.STDOUT, data)

    async def close_stdin(self) -> None:
        """Let it read end of file."""
        self._stdin_open = False
        if self._script.echoes:
            self._end(0)

    async def resize(self, width: int, height: int) -> None:
        """Tell its terminal the size."""
        self.size = (width, height)

    async def signal(self, signal: str) -> None:
        """Send it a signal."""
        number = signal_number(signal)
        if self._exit.done():
            raise NotFound("the process has ended")
        # It is not the first process of the container: what it has no trap for, ends it.
        code = self._script.traps.get(number, 128 + number)
        if code is not None:
            self._end(code)

    async def wait(self) -> int:
        """Its exit code."""
        return await asyncio.shield(self._exit)

    def _emit(self, stream: Stream, data: bytes) -> None:
        if self._tty:
            stream, data = Stream.STDOUT, data.replace(b"\n", b"\r\n")
        self._output.put_nowait((stream, data))

    def _end(self, exit_code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(exit_code)
            self._output.put_nowait(None)
