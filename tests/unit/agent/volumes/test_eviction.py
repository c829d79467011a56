"""An instance whose volume on disk outgrows its sizeLimit: what is to be measured, decided and told."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.agent.decide.eviction import Exceeded, size_limits
from controller.agent.decide.observation import Desired
from controller.agent.decide.plan import plan
from controller.agent.decide.status import instance_status
from controller.agent.decide.volumes.wanted import wanted as wanted_volumes
from controller.runtime.port import Phase
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import now, until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import NODE, NOW, container, desired, kinds, seen, state

TOLD = 'Usage of EmptyDir volume "data" exceeds the limit "1Mi".'
MOUNTS = [{"name": "data", "mountPath": "/d"}]


def of(limit: str = "1Mi", **spec: Any) -> Desired:
    """An instance with a volume on disk that has this limit."""
    volumes = [{"name": "data", "emptyDir": {"sizeLimit": limit}}]
    return desired(container(volumeMounts=MOUNTS), volumes=volumes, **spec)


def there(wanted: Desired) -> dict[str, Any]:
    """The volumes are on the node."""
    return {"volumes": {v.id: v.state for v in wanted_volumes(wanted.instance.spec)}, "volumes_there": True}


def beyond(wanted: Desired, ago: float = 5) -> Exceeded:
    """That was found so many seconds ago."""
    return Exceeded(size_limits(wanted.instance.spec)[0], NOW - ago)


@pytest.mark.parametrize(
    ("source", "mounted", "limits"),
    [
        ({"sizeLimit": "1Mi"}, True, ["1Mi"]),
        ({"sizeLimit": 5000}, True, ["5000"]),
        ({"sizeLimit": "0"}, True, []),
        ({}, True, []),
        ({"medium": "Memory", "sizeLimit": "1Mi"}, True, []),
        ({"sizeLimit": "1Mi"}, False, []),
    ],
)
def test_what_is_measured(source: dict[str, Any], mounted: bool, limits: list[str]) -> None:  # noqa: FBT001
    """Volumes on disk that have a limit, and that somebody mounts; 0 is none, as with a kubelet."""
    one = container(volumeMounts=MOUNTS if mounted else [])
    found = size_limits(desired(one, volumes=[{"name": "data", "emptyDir": source}]).instance.spec)
    assert [limit.limit for limit in found] == limits


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_it_is_stopped_for_good(policy: str) -> None:
    """Within a second, whatever its grace period is; then it has failed, and nothing of it is started again."""
    wanted = of(restartPolicy=policy, terminationGracePeriodSeconds=30)
    running = state(wanted, Phase.RUNNING)
    ends = plan(wanted, seen(running, exceeded=beyond(wanted), **there(wanted)), NOW)
    assert kinds(ends.actions) == "Stop main-0"
    status = instance_status(wanted, ends, NODE, NOW)
    assert (status.phase, status.conditions[0].reason, status.conditions[0].message) == ("Running", "Evicted", TOLD)
    slow = plan(wanted, seen(running, exceeded=beyond(wanted), **there(wanted), stopping={running.id: NOW - 1}), NOW)
    assert kinds(slow.actions) == "Kill main-0"
    ended = state(wanted, Phase.EXITED, exit_code=143, exited_at=NOW)
    done = plan(wanted, seen(ended, exceeded=beyond(wanted), **there(wanted)), NOW)
    assert (done.actions, done.idle) == ((), True)
    status = instance_status(wanted, done, NODE, NOW)
    assert (status.phase, status.summary, [c.type for c in status.conditions]) == ("Failed", "Evicted", ["Ready", "Stalled"])


def test_what_had_ended_before_is_not_evicted() -> None:
    """Work that is done stays done, whatever it has left in its volume."""
    wanted = of(restartPolicy="Never")
    done = state(wanted, Phase.EXITED, exit_code=0, exited_at=NOW - 10)
    status = instance_status(wanted, plan(wanted, seen(done, exceeded=beyond(wanted), **there(wanted)), NOW), NODE, NOW)
    assert status.phase == "Succeeded"


def test_what_comes_first_is_told() -> None:
    """Of a deadline and an eviction."""
    wanted = of(activeDeadlineSeconds=60)
    running = state(wanted, Phase.RUNNING)
    for began, reason in ((NOW - 70, "DeadlineExceeded"), (NOW - 62, "Evicted")):
        found = plan(wanted, seen(running, exceeded=beyond(wanted), **there(wanted), active_since=began), NOW)
        assert found.ending is not None
        assert found.ending.reason == reason


def test_with_another_limit_it_goes_on() -> None:
    """What was found counts for the limit that it was held against."""
    again = plan(of("2Mi"), seen(exceeded=beyond(of()), **there(of("2Mi"))), NOW)
    assert (again.ending, kinds(again.actions)) == (None, "Create main/0, Start main")


# --- with a supervisor


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def limited(rig: Rig, limit: str = "1Mi", **fields: Any) -> str:
    """An instance whose volume has a limit."""
    volumes = [{"name": "data", "emptyDir": {"sizeLimit": limit}}]
    return rig.apply(container(image=IMAGE, volumeMounts=MOUNTS), volumes=volumes, **fields)


def exceed(rig: Rig, uid: str) -> None:
    """The volume is found to be too large."""
    (limit,) = rig.volumes.measured[uid]
    rig.volumes.beyond[uid] = Exceeded(limit, now())
    rig.wake(uid)


def told(rig: Rig) -> list[tuple[str, str]]:
    """Events of an eviction."""
    events = [o for (plural, _, _), o in rig.api.objects.items() if plural == "events"]
    return [(e["type"], e["message"]) for e in events if e["reason"] == "Evicted"]


async def test_an_eviction_is_told_once_and_outlives_the_agent(rig: Rig) -> None:
    """A Warning Event; a new agent starts nothing, and measures nothing of what ended. Resumed, it has empty volumes."""
    uid = limited(rig)
    await rig.settle()
    exceed(rig, uid)
    await rig.settle("Evicted")
    await until(lambda: rig.running() is None)
    await until(lambda: bool(told(rig)))
    assert told(rig) == [("Warning", TOLD)]
    assert rig.volumes.measured[uid] == ()
    await rig.restart()
    await rig.settle("Evicted")
    assert len(rig.runtime.started) == 1
    limited(rig, suspend=True)
    await rig.settle("Suspended")
    assert rig.volumes.there == {}
    limited(rig, suspend=False)
    await rig.settle()
    assert len(rig.runtime.started) == 2


async def test_a_higher_limit_ends_the_eviction(rig: Rig) -> None:
    """As with a later deadline: it goes on where it was, with what is in its volumes."""
    uid = limited(rig)
    await rig.settle()
    exceed(rig, uid)
    await rig.settle("Evicted")
    limited(rig, "2Mi")
    await rig.settle()
    assert rig.volumes.beyond == {}
    assert [limit.limit for limit in rig.volumes.measured[uid]] == ["2Mi"]
