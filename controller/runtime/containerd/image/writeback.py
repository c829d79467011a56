"""What a large pull unpacks, brought to the disk while it goes on, so that little is left to be waited for at its end.

The kernel by itself begins to write after some seconds. Small images are left to it, and slow pulls too: each sync makes a
journal be written, so there is one for many bytes, not one for each second.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from controller.runtime.containerd.image.progress import Progressed
from controller.runtime.port import PullProgress, RuntimeFailure

STEP_BYTES: Final = 64 * 2**20
"""So many are fetched between two syncs. When all are here (and no fewer), only time tells how much of them was unpacked."""

PAUSE_SECONDS: Final = 0.5
"""Least pause between two syncs."""


@asynccontextmanager
async def written_along(sync: Callable[[], Awaitable[None]], progress: Progressed | None) -> AsyncIterator[Progressed]:
    """While the block runs, sync now and then; it gives what a pull is to tell its progress to.

    Args:
        sync: brings all that was unpacked so far to the disk. That it fails is not told: the last one will, when it matters.
        progress: what is told is passed on to.
    """
    writing = _Writing(progress)
    task = asyncio.create_task(writing.follow(sync), name="writing along")
    try:
        yield writing.take
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, OSError, RuntimeFailure):
            await task


class _Writing:
    def __init__(self, progress: Progressed | None) -> None:
        self._progress = progress
        self._fetched = self._synced = 0
        self._unpacking = False
        self._due = asyncio.Event()

    def take(self, state: PullProgress) -> None:
        """Take in how far the pull is."""
        self._fetched = state.bytes_done - state.bytes_present
        self._unpacking = self._fetched >= STEP_BYTES and state.bytes_done == state.bytes_total
        if self._unpacking or self._fetched - self._synced >= STEP_BYTES:
            self._due.set()
        if self._progress is not None:
            self._progress(state)

    async def follow(self, sync: Callable[[], Awaitable[None]]) -> None:
        """Sync whenever it is due, for ever."""
        while True:
            await self._due.wait()
            if not self._unpacking:
                self._due.clear()
            self._synced = self._fetched
            await sync()
            await asyncio.sleep(PAUSE_SECONDS)
