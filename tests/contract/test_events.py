"""The event stream."""

import asyncio
from contextlib import aclosing

import pytest

from controller.runtime.port import EventKind, Unavailable
from tests.contract.subject import Subject


async def test_subscribed_comes_first(subject: Subject) -> None:
    """Whoever lists after it misses nothing."""
    await subject.run()
    async with aclosing(subject.runtime.events()) as events:
        async for event in events:
            assert event.kind is EventKind.SUBSCRIBED
            break


async def test_a_life_is_told_in_order(subject: Subject) -> None:
    """Created, started, exited, removed: each once, in this order."""
    async with subject.watch() as watch:
        started = await subject.run("sh", "-c", "exit 7")
        await watch.until(lambda event: event.kind is EventKind.EXITED)
        await subject.runtime.remove(started.id)
        await watch.until(lambda event: event.kind is EventKind.REMOVED)
    kinds = [kind for kind in watch.kinds(started.id) if kind is not EventKind.CHANGED]
    assert kinds == [EventKind.CREATED, EventKind.STARTED, EventKind.EXITED, EventKind.REMOVED]


async def test_other_changes_are_told(subject: Subject) -> None:
    """Labels, pause and resume."""
    async with subject.watch() as watch:
        started = await subject.run()
        await subject.runtime.set_labels(started.id, {"a": "1"})
        await subject.runtime.pause(started.id)
        await subject.runtime.resume(started.id)
        await watch.until(lambda event: event.kind is EventKind.RESUMED)
    assert watch.kinds(started.id)[2:] == [EventKind.CHANGED, EventKind.PAUSED, EventKind.RESUMED]


async def test_every_reader_hears_everything(subject: Subject) -> None:
    """Two readers do not take each other's events."""
    async with subject.watch() as one, subject.watch() as other:
        started = await subject.run("true")
        for watch in (one, other):
            await watch.until(lambda event: event.kind is EventKind.EXITED)
    assert one.kinds(started.id) == other.kinds(started.id)


async def test_a_stream_that_is_left_ends(subject: Subject) -> None:
    """Leaving it disturbs neither the runtime nor a later stream."""
    for _ in range(3):
        async with subject.watch() as watch:
            assert watch.events[0].kind is EventKind.SUBSCRIBED
    await subject.run()


async def test_no_end_is_missed_after_the_list(subject: Subject) -> None:
    """Containers that end while one subscribes are either in the list as ended, or told."""
    ids = [await subject.create("true") for _ in range(8)]
    starts = asyncio.gather(*(subject.runtime.start(container_id) for container_id in ids))
    async with subject.watch() as watch:
        listed = {state.id for state in await subject.runtime.list() if state.exited_at is not None}
        await starts
        for container_id in set(ids) - listed:
            await watch.until_told(EventKind.EXITED, container_id)


async def test_a_closed_connection_has_no_events(subject: Subject) -> None:
    """The stream ends with `Unavailable`, not silently."""
    runtime = await subject.connect()
    await runtime.close()
    with pytest.raises(Unavailable):
        async for _ in runtime.events():
            pass
