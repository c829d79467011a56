"""Work moves the agent's metrics: each by what happened, and by the time that it took."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from controller.agent import metrics
from controller.agent.images.collector import ImageCollector, RoomSettings
from controller.agent.images.uses import ImageUses
from controller.agent.measured import measured
from controller.agent.node import NodeJudge
from controller.agent.slots import Priority, Slots
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import ContainerConfig, ImageNotFound, NotFound, RuntimeEvent, StartFailure
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import now, until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import container


class Meter:
    """What has been added to a metric since it was first asked for."""

    def __init__(self) -> None:
        self._before = {s.name + str(sorted(s.labels.items())): s.value for m in REGISTRY.collect() for s in m.samples}

    def __call__(self, name: str, **labels: str) -> float:
        """By name of the series and labels."""
        value = REGISTRY.get_sample_value(name, labels) or 0.0
        return value - self._before.get(name + str(sorted(labels.items())), 0.0)


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


@pytest.fixture(name="meter")
def _meter() -> Meter:
    return Meter()


@pytest.fixture(name="followed")
def _followed(rig: Rig) -> Iterator[None]:
    judge = NodeJudge("node1", rig.runtime, lambda: rig.view.error)
    metrics.follow(
        supervisors=rig.supervisors,
        slots=rig.hands.slots,
        view=rig.view,
        writer=rig.writer,
        judge=judge,
        sources=rig.sources,
        tokens=rig.tokens,
        keeper=rig.keeper,
        collector=ImageCollector(
            rig.runtime,
            rig.images,
            rig.view,
            rig.store,
            ImageUses(rig.folder / "uses.json"),
            pinned=rig.keeper.pinned,
            settings=RoomSettings(),
            tell=lambda *_, **__: None,
            made_room=rig.wake_all,
            changed=rig.wake_all,
        ),
    )
    yield
    metrics.unfollow()


def _now(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_a_life_is_measured(rig: Rig, meter: Meter) -> None:
    """Pull, start, Ready, crash, restart and deletion each add one to their histogram."""
    rig.apply()
    await rig.settle()
    assert meter("moorage_agent_image_pull_seconds_count") == 1
    assert meter("moorage_agent_image_pulls_total", reason="Pulled") == 1
    assert meter("moorage_agent_container_start_seconds_count") == 1
    assert meter("moorage_agent_instance_ready_seconds_count") == 1
    assert meter("moorage_agent_status_writes_total") == 1
    first = rig.running()
    assert first is not None
    rig.node.crash(first.id, 3)
    await until(rig.running)
    assert meter("moorage_agent_container_restart_seconds_count") == 1
    assert meter("moorage_agent_container_restart_seconds_bucket", le="0.1") == 1
    assert meter("moorage_agent_container_restarts_total", reason="Error") == 1
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    await until(lambda: not rig.supervisors)
    assert meter("moorage_agent_instance_delete_seconds_count") == 1
    assert meter("moorage_agent_instance_ready_seconds_count") == 1, "only the first time counts"
    assert meter("moorage_agent_container_failures_total", reason="StartError") == 0


async def test_a_restart_is_timed_from_the_end_of_its_back_off(rig: Rig, meter: Meter) -> None:
    """A pause that the user asked for is no slowness of ours."""
    rig.apply(container(image=IMAGE, command=["exit", "1"]), backoff={"initialSeconds": 20, "maxSeconds": 20})
    await until(lambda: meter("moorage_agent_container_restarts_total", reason="Error") == 3, 100)
    assert meter("moorage_agent_container_restart_seconds_count") == 3
    assert meter("moorage_agent_container_restart_seconds_sum") < 1


async def test_an_update_is_no_crash(rig: Rig, meter: Meter) -> None:
    """It counts as Updating, and is not timed as a restart."""
    rig.apply()
    await rig.settle()
    rig.apply(container(image=IMAGE, args=["other"]))
    await until(lambda: meter("moorage_agent_container_restarts_total", reason="Updating") == 1)
    assert meter("moorage_agent_container_start_seconds_count") == 2
    assert meter("moorage_agent_container_restart_seconds_count") == 0


async def test_failures_are_counted_by_reason(rig: Rig, meter: Meter) -> None:
    """A start that fails, and an image that is not there."""
    rig.runtime.troubles["start"] = [StartFailure("too small")]
    rig.apply()
    rig.apply(container(image="registry.test/nothing:1"), name="lost")
    await until(lambda: meter("moorage_agent_image_pulls_total", reason="ErrImagePull") == 1)
    await until(lambda: meter("moorage_agent_container_failures_total", reason="StartError") == 1)
    assert meter("moorage_agent_image_pull_seconds_count") == 1, "only pulls that succeeded are timed"


async def test_an_adopted_instance_is_not_timed(rig: Rig, meter: Meter) -> None:
    """After a restart of the agent nothing became Ready that had not been."""
    rig.apply()
    await rig.settle()
    await rig.restart()
    await asyncio.sleep(30)
    assert meter("moorage_agent_instance_ready_seconds_count") == 1


async def test_a_suspended_instance_is_not_timed(rig: Rig, meter: Meter) -> None:
    """Nothing was asked to run."""
    rig.apply(suspend=True)
    await rig.settle("Suspended")
    rig.apply(suspend=False)
    await rig.settle("Running")
    assert meter("moorage_agent_instance_ready_seconds_count") == 0


@pytest.mark.usefixtures("followed")
async def test_gauges_are_read_from_the_state(rig: Rig) -> None:
    """Supervisors, phases, slots, the runtime and its events, at the moment of the scrape."""
    rig.apply()
    rig.apply(container(image="registry.test/nothing:1"), name="lost")
    await rig.settle()
    await asyncio.sleep(30)
    assert _now("moorage_agent_supervisors") == 2
    assert _now("moorage_agent_instances", phase="Running") == 1
    assert _now("moorage_agent_instances", phase="Pending") == 1
    assert _now("moorage_agent_containers", phase="running") == 1
    assert (_now("moorage_agent_slots"), _now("moorage_agent_slots_in_use")) == (4, 0)
    assert _now("moorage_agent_slots_waiting", priority="restart") == 0
    assert _now("moorage_agent_runtime_up") == 1
    listed, event = (_now(f"moorage_agent_runtime_last_{what}_timestamp_seconds") for what in ("list", "event"))
    assert listed is not None
    assert event is not None
    assert now() - 70 < listed <= now()
    assert now() - 70 < event <= now()


@pytest.mark.usefixtures("followed")
async def test_a_runtime_that_is_away_is_seen(rig: Rig) -> None:
    """The gauge falls, and rises again."""
    await until(lambda: _now("moorage_agent_runtime_up") == 1)
    rig.node.stop_answering()
    await until(lambda: _now("moorage_agent_runtime_up") == 0)
    rig.node.answer_again()
    await until(lambda: _now("moorage_agent_runtime_up") == 1)


@pytest.mark.usefixtures("followed")
async def test_a_status_that_cannot_be_written_grows_old(rig: Rig) -> None:
    """While the API server is away the oldest unwritten status ages; afterwards nothing waits."""
    rig.apply()
    await rig.settle()
    await asyncio.sleep(10)
    assert (_now("moorage_agent_status_pending"), _now("moorage_agent_status_oldest_pending_seconds")) == (0, 0)
    rig.api.down = True
    running = rig.running()
    assert running is not None
    rig.node.crash(running.id, 1)
    await asyncio.sleep(300)
    assert _now("moorage_agent_status_pending") == 1
    assert _now("moorage_agent_status_oldest_pending_seconds") == pytest.approx(300, abs=2)
    rig.api.down = False
    await until(lambda: _now("moorage_agent_status_pending") == 0, 60)
    assert _now("moorage_agent_status_oldest_pending_seconds") == 0


async def test_slots_in_use_and_waiting() -> None:
    """By priority; one that gave up does not wait any more."""
    slots = Slots(1)
    async with slots.take(Priority.START):
        waiting = [asyncio.create_task(_hold(slots, p)) for p in (Priority.RESTART, Priority.REMOVE, Priority.REMOVE)]
        await asyncio.sleep(1)
        assert slots.in_use == slots.count == 1
        assert slots.waiting() == {Priority.RESTART: 1, Priority.START: 0, Priority.REMOVE: 2}
        waiting.pop().cancel()
        await asyncio.sleep(1)
        assert slots.waiting()[Priority.REMOVE] == 1
    await asyncio.gather(*waiting)
    assert slots.in_use == 0


async def _hold(slots: Slots, priority: Priority) -> None:
    async with slots.take(priority):
        await asyncio.sleep(0)


async def test_every_call_to_the_runtime_is_counted_and_timed(meter: Meter) -> None:
    """By method, and by how it ended; what is no call goes through untouched."""
    node = MemoryNode([MemoryImage(IMAGE)])
    runtime = measured(MemoryRuntime(node))
    await runtime.pull(IMAGE)
    made = await runtime.create(ContainerConfig(id="a", image=IMAGE, args=("app",), labels={}))
    assert made.id == "a"
    with pytest.raises(NotFound):
        await runtime.start("b")
    with pytest.raises(ImageNotFound):
        await runtime.pull("registry.test/nothing:1")
    for method, code, times in (("pull", "OK", 1), ("pull", "ImageNotFound", 1), ("create", "OK", 1), ("start", "NotFound", 1)):
        assert meter("moorage_runtime_calls_total", method=method, code=code) == times
    assert meter("moorage_runtime_call_seconds_count", method="pull") == 2
    events = runtime.events()
    assert isinstance(await anext(events), RuntimeEvent)
    await events.aclose()
    await runtime.close()
