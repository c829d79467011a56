"""The node's NodeImages, watched by its name: what comes is told, and what is in the way is waited for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from controller.agent.nodeimages import watch as module
from controller.agent.nodeimages.watch import watch_for_ever
from tests.unit.sources.server import Server, serving

SECONDS = 10.0
Seen = list[Any]


@pytest.fixture(name="server")
async def _server() -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


@pytest.fixture(name="seen")
async def _seen(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Seen]:
    """What is told of node1, by resourceVersion."""
    monkeypatch.setattr(module, "REFUSED_SECONDS", 0.05)
    seen: Seen = []
    task = asyncio.create_task(
        watch_for_ever(server.connection, "node1", lambda obj: seen.append(obj and obj["metadata"]["resourceVersion"]))
    )
    yield seen
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], Any]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.005)


async def test_the_nodes_own_is_told_and_no_other(server: Server, seen: Seen) -> None:
    """That there is none, each change, its end, and what comes after a watch that broke off."""
    await until(lambda: server.watches)
    server.put("nodeimages", "node2", "")
    server.put("nodeimages", "node1", "")
    await until(lambda: seen == [None, "3"])
    server.delete("nodeimages", "node1", "")
    await until(lambda: seen == [None, "3", None])
    server.down = True
    server.hang_up()
    await until(lambda: not server.watches)
    server.put("nodeimages", "node1", "")
    server.down = False
    await until(lambda: seen == [None, "3", None, "5"])
    assert all("fieldSelector=metadata.name%3Dnode1" in path for path in server.requests)


@pytest.mark.parametrize("obstacle", ["forbidden", "installed"])
async def test_what_is_in_the_way_is_waited_for_and_told_once(
    server: Server, seen: Seen, obstacle: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A right that is not given, a kind that is not installed: nothing is told of the object until that is mended."""
    await until(lambda: server.watches)
    setattr(server, obstacle, obstacle == "forbidden")
    server.hang_up()
    asked = len(server.requests)
    await until(lambda: len(server.requests) > asked + 2 * module.TOLD_REFUSALS)
    assert seen == [None]
    assert caplog.text.count("which images the node is to have cannot be read") == 1
    setattr(server, obstacle, obstacle != "forbidden")
    server.put("nodeimages", "node1", "")
    await until(lambda: seen[-1] == "2")
