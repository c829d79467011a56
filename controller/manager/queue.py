"""A work queue that merges repeats: one reconcile per key at a time, N keys at once, back-off per key on failure."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from controller.pauses import doubled, jittered

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST_SECONDS: Final = 0.2
BACKOFF_LONGEST_SECONDS: Final = 30.0

Handler = Callable[[K], Awaitable[float | None]]
"""Reconciles one key; returns after how many seconds to look again, or None for when something happens."""


class WorkQueue(Generic[K]):
    """Level-triggered: a key says that something may have changed, never what.

    A key that is added while it waits is merged; one that is added while it is worked on is done once more afterwards. The
    time to look again is that of the last outcome.
    """

    def __init__(self, handle: Handler[K], *, expected: tuple[type[Exception], ...], workers: int = 8) -> None:
        """Prepare the queue.

        Args:
            handle: reconciles one key.
            expected: failures that come with the trade, such as an API server that does not answer; logged without traceback.
            workers: keys that are worked on at once.
        """
        self._handle, self._expected, self._workers = handle, expected, workers
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: dict[K, float] = {}
        """Since when; the oldest first, since the queue is in order."""
        self._active: dict[K, float] = {}
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self.done = 0
        """Reconciles that ended well."""
        self.failed = 0
        """Reconciles that failed."""

    def __len__(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting)

    def longest_wait(self) -> float:
        """Seconds that the first key in the queue has waited; 0 when none does."""
        return _oldest(self._waiting)

    def longest_work(self) -> float:
        """Seconds that the longest of the reconciles under way has taken; 0 when there is none."""
        return _oldest(self._active)

    def add(self, key: K) -> None:
        """Have the key reconciled soon. To be called in the queue's event loop."""
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = time.monotonic()
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Have the key reconciled in some time, instead of at whatever time was set before."""
        self._cancel_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_later(max(0.0, seconds), self._due, key)

    async def run(self) -> None:
        """Work for ever. When cancelled, what is being worked on is cancelled, and what waits is forgotten."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"reconcile worker {number}")
        finally:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    async def _work(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.pop(key, None)
            self._active[key] = time.monotonic()
            try:
                await self._reconcile(key)
            finally:
                del self._active[key]
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _reconcile(self, key: K) -> None:
        self._cancel_timer(key)
        try:  # one key's failure is retried, and never stops the others
            again = await self._handle(key)
        except Exception as exc:
            self.failed += 1
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            pause = jittered(doubled(BACKOFF_FIRST_SECONDS, BACKOFF_LONGEST_SECONDS, failures - 1), 0.2, 0.2)
            known = isinstance(exc, self._expected)
            log.log(
                logging.WARNING if known else logging.ERROR,
                "%s: %s (again in %.1f s)",
                key,
                exc if known else repr(exc),
                pause,
                exc_info=None if known else exc,
            )
            self.add_after(key, pause)
            return
        self.done += 1
        self._failures.pop(key, None)
        if again is not None:
            self.add_after(key, again)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()


def _oldest(times: dict[K, float]) -> float:
    """Age of the oldest; over a copy, since it is asked from another thread."""
    now = time.monotonic()
    return now - min(tuple(times.values()), default=now)
