"""What the manager's metrics say of the fleet, of its queue, and of how long instances take."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from controller.manager import metrics
from controller.manager.cache import Cache
from controller.manager.decide.values import Key
from controller.manager.images.room import ImageRoom
from controller.manager.queue import WorkQueue
from tests.unit.manager.world import World, condition, node


def _value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def _room(cache: Cache) -> ImageRoom:
    client: Any = None
    return ImageRoom(client, cache, 0.0)


async def _nothing(_: Key) -> None:
    return None


@pytest.fixture(name="cache")
def _cache() -> Iterator[Cache]:
    cache = Cache()
    metrics.follow(cache, WorkQueue(_nothing, expected=()), _room(cache))
    yield cache
    metrics.unfollow()


def _instance(version: int, name: str = "web-n1", *, reason: str = "", status: str = "True", phase: str = "Running") -> Any:
    """An instance as the API server has it; without a reason its agent has not reported on it."""
    world = World.of(node("n1"), mode="Global")
    world.apply(world.decide())
    obj = world.objects["web-n1"]
    meta = obj["metadata"] | {"name": name, "uid": f"uid-of-{name}", "resourceVersion": str(version)}
    told = {"phase": phase, "observedGeneration": 1, "conditions": [condition(status, reason).to_json()]} if reason else {}
    return obj | {"metadata": meta, "status": told}


def test_instances_are_counted_by_phase_and_reason(cache: Cache) -> None:
    """One that nobody reported on is Pending; the ready ones are counted beside."""
    cache.put_instance(_instance(1, "a", reason="Running"))
    cache.put_instance(_instance(2, "b", reason="Running"))
    cache.put_instance(_instance(3, "c", reason="CrashLoopBackOff", status="Unknown"))
    cache.put_instance(_instance(4, "d"))
    assert _value("moorage_instances", phase="Running", reason="Running") == 2
    assert _value("moorage_instances", phase="Running", reason="CrashLoopBackOff") == 1
    assert _value("moorage_instances", phase="Pending", reason="Pending") == 1
    assert _value("moorage_instances_ready") == 2


def test_words_that_are_not_ours_make_no_series_of_their_own(cache: Cache) -> None:
    """An agent may write what it likes; the number of series does not grow by it."""
    for number in range(50):
        cache.put_instance(_instance(number + 1, f"i{number}", reason=f"Made{number}", status="False"))
    assert _value("moorage_instances", phase="Running", reason="Other") == 50
    assert len([s for m in metrics.INSTANCES.collect() for s in m.samples]) == 1


def test_nodes_are_counted_from_the_first_one_on(cache: Cache) -> None:
    """Both values are there while there is no node, so that an alert sees the first that is lost."""
    assert (_value("moorage_nodes", ready="true"), _value("moorage_nodes", ready="false")) == (0, 0)
    meta = {"name": "n1", "uid": "uid-of-n1", "resourceVersion": "1"}
    cache.put_node({"metadata": meta, "spec": {}}, time.monotonic())
    assert (_value("moorage_nodes", ready="true"), _value("moorage_nodes", ready="false")) == (0, 1), "not heard yet"
    cache.heartbeats.renewed("n1", "2027-01-15T08:00:00Z", 0.0, time.monotonic())
    assert (_value("moorage_nodes", ready="true"), _value("moorage_nodes", ready="false")) == (1, 0)


def test_a_manager_that_works_no_more_tells_nothing() -> None:
    """Else a replica that lost the lead would go on telling of a fleet that it no longer sees."""
    cache = Cache()
    metrics.follow(cache, WorkQueue(_nothing, expected=()), _room(cache))
    cache.put_instance(_instance(1, reason="Running"))
    assert _value("moorage_manager_leader") == 1
    metrics.unfollow()
    assert _value("moorage_manager_leader") == 0
    assert _value("moorage_instances", phase="Running", reason="Running") is None
    assert _value("moorage_manager_queue_depth") is None


@pytest.mark.parametrize("watch_first", [False, True], ids=["the answer comes first", "the watch is faster"])
def test_creation_to_ready_is_timed_once(watch_first: bool) -> None:  # noqa: FBT001 - a parameter
    """From the creation to the first Ready; what came before, or comes later, is not counted again."""
    before = _value("moorage_manager_instance_ready_seconds_count") or 0.0
    cache, began = Cache(), time.monotonic() - 2.0
    if watch_first:
        cache.put_instance(_instance(1))
    cache.created(_instance(1), began)
    cache.put_instance(_instance(2, reason="ContainerCreating", status="Unknown", phase="Pending"))
    assert _value("moorage_manager_instance_ready_seconds_count") == before
    cache.put_instance(_instance(3, reason="Running"))
    cache.put_instance(_instance(4, reason="CrashLoopBackOff", status="Unknown"))
    cache.put_instance(_instance(5, reason="Running"))
    assert _value("moorage_manager_instance_ready_seconds_count") == before + 1


def test_an_instance_that_was_ready_before_the_answer_came_is_not_timed() -> None:
    """Nor at any later change: that would count its life as its start."""
    before = _value("moorage_manager_instance_ready_seconds_count") or 0.0
    cache = Cache()
    cache.put_instance(_instance(2, reason="Running"))
    cache.created(_instance(1), time.monotonic())
    cache.put_instance(_instance(3, reason="Running"))
    assert _value("moorage_manager_instance_ready_seconds_count") == before


async def test_the_oldest_work_of_the_queue_is_seen() -> None:
    """How long the first key has waited, and how long the longest reconcile has taken; nothing when there is none."""
    release, started = asyncio.Event(), asyncio.Event()

    async def handle(_: str) -> None:
        started.set()
        await release.wait()

    queue: WorkQueue[str] = WorkQueue(handle, expected=(), workers=1)
    assert (queue.longest_wait(), queue.longest_work()) == (0, 0)
    task = asyncio.create_task(queue.run())
    try:
        queue.add("a")
        await asyncio.wait_for(started.wait(), 5)
        queue.add("b")
        await asyncio.sleep(0.03)
        queue.add("c")
        assert queue.longest_wait() >= 0.03
        assert queue.longest_work() >= 0.03
        release.set()
        await asyncio.sleep(0.01)
        assert (len(queue), queue.longest_wait(), queue.longest_work()) == (0, 0, 0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
