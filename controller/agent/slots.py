"""How many containers are made, started or removed at the same time, and who goes first.

The work behind it is the kernel's and the runtime's; beyond a few at once it only gets slower for each. A crashed container
that has to come back goes before new ones, and those before what is only cleaned up.
"""

import asyncio
import enum
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Priority(enum.IntEnum):
    """Who goes first."""

    RESTART = 0
    START = 1
    REMOVE = 2


class Slots:
    """A semaphore whose waiters are served by priority, then in the order of their coming."""

    def __init__(self, count: int) -> None:
        self.count = count
        """How many there are."""
        self._free = count
        self._order = itertools.count()
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self.quiet = asyncio.Event()
        """Set while nobody waits: what is not urgent may be done then."""
        self.quiet.set()
        self._restarts = 0
        self.calm = asyncio.Event()
        """Set while no crashed container comes back or waits to: what takes CPU from that may be done then."""
        self.calm.set()

    @property
    def in_use(self) -> int:
        """How many are taken."""
        return self.count - self._free

    def waiting(self) -> dict[Priority, int]:
        """How many wait, by priority."""
        tally = Counter(priority for priority, _, turn in tuple(self._waiting) if not turn.done())
        return {priority: tally[priority] for priority in Priority}

    @asynccontextmanager
    async def take(self, priority: Priority) -> AsyncIterator[None]:
        """Hold one slot."""
        urgent = priority is Priority.RESTART
        self._count_restarts(int(urgent))
        try:
            await self._acquire(priority)
            try:
                yield
            finally:
                self._release()
        finally:
            self._count_restarts(-int(urgent))

    def _count_restarts(self, more: int) -> None:
        self._restarts += more
        if self._restarts:
            self.calm.clear()
        else:
            self.calm.set()

    async def _acquire(self, priority: Priority) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), turn))
        self.quiet.clear()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                break
        else:
            self._free += 1
        if not self._waiting:
            self.quiet.set()
