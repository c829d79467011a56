"""An evicted instance of a workload: another one comes, with empty volumes, and not faster than it should."""

from typing import Any

import pytest

from tests.unit.manager.test_status import message, summary, told
from tests.unit.manager.world import World, node

TOLD = 'Usage of EmptyDir volume "data" exceeds the limit "1Mi".'


def workload(policy: str = "Always", mode: str = "Replicated", seconds: int = 60) -> World:
    """A settled one of two instances on two nodes."""
    count: dict[str, Any] = {"replicas": 2} if mode == "Replicated" else {}
    world = World.of(node("n1"), node("n2"), mode=mode, **count)
    world.spec["template"]["spec"] |= {"restartPolicy": policy, "backoff": {"maxSeconds": seconds}}
    world.settle()
    return world


def evict(world: World) -> str:
    """The agent of an instance on n1 evicts it; its uid."""
    found = next(i for i in world.live if i.node == "n1")
    world.tell(found.key.name, "False", "Evicted", TOLD, stalled=True, phase="Failed")
    return found.uid


@pytest.mark.parametrize("mode", ["Replicated", "Global"])
@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
def test_another_one_comes(policy: str, mode: str) -> None:
    """At once where the one before it lasted; the workload is in progress meanwhile, and neither Stalled nor Failed."""
    world = workload(policy, mode)
    world.now += 100
    uid = evict(world)
    assert summary(told(world)) == "Ready=Unknown Evicted Reconciling"
    assert message(told(world)).endswith(f": Evicted: {TOLD}")
    (delete,) = world.decide().deletes
    assert (delete.instance.uid, delete.why) == (uid, "it was evicted")
    world.settle()
    assert sorted(i.node for i in world.live) == ["n1", "n2"]
    assert uid not in {i.uid for i in world.live}
    assert summary(told(world)) == "Ready=True Available"


@pytest.mark.parametrize("seconds", [10, 300])
def test_not_faster_than_the_longest_pause(seconds: int) -> None:
    """One that was evicted soon after it had come waits, so that what fills its volume at once does so once in a while."""
    world = workload(seconds=seconds)
    created = next(i for i in world.live if i.node == "n1").created
    for _ in range(3):
        uid = evict(world)
        decision = world.decide()
        assert (decision.idle, decision.wake_at) == (True, created + seconds)
        assert summary(told(world)) == "Ready=Unknown Evicted Reconciling"
        world.now = created + seconds
        world.settle()
        (new,) = (i for i in world.live if i.node == "n1")
        assert new.uid != uid
        assert new.created >= created + seconds
        created = new.created


def test_what_runs_only_once_has_failed() -> None:
    """With restartPolicy Never nothing is done twice."""
    world = workload("Never")
    world.now += 100
    evict(world)
    assert world.decide().idle
    assert summary(told(world)) == "Ready=False Evicted Stalled"
    other = next(i for i in world.live if i.node == "n2")
    world.tell(other.key.name, "True", "Completed", phase="Succeeded")
    assert summary(told(world)) == "Ready=False Evicted Stalled Failed"


def test_the_end_is_not_told_while_another_one_comes() -> None:
    """A workload whose instances have all ended is not over when one of them is to be replaced."""
    world = workload("OnFailure", seconds=300)
    evict(world)
    other = next(i for i in world.live if i.node == "n2")
    world.tell(other.key.name, "False", "Error", stalled=True, phase="Failed")
    assert "Failed" not in [c.type for c in told(world).conditions]


@pytest.mark.parametrize("change", ["suspended", "of another generation"])
def test_what_is_not_evicted_any_more_stays(change: str) -> None:
    """Suspended, its volumes go anyway; and what an agent has said of an older spec counts for nothing."""
    world = workload()
    world.now += 100
    evict(world)
    if change == "suspended":
        world.edit(suspend=True)
    else:
        obj: dict[str, Any] = next(o for o in world.objects.values() if o["spec"]["nodeName"] == "n1")
        obj["metadata"]["generation"] += 1
    assert not world.decide().deletes
