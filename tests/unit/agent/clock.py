"""A loop whose time passes by itself: whenever there is nothing to do, it is already the moment of the next timer.

So tests of timers, pauses and deadlines take no time and always give the same. While a thread works for the loop, time stands.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

REAL_TIME = time.time

STUCK_SECONDS = 5.0
"""Real seconds after which a loop that waits for nothing is said to be stuck."""


class _Selector(selectors.DefaultSelector):
    """Lets time pass where the loop would wait."""

    loop: "PassingLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.threads or timeout is None:
            ready = super().select(STUCK_SECONDS)
            if not ready:
                raise RuntimeError("the loop is stuck: it waits for something that nobody is going to do")
            return ready
        self.loop.passed += timeout
        return []


class PassingLoop(asyncio.SelectorEventLoop):
    """An event loop in a time of its own."""

    def __init__(self) -> None:
        self.passed = 0.0
        """Seconds that have passed in it."""
        self.began = REAL_TIME()
        self.threads = 0
        """Jobs of its executor that are under way."""
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since its making."""
        return self.passed

    def run_in_executor(self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts) -> asyncio.Future[_T]:
        """Run a job in a thread; until it is done, no time passes."""
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._done)
        return future

    def _done(self, _: object) -> None:
        self.threads -= 1


def now() -> float:
    """The loop's time in seconds since the epoch; outside of such a loop the real one."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return REAL_TIME()
    return loop.began + loop.passed if isinstance(loop, PassingLoop) else REAL_TIME()


async def until(true: Callable[[], object], seconds: float = 60.0, step: float = 0.01) -> float:
    """Let time pass until something is true; how many seconds that took. It is looked at every `step` seconds.

    Raises:
        AssertionError: when it does not come true within that time.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not true():
        assert loop.time() - began < seconds, f"not true within {seconds:g} s"
        await asyncio.sleep(step)
    return loop.time() - began
