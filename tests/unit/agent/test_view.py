"""The agent's one view of the node's containers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from controller.agent.view import RELIST_SECONDS, NodeView
from controller.api import labels
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import ContainerConfig, ContainerState, EventKind, Phase
from tests.unit.agent.clock import until

IMAGE = "registry.test/app:1"


class SlowRuntime(MemoryRuntime):
    """Answers to `list` and `inspect` can be held up: they tell what was, when they arrive."""

    def __init__(self, node: MemoryNode) -> None:
        super().__init__(node)
        self.held = asyncio.Event()
        self.held.set()
        self.asked = 0

    async def list(self) -> tuple[ContainerState, ...]:
        """Every container, as it was when asked."""
        self.asked += 1
        found = await super().list()
        await self.held.wait()
        return found

    async def inspect(self, container_id: str) -> ContainerState:
        """One container, as it was when asked."""
        found = await super().inspect(container_id)
        await self.held.wait()
        return found


@dataclass
class Rig:
    """A view on a node, and what it told."""

    node: MemoryNode = field(default_factory=lambda: MemoryNode([MemoryImage(IMAGE)]))
    changed: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    availability: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runtime = SlowRuntime(self.node)
        self.view = NodeView(self.runtime, self.changed.append, self.images.append, self.available)

    def available(self) -> None:
        """Note what the view says of the runtime when that changes."""
        self.availability.append(self.view.error)

    async def make(self, name: str = "c", uid: str = "uid", *, started: bool = True) -> ContainerState:
        """A container, made by somebody."""
        await self.runtime.pull(IMAGE)
        state = await self.runtime.create(ContainerConfig(name, IMAGE, ("app",), {labels.INSTANCE_UID: uid}))
        return await self.runtime.start(name) if started else state

    def phase(self, name: str = "c") -> Phase | None:
        """What the view has of a container."""
        return next((c.phase for c in self.view.all() if c.id == name), None)


@pytest.fixture(name="rig")
async def _rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.make()
    task = asyncio.create_task(rig.view.run())
    await rig.view.listed.wait()
    yield rig
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_knows_what_was_there_before_it(rig: Rig) -> None:
    """Listed at the start; from then on the runtime is known to answer."""
    assert [c.id for c in rig.view.of("uid")] == ["c"]
    assert rig.view.error == ""
    assert rig.availability == [""]


async def test_events_keep_it_current(rig: Rig) -> None:
    """An end is seen with its code and time, at once; so are pauses and removals."""
    rig.changed.clear()
    await rig.runtime.pause("c")
    await until(lambda: rig.phase() is Phase.PAUSED)
    await rig.runtime.resume("c")
    await until(lambda: rig.phase() is Phase.RUNNING)
    rig.node.crash("c", 3, oom=True)
    await until(lambda: rig.phase() is Phase.EXITED)
    (ended,) = rig.view.of("uid")
    assert (ended.exit_code, ended.oom_killed, ended.pid) == (3, True, 0)
    assert ended.exited_at is not None
    await rig.runtime.remove("c")
    await until(lambda: rig.phase() is None)
    assert rig.view.of("uid") == ()
    assert set(rig.changed) == {"uid"}
    assert rig.runtime.asked == 1, "events need no list"


async def test_old_news_does_not_bring_anything_back(rig: Rig) -> None:
    """An answer that was overtaken by an event is not taken in."""
    (running,) = rig.view.of("uid")
    rig.node.crash("c")
    await until(lambda: rig.phase() is Phase.EXITED)
    rig.view.put(running)
    rig.view.put(replace(running, phase=Phase.UNKNOWN))
    assert rig.phase() is Phase.EXITED


async def test_a_process_that_ends_before_its_start_is_answered_keeps_its_start(rig: Rig) -> None:
    """The exit event of a very short run comes first; when it began is still told, and how it ended stays."""
    made = await rig.make("quick", started=False)
    rig.view.put(made)
    started = await rig.runtime.start("quick")
    rig.node.crash("quick", 4)
    await until(lambda: rig.phase("quick") is Phase.EXITED)
    rig.view.put(started)
    ended = next(c for c in rig.view.of("uid") if c.id == "quick")
    assert (ended.phase, ended.exit_code, ended.started_at) == (Phase.EXITED, 4, started.started_at)


async def test_what_memory_ran_out_of_is_remembered(rig: Rig) -> None:
    """A later list that does not tell it any more does not take it back."""
    rig.node.crash("c", oom=True)
    await until(lambda: rig.phase() is Phase.EXITED)
    (ended,) = rig.view.of("uid")
    rig.view.put(replace(ended, oom_killed=False, started_at=None))
    (kept,) = rig.view.of("uid")
    assert (kept.oom_killed, kept.started_at) == (True, ended.started_at)


async def test_after_a_reconnect_it_is_listed_anew(rig: Rig) -> None:
    """What happened while nobody listened is found: ends, removals, and what is new."""
    rig.node.stop_answering()
    await until(lambda: rig.view.error)
    assert [c.id for c in rig.view.of("uid")] == ["c"], "silence is no absence"
    rig.node.end("c", 9)
    rig.node.answer_again()
    await rig.make("new", "other")
    took = await until(lambda: not rig.view.error)
    assert took < 5
    assert (rig.phase("c"), rig.phase("new")) == (Phase.EXITED, Phase.RUNNING)
    assert rig.availability[-1] == ""
    assert {"uid", "other"} <= set(rig.changed)
    rig.node.break_events()
    await rig.runtime.remove("c")
    await until(lambda: rig.phase("c") is None)


async def test_an_outage_is_timed_from_its_beginning(rig: Rig) -> None:
    """However often it is tried in between, and each one for itself."""
    rig.node.stop_answering()
    await until(lambda: rig.view.error)
    first = rig.view.down_since
    await asyncio.sleep(30)
    assert rig.view.down_since == first
    rig.node.answer_again()
    await until(lambda: not rig.view.error)
    rig.node.break_events()
    await until(lambda: rig.view.error)
    assert rig.view.down_since > first + 30


async def test_a_runtime_that_comes_late_is_found() -> None:
    """The agent starts before its runtime: it waits, tries on, and lists when it is there."""
    rig = Rig()
    rig.node.stop_answering()
    task = asyncio.create_task(rig.view.run())
    await asyncio.sleep(60)
    assert not rig.view.listed.is_set()
    rig.node.answer_again()
    await until(rig.view.listed.is_set, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_once_a_minute_it_is_compared_with_the_node(rig: Rig) -> None:
    """What no event told is found none the less."""
    del rig.node.containers["c"]
    assert await until(lambda: rig.phase() is None, 2 * RELIST_SECONDS) <= RELIST_SECONDS * 1.1
    await until(lambda: rig.runtime.asked >= 4, 4 * RELIST_SECONDS)


async def test_a_list_that_fails_is_repeated_and_takes_nothing_away(rig: Rig) -> None:
    """One failed list of a node whose event stream is well is no outage."""
    rig.node._answers = False
    await asyncio.sleep(2 * RELIST_SECONDS)
    assert (rig.phase(), rig.view.error) == (Phase.RUNNING, "")
    rig.node.answer_again()
    await until(lambda: rig.runtime.asked >= 5, 5 * RELIST_SECONDS)


async def test_a_list_that_was_overtaken_takes_nothing_back(rig: Rig) -> None:
    """What was made, ended or removed while the list was on its way stays made, ended or removed."""
    await rig.make("ends")
    await rig.make("goes")
    rig.view.put(await rig.runtime.inspect("ends"))
    rig.view.put(await rig.runtime.inspect("goes"))
    rig.runtime.held.clear()
    before = rig.runtime.asked
    await until(lambda: rig.runtime.asked > before, 2 * RELIST_SECONDS)
    rig.view.put(await rig.make("made"))
    rig.node.crash("ends")
    await rig.runtime.remove("goes")
    rig.view.drop("goes")
    rig.runtime.held.set()
    await asyncio.sleep(1)
    assert (rig.phase("made"), rig.phase("ends"), rig.phase("goes")) == (Phase.RUNNING, Phase.EXITED, None)


async def test_refresh_asks_for_one(rig: Rig) -> None:
    """After an answer that did not fit: taken as it is now, or dropped when it is gone."""
    rig.node.containers["c"].state = replace(rig.node.containers["c"].state, phase=Phase.EXITED, exit_code=5)
    await rig.view.refresh("c")
    assert rig.phase() is Phase.EXITED
    await rig.make("unknown")
    await rig.view.refresh("unknown")
    assert rig.phase("unknown") is Phase.RUNNING
    del rig.node.containers["c"]
    await rig.view.refresh("c")
    assert rig.phase() is None


@pytest.mark.parametrize("meanwhile", ["ends", "goes"])
async def test_a_refresh_that_was_overtaken_takes_nothing_back(rig: Rig, meanwhile: str) -> None:
    """An end or a removal that is told while the answer is on its way is the newer news."""
    rig.runtime.held.clear()
    asking = asyncio.create_task(rig.view.refresh("c"))
    await asyncio.sleep(0.01)
    if meanwhile == "ends":
        rig.node.crash("c", 3)
    else:
        await rig.runtime.remove("c")
    await asyncio.sleep(0.01)
    rig.runtime.held.set()
    await asking
    assert rig.phase() is (Phase.EXITED if meanwhile == "ends" else None)


async def test_an_instance_label_that_somebody_changed(rig: Rig) -> None:
    """A container is counted to the uid on its label, and to no other; and it can still be removed."""
    (before,) = rig.view.of("uid")
    rig.view.put(replace(before, labels={labels.INSTANCE_UID: "other"}))
    assert (len(rig.view.of("uid")), len(rig.view.of("other"))) == (0, 1)
    assert {"uid", "other"} <= set(rig.changed)
    rig.view.drop("c")
    assert (rig.view.of("uid"), rig.view.of("other"), rig.view.all()) == ((), (), ())


async def test_changed_images_are_passed_on(rig: Rig) -> None:
    """So that whoever waits for one looks again."""
    await rig.runtime.remove_image(IMAGE)
    await until(lambda: rig.images)
    assert rig.images == [IMAGE]


async def test_news_of_what_is_not_ours_is_nothing(rig: Rig) -> None:
    """An event about an unknown container changes nothing."""
    rig.changed.clear()
    rig.node.tell(EventKind.EXITED, "foreign", exit_code=1)
    await asyncio.sleep(1)
    assert (rig.changed, rig.phase("foreign")) == ([], None)


async def test_what_is_the_same_wakes_nobody(rig: Rig) -> None:
    """Listing a quiet node wakes no supervisor."""
    rig.changed.clear()
    await asyncio.sleep(5 * RELIST_SECONDS)
    assert rig.runtime.asked > 4
    assert rig.changed == []
