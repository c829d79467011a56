"""Ends that nobody tells, with real processes and made-up answers of containerd."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from controller.runtime.containerd.container import ends
from controller.runtime.containerd.container.ends import Ends
from controller.runtime.port import ContainerState, EventKind, NotFound, Phase, RuntimeEvent, Unavailable

SECONDS = 10.0
ENDED = ContainerState("c", labels={}, phase=Phase.EXITED)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "PAUSES", (0.01, 0.01, 0.01))


class Containerd:
    """Answers in order, and remembers what was published."""

    def __init__(self, *answers: ContainerState | Exception) -> None:
        self.answers = list(answers)
        self.published: list[tuple[ContainerState, int]] = []
        self.news: asyncio.Queue[RuntimeEvent] = asyncio.Queue()
        self.ends = Ends(self.inspect, self.publish)
        self.heard: list[RuntimeEvent] = []

    async def inspect(self, _: str) -> ContainerState:
        """The next answer."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def publish(self, state: ContainerState, pid: int) -> None:
        """To the stream."""
        self.published.append((state, pid))
        await self.news.put(RuntimeEvent(EventKind.EXITED, state.id, pid=pid))

    async def events(self) -> AsyncGenerator[RuntimeEvent, None]:
        """The stream."""
        while True:
            yield await self.news.get()

    @asynccontextmanager
    async def heeded(self) -> AsyncIterator[None]:
        """Somebody reads the stream."""

        async def read() -> None:
            async with aclosing(self.ends.listen(self.events())) as stream:
                async for event in stream:
                    self.heard.append(event)

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def running(process: "subprocess.Popen[bytes]") -> ContainerState:
    """A container whose process this is."""
    return ContainerState("c", labels={}, phase=Phase.RUNNING, pid=process.pid)


def sleeper() -> "subprocess.Popen[bytes]":
    """A process to end."""
    return subprocess.Popen(["sleep", "1000"])


def descriptors() -> int:
    """How many this process has open, and one more."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def until(containerd: Containerd) -> None:
    """Wait for an event."""
    async with asyncio.timeout(SECONDS):
        while not containerd.heard:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "first",
    [ENDED, Unavailable("away"), ContainerState("c", labels={}, phase=Phase.RUNNING, pid=1)],
    ids=["at once", "away", "not yet"],
)
async def test_an_end_that_nobody_tells_is_found(first: ContainerState | Exception) -> None:
    """As soon as containerd knows of it."""
    containerd, process = Containerd(first, ENDED), sleeper()
    async with containerd.heeded():
        containerd.ends.follow([running(process)] * 2)
        process.kill()
        await until(containerd)
    process.wait()
    assert containerd.published == [(ENDED, process.pid)]


async def test_one_that_ended_before_is_found() -> None:
    """It is no longer there to be watched."""
    containerd, process = Containerd(ENDED), sleeper()
    process.kill()
    process.wait()
    async with containerd.heeded():
        containerd.ends.follow([running(process)])
        await until(containerd)
    assert containerd.published == [(ENDED, process.pid)]


@pytest.mark.parametrize("kind", [EventKind.EXITED, EventKind.REMOVED])
async def test_what_is_told_is_not_asked_for(kind: EventKind) -> None:
    """The usual case costs no call."""
    containerd, process = Containerd(), sleeper()
    async with containerd.heeded():
        containerd.ends.follow([running(process)])
        await containerd.news.put(RuntimeEvent(kind, "c"))
        process.kill()
        await until(containerd)
        await asyncio.sleep(0.05)
    process.wait()
    assert containerd.published == []


async def test_one_that_is_gone_altogether_is_let_be() -> None:
    """Its removal has an event of its own."""
    containerd, process = Containerd(NotFound("c")), sleeper()
    async with containerd.heeded():
        containerd.ends.follow([running(process)])
        process.kill()
        async with asyncio.timeout(SECONDS):
            while containerd.answers:
                await asyncio.sleep(0.005)
    process.wait()
    assert containerd.published == []


async def test_nothing_is_watched_while_nobody_listens() -> None:
    """A command that lists the node opens nothing; and the end of the stream closes what was open."""
    containerd, process = Containerd(), sleeper()
    before = descriptors()
    try:
        containerd.ends.follow([running(process)])
        assert descriptors() == before
        async with containerd.heeded():
            containerd.ends.follow([running(process)])
            assert descriptors() == before + 1
        assert descriptors() == before
    finally:
        process.kill()
        process.wait()
