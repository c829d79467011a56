"""Who may work at the same time, and who goes first."""

import asyncio
import random

import pytest

from controller.agent.slots import Priority, Slots


class Queue:
    """Workers that hold a slot until they are told to go."""

    def __init__(self, count: int) -> None:
        self.slots = Slots(count)
        self.began: list[str] = []
        self.running: set[str] = set()
        self.most = 0
        self.go: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def work(self, name: str, priority: Priority) -> None:
        """Hold a slot until `go` is set."""
        async with self.slots.take(priority):
            self.began.append(name)
            self.running.add(name)
            self.most = max(self.most, len(self.running))
            try:
                await self.go[name].wait()
            finally:
                self.running.discard(name)

    async def start(self, *names: str, priority: Priority = Priority.START) -> None:
        """Let workers ask for a slot, one after the other."""
        for name in names:
            self.go[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self.work(name, priority))
            await asyncio.sleep(0.01)

    async def end(self, *names: str) -> None:
        """Let workers end."""
        for name in names:
            self.go[name].set()
            await asyncio.gather(self.tasks[name], return_exceptions=True)
            await asyncio.sleep(0.01)

    async def cancel(self, *names: str) -> None:
        """Cancel workers, waiting or working."""
        for name in names:
            self.tasks[name].cancel()
        await asyncio.gather(*(self.tasks[n] for n in names), return_exceptions=True)
        await asyncio.sleep(0.01)


async def test_no_more_than_the_count_work_at_once() -> None:
    """The rest waits, and comes in the order of its coming."""
    queue = Queue(2)
    await queue.start("a", "b", "c", "d")
    assert queue.began == ["a", "b"]
    await queue.end("b", "a", "c", "d")
    assert (queue.began, queue.most) == (["a", "b", "c", "d"], 2)


async def test_restarts_go_before_starts_and_those_before_removals() -> None:
    """Whoever came first within a priority goes first."""
    queue = Queue(1)
    await queue.start("busy")
    await queue.start("remove", priority=Priority.REMOVE)
    await queue.start("start1", "start2")
    await queue.start("restart", priority=Priority.RESTART)
    await queue.end("busy", "restart", "start1", "start2", "remove")
    assert queue.began == ["busy", "restart", "start1", "start2", "remove"]


async def test_a_waiter_that_is_cancelled_loses_no_slot() -> None:
    """Its turn goes to the next one."""
    queue = Queue(1)
    await queue.start("busy", "cancelled", "next")
    await queue.cancel("cancelled")
    await queue.end("busy")
    assert queue.began == ["busy", "next"]
    await queue.end("next")


async def test_a_waiter_that_is_cancelled_at_its_turn_passes_it_on() -> None:
    """Cancelled between being given the slot and taking it: the slot is not lost."""
    queue = Queue(1)
    await queue.start("busy", "cancelled", "next")
    queue.go["busy"].set()
    await asyncio.sleep(0)  # busy wakes, and gives its slot away
    queue.tasks["cancelled"].cancel()
    await asyncio.sleep(0.01)
    assert "next" in queue.began
    await queue.end("next")
    await queue.start("another")
    assert "another" in queue.running
    await queue.end("another")


async def test_a_worker_that_fails_gives_its_slot_back() -> None:
    """However it ends."""
    queue = Queue(1)
    await queue.start("a", "b")
    await queue.cancel("a")
    assert queue.running == {"b"}
    await queue.end("b")


@pytest.mark.parametrize("seed", range(5))
async def test_no_order_of_ends_and_cancellations_loses_a_slot(seed: int) -> None:
    """After any history all slots are there again."""
    dice = random.Random(seed)
    queue = Queue(3)
    left: list[str] = []
    for number in range(60):
        name = str(number)
        await queue.start(name, priority=dice.choice(list(Priority)))
        left.append(name)
        if len(left) > 5 or dice.random() < 0.4:
            gone = left.pop(dice.randrange(len(left)))
            await (
                queue.cancel(gone)
                if dice.random() < 0.5
                else queue.cancel(gone)
                if gone not in queue.running
                else queue.end(gone)
            )
    await queue.cancel(*left)
    assert queue.most == 3
    await queue.start("x", "y", "z", "w")
    assert queue.running == {"x", "y", "z"}
    await queue.cancel("x", "y", "z", "w")


async def test_quiet_tells_that_nobody_waits() -> None:
    """From the first who has to wait until the last has got a slot."""
    queue = Queue(1)
    assert queue.slots.quiet.is_set()
    await queue.start("a")
    assert queue.slots.quiet.is_set()
    await queue.start("b")
    assert not queue.slots.quiet.is_set()
    await queue.end("a")
    assert queue.slots.quiet.is_set()
    await queue.end("b")


async def test_it_is_calm_while_nothing_crashed_comes_back() -> None:
    """A restart that waits or works is the end of it; other work is not."""
    slots = Slots(1)
    async with slots.take(Priority.START):
        assert slots.calm.is_set()
        restart = asyncio.ensure_future(_once(slots, Priority.RESTART))
        await asyncio.sleep(0)
        assert not slots.calm.is_set()
    await restart
    assert slots.calm.is_set()


async def _once(slots: Slots, priority: Priority) -> None:
    async with slots.take(priority):
        assert not slots.calm.is_set()
