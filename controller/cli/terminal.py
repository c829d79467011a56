"""The two ends of an interactive process on this side: a terminal in raw mode, and input that can be given up."""

import asyncio
import os
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, Final, Self

from controller.runtime.port import ExecProcess, RuntimeFailure

BLOCK: Final = 32 * 1024


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Hand every key on as it is (termios(3), cfmakeraw), and restore the terminal however this ends."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def resizes(descriptor: int, told: Callable[[int, int], Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Tell the terminal's width and height now and whenever they change (SIGWINCH)."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def tell() -> None:
        size = os.get_terminal_size(descriptor)
        try:
            await told(size.columns, size.lines)
        except RuntimeFailure:
            return  # it has ended meanwhile; how, its exit code tells

    def changed() -> None:
        task = asyncio.create_task(tell())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGWINCH, changed)
    changed()
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        for task in tasks:
            task.cancel()


class Input:
    """Feeds a process from a file descriptor.

    It reads in a thread of its own: asyncio cannot await regular files (`-i < script`), and a terminal made non-blocking is so
    for every other program on it. A pipe wakes the thread when the process has ended before its input has.
    """

    def __init__(self, descriptor: int, process: ExecProcess) -> None:
        self._descriptor, self._process = descriptor, process
        self._loop = asyncio.get_running_loop()
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._feed, name="stdin", daemon=True)
        self._feeding: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        os.write(self._end, b".")
        if self._feeding is not None:
            self._feeding.cancel()
        await asyncio.to_thread(self._thread.join)
        os.close(self._end)
        os.close(self._ended)

    def _feed(self) -> None:
        while True:
            ready, _, _ = select.select([self._descriptor, self._ended], [], [])
            if self._ended in ready:
                return
            try:
                data = os.read(self._descriptor, BLOCK)
            except OSError:  # the terminal went away
                data = b""
            try:  # waiting for each block to be taken keeps a fast reader from filling the memory
                asyncio.run_coroutine_threadsafe(self._give(data), self._loop).result()
            except (RuntimeFailure, CancelledError):
                return  # the process has ended; how, its exit code tells
            if not data:
                return

    async def _give(self, data: bytes) -> None:
        self._feeding = asyncio.current_task()
        await (self._process.write(data) if data else self._process.close_stdin())
