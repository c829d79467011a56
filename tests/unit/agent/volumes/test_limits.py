"""Which volumes are measured, what is found of them and kept, and that nobody is held up by the volumes of another one."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from controller.agent.decide.eviction import SizeLimit
from controller.agent.volumes.limits import LONGEST_SECONDS, NOTE, PASS_SECONDS, SizeLimits
from controller.agent.volumes.place import Place
from tests.unit.agent.values import UID

OTHER = "other"
LIMIT = SizeLimit("data", "emptyDir~data~00000001", "1Mi")
MORE = SizeLimit("data", LIMIT.id, "4Mi")


@dataclass
class Looks:
    """In place of `Place`: looks at once, but for instances that hang."""

    hanging: dict[int, asyncio.Event] = field(default_factory=dict)
    """By the how manieth look it is, what it waits for."""
    count: int = 0
    failure: BaseException | None = None

    async def look(self, work: Callable[[], Any]) -> Any:
        """As that of `Place`."""
        self.count += 1
        found = work()
        if (hangs := self.hanging.get(self.count)) is not None:
            await hangs.wait()
        if self.failure is not None:
            raise self.failure
        return found


@dataclass
class Node:
    """Volumes on disk, who measures them, and who was woken by that."""

    folder: Path
    looks: Looks = field(default_factory=Looks)
    made: bool = True
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limits = SizeLimits(str(self.folder), cast("Place", self.looks), lambda *_: self.made)

    def volume(self, size: int, uid: str = UID) -> None:
        """A volume of an instance with that many bytes in it, which is measured."""
        at = self.folder / uid / LIMIT.id
        at.mkdir(parents=True)
        (at / "file").write_bytes(os.urandom(size))
        self.follow(uid)

    def follow(self, uid: str = UID, *limits: SizeLimit, measured: bool = True) -> None:
        """What its supervisor says."""
        self.limits.follow(uid, limits or [LIMIT], measured=measured)

    async def once(self) -> None:
        """A pass, after what came of those before."""
        await asyncio.sleep(PASS_SECONDS)
        await self.limits.once(self.woken.append)


@pytest.fixture(name="node")
def _node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_only_what_is_followed_is_measured(node: Node) -> None:
    """What is within its limit stays; what is beyond is noted, kept for the next agent, and dropped with its limit."""
    node.volume(2 << 20)
    node.volume(1000, "small")
    node.follow(measured=False)
    await node.once()
    assert node.woken == []
    node.follow()
    await node.once()
    await node.once()
    assert node.woken == [UID]
    (node.folder / UID / LIMIT.id / "file").unlink()
    after = Node(node.folder).limits
    after.load()
    assert after.exceeded(UID) == node.limits.exceeded(UID) is not None
    after.follow(UID, [MORE], measured=True)
    assert after.exceeded(UID) is None
    assert not (node.folder / UID / NOTE).exists()


async def test_a_note_that_is_broken_or_cannot_be_written_costs_another_measurement(node: Node) -> None:
    """A full disk keeps nobody from being evicted."""
    node.volume(2 << 20)
    (node.folder / UID / NOTE).mkdir()
    node.limits.load()
    await node.once()
    assert node.limits.exceeded(UID) is not None
    (node.folder / UID / NOTE).rmdir()
    (node.folder / UID / NOTE).write_text('{"volume": "data"')
    after = Node(node.folder).limits
    after.load()
    assert after.exceeded(UID) is None


async def test_each_pass_measures_as_long_as_anybody_is_followed(node: Node) -> None:
    """Whenever that begins and ends."""
    passes = asyncio.create_task(node.limits.run(node.woken.append))
    for uid in ("first", "second"):
        node.volume(1000, uid)
        await asyncio.sleep(2.5 * PASS_SECONDS)
        (node.folder / uid / LIMIT.id / "more").write_bytes(os.urandom(2 << 20))
        await asyncio.sleep(PASS_SECONDS + 1)
        assert node.woken.pop() == uid
        node.follow(uid, measured=False)
        await asyncio.sleep(2.5 * PASS_SECONDS)
    passes.cancel()


async def test_a_volume_that_hangs_holds_up_no_other_one(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """It is looked at by one thread at a time, is told of once, and measured as before when it answers again."""
    node.looks.hanging[1] = asyncio.Event()
    for uid in (UID, OTHER):
        node.volume(1000, uid)
    passes = asyncio.create_task(node.limits.run(node.woken.append))
    await asyncio.sleep(1.5 * PASS_SECONDS)
    (node.folder / OTHER / LIMIT.id / "file").write_bytes(os.urandom(2 << 20))
    await asyncio.sleep(PASS_SECONDS)
    assert node.woken == [OTHER]
    before = node.looks.count
    await asyncio.sleep(3 * LONGEST_SECONDS)
    assert node.looks.count == before
    assert [UID in text and "has not answered" in text for text in caplog.messages] == [True]
    node.looks.hanging[1].set()
    (node.folder / UID / LIMIT.id / "file").write_bytes(os.urandom(2 << 20))
    await asyncio.sleep(2 * PASS_SECONDS)
    assert node.woken == [OTHER, UID]
    passes.cancel()


async def test_a_limit_that_changes_meanwhile_is_held_against_the_volume_by_the_next_pass(node: Node) -> None:
    """What was found counts for the old one alone, and the instance is measured on."""
    node.looks.hanging[1] = asyncio.Event()
    node.volume(2 << 20)
    await node.once()
    node.follow(UID, MORE)
    node.looks.hanging[1].set()
    await node.once()
    await node.once()
    assert node.woken == []
    (node.folder / UID / LIMIT.id / "more").write_bytes(os.urandom(3 << 20))
    await node.once()
    assert node.woken == [UID]


async def test_a_folder_that_is_missing_is_told_where_it_has_to_be(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Once, if its volume was made before it was looked for, and is still wanted afterwards; nobody is evicted for it."""
    hangs = [asyncio.Event() for _ in range(2)]
    node.made = False
    node.follow()
    await node.once()
    node.looks.hanging[2] = hangs[0]
    await node.once()
    node.made = True
    hangs[0].set()
    node.looks.hanging[3] = hangs[1]
    await node.once()
    node.follow(measured=False)
    hangs[1].set()
    await node.once()
    assert caplog.messages == []
    node.follow()
    for _ in range(3):
        await node.once()
    assert ["No such file" in text for text in caplog.messages] == [True]
    assert node.woken == []


async def test_what_cannot_be_looked_at_is_told_once(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """And again when it could be meanwhile."""
    caplog.set_level(logging.WARNING)
    node.volume(1000)
    for failure, told in ((OSError(5, "no thread"), 1), (None, 1), (OSError(5, "no thread"), 2)):
        node.looks.failure = failure
        await node.once()
        await node.once()
        assert len(caplog.messages) == told


async def test_a_defect_ends_the_passes(node: Node) -> None:
    """And so the agent, instead of being passed over."""
    node.volume(1000)
    node.looks.failure = ValueError("a defect")
    with pytest.raises(ValueError, match="a defect"):
        await node.limits.run(node.woken.append)
