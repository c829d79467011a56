"""Room on the disk of images: what is removed when, what is told of it, and what is remembered of uses."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.agent.credentials.credentials import Credentials
from controller.agent.decide.collect import Disk, Marks
from controller.agent.decide.observation import Desired
from controller.agent.decide.pressure import TRANSITION_SECONDS
from controller.agent.images.access import Access
from controller.agent.images.collector import LOOK_SECONDS, ImageCollector, RoomSettings, read_disk
from controller.agent.images.images import Images
from controller.agent.images.records import PullRecords
from controller.agent.images.uses import FILE, ImageUses
from controller.agent.images.waiter import Waiter
from controller.agent.view import NodeView
from controller.api.instance import ContainerInstance
from controller.api.reasons import Reason
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import Conflict, ContainerConfig, DiskFull, ImageState, RuntimeInfo, Unavailable
from tests.unit.agent.clock import now, until
from tests.unit.agent.values import container, instance_object

HOST = "registry.test"
SIZE = 10
CAPACITY = 100
AGE = 120.0
DAY = 86400.0


def ref(name: str) -> str:
    """The normalised name of an image."""
    return f"{HOST}/{name}:1"


class DiskRuntime(MemoryRuntime):
    """Each image takes a tenth of its disk, however many names it has; a removal frees that."""

    def __init__(self, node: MemoryNode) -> None:
        super().__init__(node)
        self.beside = 0
        """Bytes that others have on the disk."""
        self.removed: list[str] = []
        self.broken: dict[str, Exception] = {}
        """What removals end with, by name."""
        self.parts: list[int] = []
        """Bytes that unfinished pulls have fetched."""

    async def info(self) -> RuntimeInfo:
        """With a place."""
        return replace(await super().info(), root_dir="/images")

    async def pull(self, reference: str, *args: Any, **more: Any) -> ImageState:
        """Fetch an image, unless there is no room."""
        if self.disk("/images").free < SIZE:
            raise DiskFull(f"image {reference}: no room on the node's disk")
        return await super().pull(reference, *args, **more)

    async def remove_image(self, reference: str, *, wait: bool = False) -> None:
        """Remove a name."""
        if reference in self.broken:
            raise self.broken[reference]
        await super().remove_image(reference, wait=wait)
        self.removed.append(reference)

    async def discard_parts(self, age: float) -> int:
        """Forget them."""
        assert age == AGE
        discarded, self.parts = self.parts, []
        return len(discarded)

    def disk(self, folder: str) -> Disk:
        """As statvfs would tell."""
        assert folder == "/images"
        used = self.beside + sum(self.parts) + SIZE * len({image.digest for image in self.node.images.values()})
        return Disk(CAPACITY, max(CAPACITY - used, 0))


class Rig:
    """A collector, and what it asks."""

    def __init__(self, folder: Path, names: str = "abcdefghij") -> None:
        self.folder = folder
        self.node = MemoryNode([MemoryImage(ref(name), size=SIZE) for name in names], clock=now)
        self.runtime = DiskRuntime(self.node)
        self.images = Images(
            self.runtime,
            Credentials(),
            Access(PullRecords(folder / "images.json")),
            ended=self._pull_ended,
        )
        self.view = NodeView(self.runtime, lambda _: None)
        self.store: dict[str, Desired] = {}
        self.pinned: frozenset[str] | None = frozenset()
        self.told: list[tuple[Reason, str, bool]] = []
        self.changes = self.made = 0
        self.uses = ImageUses(folder / FILE)
        self.collector = self.make(RoomSettings(Marks(85, 60, AGE)))
        self.tasks: list[asyncio.Task[None]] = []

    def make(self, settings: RoomSettings) -> ImageCollector:
        """One with these settings."""
        return ImageCollector(
            self.runtime,
            self.images,
            self.view,
            _Values(self.store),
            self.uses,
            pinned=lambda: self.pinned,
            settings=settings,
            tell=self._tell,
            made_room=self._made_room,
            changed=self._changed,
            read=self.runtime.disk,
        )

    def _tell(self, reason: Reason, message: str, *, warning: bool = False) -> None:
        self.told.append((reason, message, warning))

    def _pull_ended(self, failure: Exception | None, total: int) -> None:
        self.collector.pull_ended(failure, total)

    def _made_room(self) -> None:
        self.made += 1
        self.images.room_made()

    def _changed(self) -> None:
        self.changes += 1

    def want(self, uid: str, *names: str, owner: str = "") -> Desired:
        """An instance with a container for each image."""
        obj = instance_object(containers=[container(name, image=ref(name)) for name in names])
        obj["metadata"]["uid"] = uid
        if owner:
            whose = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerWorkload", "name": owner, "uid": owner}
            obj["metadata"]["ownerReferences"] = [{**whose, "controller": True}]
        self.store[uid] = Desired(ContainerInstance.model_validate(obj))
        return self.store[uid]

    async def fill(self, names: str, seconds: float = 1000.0) -> None:
        """Pull images, one after another, with a pause before each and after the last."""
        for name in names:
            await asyncio.sleep(seconds)
            await self.runtime.pull(ref(name))
        await asyncio.sleep(seconds)

    def run(self) -> None:
        """Have it look by itself."""
        self.tasks = [asyncio.create_task(one) for one in (self.view.run(), self.collector.run())]

    def there(self) -> str:
        """Which images are there, by their letters."""
        return "".join(sorted(name.removeprefix(f"{HOST}/").removesuffix(":1") for name in self.node.images))


class _Values:
    """What a dictionary has at the moment."""

    def __init__(self, found: dict[str, Desired]) -> None:
        self._found = found

    def __iter__(self) -> Any:
        return iter(tuple(self._found.values()))


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    rig.view.error = ""
    yield rig
    assert not [task for task in rig.tasks if task.done()]
    for task in rig.tasks:
        task.cancel()
    await asyncio.gather(*rig.tasks, return_exceptions=True)
    await rig.images.close()


async def test_above_the_high_mark_down_to_the_low_one(rig: Rig) -> None:
    """The oldest first, one after another, until there is room; one Event tells of all of them."""
    await rig.fill("abcdefgh")
    await rig.collector.once()
    assert rig.there() == "abcdefgh"  # 80 per cent
    await rig.fill("i")
    await rig.collector.once()
    assert rig.there() == "defghi"
    assert rig.runtime.removed == [ref("a"), ref("b"), ref("c")]
    ((reason, message, warning),) = rig.told
    assert (reason, warning) == (Reason.IMAGE_GC_REMOVED, False)
    assert message.startswith(
        f"removed 3 images, 30B freed, disk from 90% to 60% in use: {ref('a')} (never used, there for 166m)"
    )
    assert rig.collector.used == 0.6
    await rig.collector.once()
    assert len(rig.told) == 1


async def test_what_is_used_stays_whatever_the_disk_says(rig: Rig) -> None:
    """By a container of ours in any phase, an instance's spec, a pin; and it is told what keeps them, once."""
    await rig.fill("abcdefghi")
    await rig.runtime.create(ContainerConfig("c1", ref("a"), ("sleep", "infinity"), {}))
    await rig.runtime.tag(ref("b"), f"{HOST}/other:1")
    rig.want("u1", "c", "d")
    rig.pinned = frozenset({f"{HOST}/other:1", ref("e")})
    rig.runtime.beside = 5
    for state in await rig.runtime.list():
        rig.view.put(state)
    await rig.collector.once()
    assert rig.there() == "abcdeother"
    await rig.fill("f", 10)
    rig.runtime.beside = 40
    for _ in range(3):
        await rig.collector.once()
    assert rig.there() == "abcdefother"
    short = [message for reason, message, warning in rig.told if reason is Reason.FREE_DISK_SPACE_FAILED and warning]
    kept = "1 used by containers, 2 named by instances, 2 pinned by ContainerImages, 1 younger than the minimum age"
    assert short == [f"the disk of images has too little room, and no further image may be removed: {kept}"]


async def test_parts_of_pulls_go_when_images_are_not_enough(rig: Rig) -> None:
    """Not before, since the next try goes on with them; and one Event tells of both."""
    await rig.fill("abcde")
    rig.runtime.parts, rig.pinned = [20, 25], frozenset({ref("d"), ref("e")})
    await rig.collector.once()
    assert (rig.there(), rig.runtime.parts) == ("de", [])
    ((reason, message, warning),) = rig.told
    assert (reason, warning) == (Reason.IMAGE_GC_REMOVED, False)
    assert message.startswith(
        "removed 3 images and what 2 unfinished pulls had fetched, 75B freed, disk from 95% to 20% in use: "
    )
    rig.runtime.parts, rig.runtime.beside = [5], 30
    await rig.fill("fgh")
    await rig.collector.once()
    assert (rig.there(), rig.runtime.parts) == ("de", [5])


async def test_nothing_is_removed_while_pins_are_not_known(rig: Rig) -> None:
    """An agent without its state, and without an API server, cannot know what is wanted."""
    await rig.fill("abcdefghi")
    rig.pinned = None
    await rig.collector.once()
    assert rig.there() == "abcdefghi"
    rig.pinned = frozenset()
    await rig.collector.once()
    assert rig.there() == "defghi"


async def test_nothing_is_removed_while_the_view_is_old_or_it_is_off(rig: Rig) -> None:
    """Containers that are not seen may use anything; 100 per cent is never."""
    await rig.fill("abcdefghi")
    rig.view.error = "the runtime does not answer"
    await rig.collector.once()
    rig.view.error = ""
    off = rig.make(RoomSettings(Marks(100, 60, AGE)))
    off.pull_ended(DiskFull("no room"), 0)
    await off.once()
    assert rig.there() == "abcdefghi"


async def test_what_an_instance_ran_before_its_change_stays(rig: Rig) -> None:
    """So a change can be taken back at once; what it ran before that goes."""
    rig.uses.note(rig.want("u1", "a", "s", owner="web"))
    rig.uses.note(rig.want("u1", "b", "s", owner="web"))
    assert rig.uses.before() == {ref("a")}
    rig.uses.note(rig.want("u1", "c", "s", owner="web"))
    assert rig.uses.before() == {ref("b")}
    rig.uses.look(rig.store.values(), ())
    await rig.fill("abcdefghi")
    await rig.collector.once()
    assert rig.there() == "bcfghi"
    rig.store.clear()
    rig.uses.look((), ())
    assert rig.uses.before() == frozenset()


def test_a_rollout_over_several_instances_keeps_what_they_come_from(tmp_path: Path) -> None:
    """While some have not changed yet, and after the last has; a change that is taken back turns it round."""
    uses, rig = ImageUses(tmp_path / FILE), Rig(tmp_path)
    uses.look([rig.want("u1", "a", owner="web"), rig.want("u2", "a", owner="web"), rig.want("u3", "x")], ())
    uses.note(rig.want("u1", "b", owner="web"))
    assert (uses.before(), uses.named()) == (frozenset(), frozenset({ref("a"), ref("b"), ref("x")}))
    uses.note(rig.want("u2", "b", owner="web"))
    assert uses.before() == {ref("a")}
    uses.look(rig.store.values(), ())
    assert uses.before() == {ref("a")}
    for uid in ("u1", "u2"):
        uses.note(rig.want(uid, "a", owner="web"))
    assert uses.before() == {ref("b")}


async def test_uses_are_kept_over_a_restart(rig: Rig) -> None:
    """When a use ended, what is in use, and what was before; a use that ended while no agent ran ended now."""
    keeping = asyncio.create_task(rig.uses.keep_for_ever())
    rig.uses.look([rig.want("u1", "a"), rig.want("u2", "b")], [ref("c")])
    rig.uses.note(rig.want("u1", "d"))
    del rig.store["u2"]
    rig.uses.look(rig.store.values(), [ref("c")])
    ended = now()
    await asyncio.sleep(DAY)
    keeping.cancel()
    again = ImageUses(rig.folder / FILE)
    again.load(rig.store.values())
    assert again.ended() == {ref("a"): ended, ref("b"): ended}
    again.look([rig.want("u1", "e")], ())
    assert again.before() == {ref("d")}
    assert again.ended() == {ref("a"): ended, ref("b"): ended, ref("c"): now(), ref("d"): now()}
    again.forget_but([ref("c")])
    assert again.ended() == {ref("c"): now()}


@pytest.mark.parametrize("text", ["", "[]", '{"using": 1}', '{"ended": {"a": "b"}}', '{"instances": [1]}'])
def test_a_file_that_cannot_be_used_is_passed_over(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Images then count as never used, and what is used is found anew."""
    (tmp_path / FILE).write_text(text)
    uses = ImageUses(tmp_path / FILE)
    uses.load(())
    assert "when images were used is known from now on" in caplog.text
    assert (uses.before(), uses.ended()) == (frozenset(), {})


async def test_a_short_use_counts(rig: Rig) -> None:
    """Of an instance that came and went between two looks."""
    await rig.fill("abcdefghi")
    rig.uses.note(rig.want("u1", "a"))
    rig.store.clear()
    await rig.collector.once()
    assert rig.there() == "aefghi"


async def test_a_pull_without_room_makes_room_and_goes_on(rig: Rig) -> None:
    """At once, not at the next look; and the pull is tried again at once, too."""
    rig.run()
    await rig.view.listed.wait()
    for name in "abcdefgh":
        await rig.runtime.pull(ref(name))
    await asyncio.sleep(DAY + LOOK_SECONDS / 2)
    rig.runtime.beside = 20
    began = now()
    ends: list[Any] = []
    waiter = Waiter(lambda image, failed: ends.append((image, failed)))
    rig.images.pull(ref("i"), waiter)
    await until(lambda: ends)
    ((image, failed),) = ends
    assert image is None
    assert "no room on the node's disk" in failed.message
    await until(lambda: rig.made)
    assert now() - began < 1
    view = await rig.images.view(ref("i"))
    assert view.pull is not None
    assert view.pull.retry_at == 0.0
    rig.images.pull(ref("i"), waiter)
    await until(lambda: len(ends) == 2)
    assert ends[1][0].name == ref("i")
    assert "i" in rig.there()


async def test_a_pull_that_wants_more_gets_more(rig: Rig) -> None:
    """As stored and unpacked, below the low mark, too; and something goes each time, whatever the disk says."""
    await rig.fill("abcd")
    rig.collector.pull_ended(DiskFull("no room"), 25)
    await rig.collector.once()
    assert rig.there() == "cd"  # 3 times 25 of 100 are to be free
    rig.collector.pull_ended(DiskFull("no room"), 0)
    await rig.collector.once()
    assert rig.there() == "d"
    rig.collector.pull_ended(None, 25)
    await rig.collector.once()
    assert rig.there() == "d"


async def test_what_cannot_be_removed_does_not_stop_the_others(rig: Rig) -> None:
    """It is told, and the next one goes in its place. A runtime that is away ends the look."""
    await rig.fill("abcdefghi")
    rig.runtime.broken[ref("a")] = Conflict("it is busy")
    await rig.collector.once()
    assert rig.there() == "aefghi"
    assert rig.told[0] == (Reason.IMAGE_GC_FAILED, f"{ref('a')} cannot be removed: it is busy", True)
    rig.runtime.beside = 40
    rig.runtime.broken[ref("e")] = Unavailable("it is away")
    with pytest.raises(Unavailable):
        await rig.collector.once()
    assert rig.there() == "aefghi"


async def test_it_looks_by_itself(rig: Rig) -> None:
    """Once a minute."""
    rig.run()
    await rig.view.listed.wait()
    await rig.fill("abcdefghi", 1)
    await asyncio.sleep(LOOK_SECONDS)
    assert rig.there() == "abcdefghi"  # all are young
    await asyncio.sleep(120 + LOOK_SECONDS)
    assert rig.there() == "defghi"


async def test_pressure_is_what_is_left_when_nothing_more_goes(rig: Rig) -> None:
    """It begins when removals did not help, and ends some time after there is room."""
    await rig.fill("abcdefghi")
    rig.runtime.beside = 8
    await rig.collector.once()
    assert (rig.collector.pressure, rig.changes) == ("", 0)  # they helped
    rig.runtime.beside = 95
    await rig.collector.once()
    assert rig.there() == ""
    assert rig.collector.pressure.startswith("less than 10% of the disk of images is free")
    assert rig.changes == 1
    rig.runtime.beside = 0
    await rig.collector.once()
    await asyncio.sleep(TRANSITION_SECONDS - 1)
    await rig.collector.once()
    assert rig.changes == 1
    await asyncio.sleep(1)
    await rig.collector.once()
    assert (rig.collector.pressure, rig.changes) == ("", 2)


def test_a_disk_is_measured(tmp_path: Path) -> None:
    """A folder's own; what is not there has none."""
    found = read_disk(str(tmp_path))
    assert found is not None
    assert 0 < found.free <= found.capacity
    assert read_disk(str(tmp_path / "none")) is None
