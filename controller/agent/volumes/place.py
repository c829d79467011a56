"""Where volumes are made: among the files that the container runtime sees, by threads of their own."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from controller.agent.decide.volumes.wanted import VolumeFailure
from controller.network.node import among_the_files_of

T = TypeVar("T")

DEADLINE_SECONDS: Final = 60.0
"""How long work is waited for: a folder of the node may be on a file system that does not answer, and a large one takes time to
be removed. What outlives its deadline goes on, and is waited for before anything else is done for the same instance."""

AT_THE_SAME_TIME: Final = 8
"""Instances whose volumes are worked on; what hangs holds up no more than these."""

OWN: Final = "/proc/self"


class Place:
    """Runs work on volumes, one at a time for each instance."""

    def __init__(self, process: Callable[[], str] = lambda: "", seconds: float = DEADLINE_SECONDS) -> None:
        """`process` gives the folder in /proc of the process whose files are meant; the agent's own when it gives nothing.

        Each piece of work has a thread of its own, which shares neither mount namespace nor umask with the rest of the agent.
        """
        self._process, self._seconds = process, seconds
        self._under_way: dict[str, asyncio.Future[Any]] = {}
        self._turns = asyncio.Semaphore(AT_THE_SAME_TIME)

    async def do(self, uid: str, work: Callable[[], T]) -> T:
        """Do something for an instance.

        Raises:
            VolumeFailure: when it is not done in time.
            OSError: when the place cannot be entered, or whatever the work raises.
        """
        try:
            async with asyncio.timeout(self._seconds):
                while (before := self._under_way.get(uid)) is not None:
                    await asyncio.wait([before])
                future = self._under_way[uid] = asyncio.ensure_future(self._run(work))
                future.add_done_callback(lambda done: self._ended(uid, done))
                return await asyncio.shield(future)
        except TimeoutError as exc:
            raise VolumeFailure(f"the node's file system has not answered for {self._seconds:g} s") from exc

    async def look(self, work: Callable[[], T]) -> T:
        """Look at something that other work does not matter to: without a turn, and without a deadline.

        Raises:
            OSError: when the place cannot be entered, or whatever the work raises.
        """
        return await self._among(work)

    async def _run(self, work: Callable[[], T]) -> T:
        async with self._turns:
            return await self._among(work)

    async def _among(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return await among_the_files_of(self._process() or OWN, run)

    def _ended(self, uid: str, future: asyncio.Future[Any]) -> None:
        if self._under_way.get(uid) is future:
            del self._under_way[uid]
        if not future.cancelled():
            future.exception()  # whoever waited has had it
