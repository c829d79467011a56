"""The seam in front of an API server: what is watched, what is kept, and what is known when nobody answers."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from controller.agent.sources import kube as module
from controller.agent.sources.kept import Kept
from controller.agent.sources.kube import KubeSources
from controller.agent.sources.port import Absent, Found, Kind, Ref, Unread
from tests.unit.sources.server import Server, serving

MAP, SECRET = Ref(Kind.CONFIG_MAP, "default", "settings"), Ref(Kind.SECRET, "default", "password")
SECONDS = 10.0


def coded(text: str) -> str:
    """As the API has bytes."""
    return base64.b64encode(text.encode()).decode()


class Node:
    """A node's sources, over the lives of several agents."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.woken: list[str] = []
        self.changed = asyncio.Event()
        self.emptied = 0
        self.sources = self.build()

    def build(self) -> KubeSources:
        """An agent's."""
        found = KubeSources(self.server.connection, {kind: self.kept(kind) for kind in Kind}, self.wake)
        found.load()
        return found

    def kept(self, kind: Kind) -> Kept:
        """Where it keeps them."""
        folder = self.folder / kind
        return Kept(kind, folder, lambda: folder.mkdir(exist_ok=True), self.empty)

    def empty(self) -> None:
        """The last of a kind is kept no more."""
        self.emptied += 1

    def wake(self, uid: str) -> None:
        """Something that an instance names has changed."""
        self.woken.append(uid)
        self.changed.set()

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait until something is true of it."""
        async with asyncio.timeout(SECONDS):
            while not true():
                self.changed.clear()
                waited = asyncio.create_task(self.changed.wait())
                await asyncio.wait([waited], timeout=0.02)
                waited.cancel()

    async def restart(self) -> None:
        """The agent ends, and the next one begins."""
        await self.sources.close()
        self.sources = self.build()

    def files(self) -> list[Path]:
        """What is kept."""
        return [p for p in self.folder.rglob("*") if p.is_file()]


@pytest.fixture(name="node")
async def _node(tmp_path: Path) -> AsyncIterator[Node]:
    async with serving() as server:
        node = Node(server, tmp_path)
        yield node
        await node.sources.close()


async def test_what_is_named_is_read_and_watched(node: Node) -> None:
    """Texts and bytes, changes, the end and the return; whoever names it is told each time, and nobody else."""
    node.server.put("configmaps", "settings", data={"a": "1"}, binaryData={"b": coded("2")})
    node.sources.follow("one", frozenset({MAP}))
    node.sources.follow("two", frozenset({SECRET}))
    assert node.sources.view(MAP) == Unread()
    await node.until(lambda: node.sources.view(MAP) == Found({"a": b"1"}, {"b": b"2"}))
    await node.until(lambda: node.sources.view(SECRET) == Absent())
    await node.until(lambda: len(node.server.watches) == 2)
    assert sorted(node.woken) == ["one", "two"]
    node.server.put("secrets", "password", data={"p": coded("hidden")})
    await node.until(lambda: node.sources.view(SECRET) == Found({"p": b"hidden"}))
    node.server.put("secrets", "password", data={"p": coded("other")})
    await node.until(lambda: node.sources.view(SECRET) == Found({"p": b"other"}))
    node.server.delete("secrets", "password")
    await node.until(lambda: node.sources.view(SECRET) == Absent())
    assert node.woken.count("one") == 1


async def test_an_unchanged_object_wakes_nobody(node: Node) -> None:
    """Somebody labels it: that is no change of what it holds."""
    node.server.put("configmaps", "settings", data={"a": "1"})
    node.sources.follow("one", frozenset({MAP}))
    await node.until(lambda: len(node.server.watches) == 1)
    node.server.put("configmaps", "settings", data={"a": "1"}, other="x")
    node.server.put("configmaps", "settings", data={"a": "2"})
    await node.until(lambda: node.sources.view(MAP) == Found({"a": b"2"}))
    assert node.woken == ["one", "one"]


async def test_a_watch_lives_as_long_as_somebody_names_its_object(node: Node) -> None:
    """From the first to the last; and what was kept goes with it."""
    node.server.put("secrets", "password", data={"p": coded("hidden")})
    node.sources.follow("one", frozenset({SECRET, MAP}))
    node.sources.follow("two", frozenset({SECRET}))
    await node.until(lambda: len(node.server.watches) == 2)
    assert node.sources.watches() == {("configmap",): 1.0, ("secret",): 1.0}
    node.sources.follow("one", frozenset())
    await node.until(lambda: len(node.server.watches) == 1)
    assert node.files()
    node.sources.follow("two", frozenset())
    await node.until(lambda: not node.server.watches)
    assert node.sources.watches() == {("configmap",): 0.0, ("secret",): 0.0}
    assert (node.files(), node.emptied) == ([], 1)
    assert node.sources.view(SECRET) == Unread()
    lists = [r for r in node.server.requests if "watch" not in r]
    assert len(lists) == 2, "one list for each object"


async def test_a_watch_that_ends_goes_on_where_it_was(node: Node) -> None:
    """After its time, or because its version is too old: then it is listed anew."""
    node.sources.follow("one", frozenset({MAP}))
    await node.until(lambda: len(node.server.watches) == 1)
    node.server.expired = True
    node.server.hang_up()
    await node.until(lambda: sum("watch" not in r for r in node.server.requests) == 2 and len(node.server.watches) == 1)
    node.server.put("configmaps", "settings", data={"a": "1"})
    await node.until(lambda: node.sources.view(MAP) == Found({"a": b"1"}))


async def test_a_large_object_comes_in_pieces(node: Node) -> None:
    """A line of a watch may be as long as an object can be, and longer than a buffer."""
    text = "\x01" * 2**20
    node.sources.follow("one", frozenset({MAP}))
    await node.until(lambda: len(node.server.watches) == 1)
    node.server.put("configmaps", "settings", data={"a": text})
    await node.until(lambda: node.sources.view(MAP) == Found({"a": text.encode()}))


async def test_an_api_server_that_is_away_is_told_of_what_was_never_read(node: Node) -> None:
    """With what is in the way; it is tried again, and found when it is back. What was read stays."""
    node.server.put("configmaps", "settings", data={"a": "1"})
    node.sources.follow("one", frozenset({MAP}))
    await node.until(lambda: len(node.server.watches) == 1)
    node.server.down = True
    node.server.hang_up()
    node.sources.follow("one", frozenset({MAP, SECRET}))
    await node.until(lambda: node.sources.view(SECRET) != Unread())
    told = node.sources.view(SECRET)
    assert told == Unread('secret "password" cannot be read: list secrets: etcd is away')
    assert node.sources.view(MAP) == Found({"a": b"1"})
    node.server.put("secrets", "password", data={"p": coded("hidden")})
    node.server.down = False
    await node.until(lambda: node.sources.view(SECRET) == Found({"p": b"hidden"}))


async def test_a_missing_right_is_told_as_such(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words that say what to change; and looked for again, since nobody tells when it is given."""
    monkeypatch.setattr(module, "_REFUSED_SECONDS", (0.05, 0.05))
    node.server.forbidden = True
    node.sources.follow("one", frozenset({SECRET}))
    await node.until(lambda: node.sources.view(SECRET) != Unread())
    told = node.sources.view(SECRET)
    assert isinstance(told, Unread)
    assert "agents have no right to read Secrets here" in told.why
    node.server.forbidden = False
    await node.until(lambda: node.sources.view(SECRET) == Absent())


async def test_the_next_agent_knows_what_was_read(node: Node) -> None:
    """When the API server is away, at once after the first try; when it is there, what it says counts."""
    node.server.put("configmaps", "settings", data={"a": "1"}, binaryData={"b": base64.b64encode(b"\xff").decode()})
    node.server.put("secrets", "password", data={"p": coded("hidden")})
    node.sources.follow("one", frozenset({MAP, SECRET}))
    await node.until(lambda: len(node.server.watches) == 2)
    await node.restart()
    node.server.down = True
    node.sources.follow("one", frozenset({MAP, SECRET}))
    assert node.sources.view(SECRET) == Unread(), "not before the API server was asked"
    await node.until(lambda: node.sources.view(SECRET) == Found({"p": b"hidden"}))
    await node.until(lambda: node.sources.view(MAP) == Found({"a": b"1"}, {"b": b"\xff"}))
    await node.restart()
    node.server.down = False
    node.server.put("secrets", "password", data={"p": coded("new")})
    node.sources.follow("one", frozenset({SECRET}))
    await node.until(lambda: node.sources.view(SECRET) != Unread())
    assert node.sources.view(SECRET) == Found({"p": b"new"})


async def test_what_nobody_asks_for_again_is_forgotten(node: Node) -> None:
    """At the second look, when everybody has had time to ask."""
    node.server.put("secrets", "password", data={"p": coded("hidden")})
    node.sources.follow("one", frozenset({SECRET}))
    await node.until(node.files)
    await node.restart()
    node.sources.tidy()
    assert node.files()
    node.sources.tidy()
    assert (node.files(), node.emptied) == ([], 1)


async def test_files_are_roots_and_those_that_are_broken_are_removed(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Told without what is in them; and read anew from the API server."""
    node.server.put("secrets", "password", data={"p": coded("hidden")})
    node.sources.follow("one", frozenset({SECRET}))
    await node.until(node.files)
    (path,) = node.files()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "password" not in path.name
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"data": {"p": "hidden"}}))
    path.with_suffix(".new").write_text("half")
    await node.restart()
    assert node.files() == []
    assert "cannot be used" in caplog.text
    assert "hidden" not in caplog.text
