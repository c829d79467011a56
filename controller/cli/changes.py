"""Waiting for something to happen in a folder, by inotify(7)."""

import asyncio
import ctypes
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE, _IN_DELETE_SELF = 0x2, 0x80, 0x100, 0x200, 0x400
_MASK: Final = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_DELETE_SELF

LOOK_AGAIN_SECONDS: Final = 2.0
"""Even without news, so that a file system that tells none (some network ones) is followed, too."""

POLL_SECONDS: Final = 0.2
"""Pause between two looks where inotify is not to be had: the kernel allows each user a limited number of instances."""


class Changes:
    """Tells that something in a folder changed. What, one has to look for oneself: news are merged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1
        self._news = asyncio.Event()

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor >= 0:
            libc.inotify_add_watch(self._descriptor, os.fsencode(self._folder), _MASK)
            asyncio.get_running_loop().add_reader(self._descriptor, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)

    def tell(self) -> None:
        """End the wait from elsewhere."""
        self._news.set()

    async def wait(self) -> None:
        """Return when something happened since the last wait, or when it is time to look again anyway."""
        try:
            async with asyncio.timeout(LOOK_AGAIN_SECONDS if self._descriptor >= 0 else POLL_SECONDS):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    def _take(self) -> None:
        os.read(self._descriptor, 65536)
        self._news.set()
