"""The work queue: merged, one at a time per key, N at once, retried with growing pauses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from controller.manager.queue import WorkQueue


@contextlib.asynccontextmanager
async def running(handle: Callable[[str], Awaitable[float | None]], workers: int = 4) -> AsyncIterator[WorkQueue[str]]:
    """A queue at work."""
    queue = WorkQueue(handle, expected=(OSError,), workers=workers)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_repeats_are_merged() -> None:
    """A key that is added many times before it is looked at is looked at once."""
    seen: list[str] = []

    both = asyncio.Event()

    async def handle(key: str) -> None:
        seen.append(key)
        if len(seen) == 2:
            both.set()

    async with running(handle) as queue:
        for _ in range(10):
            queue.add("a")
        queue.add("b")
        await asyncio.wait_for(both.wait(), 5)
        assert seen == ["a", "b"]
        assert len(queue) == 0


async def test_a_key_is_never_worked_on_twice_at_once() -> None:
    """What is added meanwhile is done once more afterwards."""
    started, release, again, count = asyncio.Event(), asyncio.Event(), asyncio.Event(), 0

    async def handle(_: str) -> None:
        nonlocal count
        count += 1
        started.set()
        if count == 2:
            again.set()
        await release.wait()

    async with running(handle) as queue:
        queue.add("a")
        await started.wait()
        queue.add("a")
        queue.add("a")
        await asyncio.sleep(0)
        assert count == 1
        release.set()
        await asyncio.wait_for(again.wait(), 5)
        assert count == 2


async def test_different_keys_are_worked_on_at_once() -> None:
    """As many as there are workers."""
    active: set[str] = set()
    full, release = asyncio.Event(), asyncio.Event()

    async def handle(key: str) -> None:
        active.add(key)
        if len(active) == 3:
            full.set()
        await release.wait()

    async with running(handle, workers=3) as queue:
        for key in "abcde":
            queue.add(key)
        await asyncio.wait_for(full.wait(), 5)
        await asyncio.sleep(0)
        assert active == {"a", "b", "c"}
        release.set()


async def test_a_failure_is_retried_and_stops_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """An expected failure is one line; the key comes again by itself."""
    tries: dict[str, int] = {"bad": 0, "good": 0}
    again = asyncio.Event()

    async def handle(key: str) -> None:
        tries[key] += 1
        if key == "bad" and tries[key] == 1:
            raise OSError("refused")
        if key == "bad":
            again.set()

    async with running(handle) as queue:
        queue.add("bad")
        queue.add("good")
        await asyncio.wait_for(again.wait(), 5)
        assert tries == {"bad": 2, "good": 1}
        assert queue.failed == 1
    assert "refused" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_key_asks_to_be_looked_at_again() -> None:
    """The returned time is kept, and an earlier event takes its place."""
    times: list[float] = []
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handle(_: str) -> float | None:
        times.append(loop.time())
        if len(times) == 2:
            done.set()
        return 0.05 if len(times) == 1 else None

    async with running(handle) as queue:
        queue.add("a")
        await asyncio.wait_for(done.wait(), 5)
        assert times[1] - times[0] >= 0.05
