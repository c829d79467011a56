"""The workload's status: counts, and one verdict that conditions, reason and message come from."""

from collections.abc import Callable
from typing import Any

import pytest

from controller.api.conditions import find
from controller.api.workload import WorkloadStatus
from controller.manager.decide.status import Facts, Refusal, summarize
from tests.unit.manager.world import START, World, node

NOT_FOUND = 'container "web": 127.0.0.1:5000/nope:1 not found'


def told(world: World, *, first_seen: float = START, refusal: Refusal | None = None, stale: str = "") -> WorkloadStatus:
    """The status of the workload as it is now."""
    return summarize(
        Facts(
            workload=world.workload,
            instances=world.instances,
            decision=world.decide(),
            fleet=world.fleet,
            now=world.now,
            first_seen=first_seen,
            refusal=refusal,
            stale=stale,
        )
    )


def written(world: World, **more: Any) -> WorkloadStatus:
    """The status, written to the API server."""
    status = told(world, **more)
    world.status = status.to_json()
    return status


def summary(status: WorkloadStatus) -> str:
    """`Ready=True Available` and what else is True."""
    ready = find(status.conditions, "Ready")
    assert ready is not None
    others = [c.type for c in status.conditions if c.type != "Ready"]
    return " ".join([f"Ready={ready.status}", ready.reason, *others])


def message(status: WorkloadStatus) -> str:
    """The message of the Ready condition."""
    ready = find(status.conditions, "Ready")
    assert ready is not None
    return ready.message


def placed(**spec: Any) -> World:
    """Two nodes; every instance is created, none has been told of."""
    world = World.of(node("n1"), node("n2"), mode=spec.pop("mode", "Global"), **spec)
    world.apply(world.decide())
    return world


def _fresh(world: World) -> None:
    """Nothing more."""


def _ready(world: World) -> None:
    world.ready()


def _pulling(world: World) -> None:
    world.tell("web-n1", "Unknown", "ImagePullBackOff", NOT_FOUND)


def _fetching(world: World) -> None:
    for name, done in (("web-n1", 500), ("web-n2", 190)):
        pull = {"image": "x", "bytesDone": done, "bytesTotal": 1000, "percent": done // 10, "bytesPerSecond": 1}
        world.tell(name, "Unknown", "Pulling", 'container "web": pulling x', pull=pull)


def _invalid(world: World) -> None:
    world.tell("web-n1", "False", "InvalidImageName", 'container "web": cannot be parsed: x:y:z', stalled=True)


def _invalid_and_replaced(world: World) -> None:
    _invalid(world)
    world.set_image("web:2")


def _silent(world: World) -> None:
    world.ready()
    world.nodes["n2"] = node("n2", alive=False)


def _suspended(world: World) -> None:
    world.edit(suspend=True)
    world.apply(world.decide())
    world.agents()


def _suspending(world: World) -> None:
    world.edit(suspend=True)
    world.apply(world.decide())


def _updating(world: World) -> None:
    world.ready()
    world.set_image("web:2")


def _done(world: World) -> None:
    for name in world.objects:
        world.tell(name, "True", "Completed", phase="Succeeded")


def _no_match(world: World) -> None:
    world.edit(placement={"nodeSelector": {"zone": "x"}})
    world.settle()


VERDICTS: dict[str, tuple[Callable[[World], None], str, str]] = {
    "what was just created is in progress": (_fresh, "Ready=Unknown Progressing Reconciling", "0 of 2 instances are available"),
    "what is all available is ready": (_ready, "Ready=True Available", ""),
    "a failing pull is told in the instance's own words": (
        _pulling,
        "Ready=Unknown ImagePullBackOff Reconciling",
        'web-n1: container "web": ImagePullBackOff: 127.0.0.1:5000/nope:1 not found',
    ),
    "pulls are told together, in steps of ten per cent": (
        _fetching,
        "Ready=Unknown Progressing Reconciling",
        (
            "0 of 2 instances are available; 2 pull an image (30% is there); "
            'web-n1: container "web": Pulling: pulling x (and 1 more)'
        ),
    ),
    "a terminal failure stalls the workload": (
        _invalid,
        "Ready=False InvalidImageName Stalled",
        'web-n1: container "web": InvalidImageName: cannot be parsed: x:y:z',
    ),
    "the failure of an old template is no failure of the new one": (
        _invalid_and_replaced,
        "Ready=Unknown Progressing Reconciling",
        "0 of 2 instances are available; 2 not updated yet",
    ),
    "an instance on a silent node is not available": (
        _silent,
        "Ready=Unknown NodeLost Reconciling",
        "web-n2: node n2: its agent does not report",
    ),
    "a suspended workload is settled when all are stopped": (
        _suspended,
        "Ready=True Suspended",
        "suspended: 2 of 2 instances are stopped",
    ),
    "and in progress until then": (
        _suspending,
        "Ready=Unknown Suspended Reconciling",
        "suspended: 0 of 2 instances are stopped",
    ),
    "a new template is in progress": (
        _updating,
        "Ready=Unknown Progressing Reconciling",
        "2 of 2 instances are available; 2 not updated yet",
    ),
    "what ended with success is complete": (_done, "Ready=True Complete Complete", "every instance ended with success"),
    "a global workload without any node is settled": (_no_match, "Ready=True Available", "no node is selected"),
}


@pytest.mark.parametrize("sentence", VERDICTS)
def test_verdict(sentence: str) -> None:
    """Conditions and message are what the sentence says."""
    prepare, expected, text = VERDICTS[sentence]
    world = placed()
    prepare(world)
    status = told(world)
    assert (summary(status), message(status)) == (expected, text)


def test_counts() -> None:
    """The numbers are those of apps/v1, and READY is for people."""
    world = placed()
    world.ready("web-n1")
    world.objects["web-n1"]["status"]["restarts"] = 3
    status = told(world)
    assert (status.replicas, status.desired_replicas, status.updated_replicas) == (2, 2, 2)
    assert (status.ready_replicas, status.available_replicas, status.ready) == (1, 1, "1/2")
    assert (status.restarts, status.nodes, status.selector) == (3, "n1,n2", "moorage.dev/workload=web")


def test_nothing_suspended_counts_as_ready() -> None:
    """The workload is settled, and READY says that nothing of it serves anybody."""
    world = placed()
    world.ready()
    _suspended(world)
    status = told(world)
    assert (status.replicas, status.ready_replicas, status.available_replicas, status.ready) == (2, 0, 0, "0/2")


def test_many_nodes_are_shortened() -> None:
    """Three names, and how many more."""
    world = World.of(*(node(f"n{n}") for n in range(5)), mode="Global")
    world.apply(world.decide())
    assert told(world).nodes == "n0,n1,n2,+2 more"


def test_observed_generation_moves_when_a_generation_is_settled() -> None:
    """-1 while the first is in progress, then with Ready, kept during an update, and moved by a failure as well."""
    world = placed()
    assert written(world).observed_generation == -1
    world.ready()
    assert written(world).observed_generation == 1
    world.set_image("x:y:z")
    status = written(world)
    assert status.observed_generation == 1
    assert {c.observed_generation for c in status.conditions} == {2}
    world.apply(world.decide())
    name = next(i.key.name for i in world.live if not i.settled)
    world.tell(name, "False", "InvalidImageName", stalled=True)
    assert written(world).observed_generation == 2


def test_on_delete_is_settled_with_old_instances() -> None:
    """What waits for the user holds nothing up."""
    world = placed(update={"type": "OnDelete"})
    world.ready()
    world.set_image("web:2")
    status = told(world)
    assert summary(status) == "Ready=True Available"
    assert message(status) == "2 of 2 instances get the new template when they are deleted"


def test_what_fits_nowhere_is_told() -> None:
    """The reason counts why the nodes do not fit."""
    world = World.of(node("n1", unschedulable=True), replicas=2)
    status = told(world)
    assert summary(status) == "Ready=Unknown NoMatchingNode Reconciling"
    assert message(status) == "2 instances cannot be placed: 0/1 nodes are available: 1 node(s) were unschedulable"


def test_a_refused_create_is_told() -> None:
    """For good when the API server will never take it, in progress when it may."""
    world = World.of(node("n1"))
    final = told(world, refusal=Refusal("metadata.labels: Invalid value", final=True))
    assert (summary(final), message(final)) == ("Ready=False FailedCreate Stalled", "metadata.labels: Invalid value")
    waiting = told(world, refusal=Refusal("exceeded quota", final=False))
    assert (summary(waiting), message(waiting)) == ("Ready=Unknown FailedCreate Reconciling", "exceeded quota")


# --- the progress deadline

LATE = "Ready=False ProgressDeadlineExceeded Stalled"


def test_without_progress_the_workload_stalls_with_the_cause() -> None:
    """After progressDeadlineSeconds the failing pull is the cause of the stall."""
    world = placed(update={"progressDeadlineSeconds": 60})
    _pulling(world)
    written(world)
    world.now += 59
    assert summary(written(world)) == "Ready=Unknown ImagePullBackOff Reconciling"
    world.now += 1
    status = written(world)
    assert summary(status) == LATE
    assert message(status).startswith('no progress for 60 s: web-n1: container "web": ImagePullBackOff')
    assert status.observed_generation == 1


def test_every_instance_that_becomes_ready_is_progress() -> None:
    """A slow rollout is none that hangs."""
    world = placed(update={"progressDeadlineSeconds": 60})
    world.now += 50
    world.ready("web-n1")
    world.now += 50
    assert summary(told(world)) == "Ready=Unknown Progressing Reconciling"
    world.now += 10
    assert summary(told(world)) == LATE


def test_a_stall_is_neither_taken_back_by_time_nor_by_a_restart_of_the_manager() -> None:
    """Only progress, or a new generation, ends it."""
    world = placed(update={"progressDeadlineSeconds": 60})
    _pulling(world)
    world.now += 60
    assert summary(written(world)) == LATE
    world.now += 1000
    assert summary(written(world)) == LATE
    assert summary(written(world, first_seen=0.0)) == LATE
    world.ready("web-n1")
    assert summary(told(world)) == "Ready=Unknown Progressing Reconciling"


def test_a_new_generation_gets_its_full_time() -> None:
    """The deadline begins with the generation."""
    world = placed(update={"progressDeadlineSeconds": 60})
    world.ready()
    written(world)
    world.now += 10_000
    world.set_image("web:2")
    assert summary(told(world, first_seen=world.now)) == "Ready=Unknown Progressing Reconciling"


def test_a_restarted_manager_counts_from_what_the_conditions_say() -> None:
    """first_seen is 0 when the conditions of this generation were there before the manager."""
    world = placed(update={"progressDeadlineSeconds": 60})
    _pulling(world)
    world.now += 30
    written(world)
    world.now += 59
    assert summary(told(world, first_seen=0.0)) == "Ready=Unknown ImagePullBackOff Reconciling"
    world.now += 1
    assert summary(told(world, first_seen=0.0)) == LATE


def test_a_status_is_stable() -> None:
    """Summarized again later, nothing changes: no write without a change."""
    world = placed()
    world.ready()
    first = written(world)
    world.now += 500
    assert told(world) == first


def test_stale_definitions_are_told_beside_the_verdict_and_for_as_long_as_they_are() -> None:
    """The condition changes nothing of Ready and of what is settled, keeps its time, and goes when the cause does."""
    world = placed()
    world.ready()
    before = written(world)
    stale = written(world, stale="the definition is stale")
    assert summary(stale) == "Ready=True Available SchemaStale"
    assert stale.observed_generation == before.observed_generation
    found = find(stale.conditions, "SchemaStale")
    assert found is not None
    assert (found.status, found.reason, found.message) == ("True", "SchemaStale", "the definition is stale")
    world.now += 500
    assert told(world, stale="the definition is stale") == stale
    assert written(world) == before


# --- the end of what runs to its end


def _ended(world: World, *phases: str) -> list[str]:
    """The conditions beside Ready, Reconciling and Stalled, when the instances have come to these phases."""
    for name, phase in zip(sorted(world.objects), phases, strict=True):
        bad = phase == "Failed"
        world.tell(name, "False" if bad else "True", "Error" if bad else "Completed", stalled=bad, phase=phase)
    return [c.type for c in told(world).conditions if c.type in {"Complete", "Failed"}]


def test_complete_and_failed_are_told_as_of_a_job() -> None:
    """Complete when every instance has succeeded; Failed when every one has ended, and one has not; neither before."""
    assert _ended(placed(), "Succeeded", "Succeeded") == ["Complete"]
    assert _ended(placed(), "Succeeded", "Failed") == ["Failed"]
    assert _ended(placed(), "Running", "Failed") == []
    world = placed()
    assert _ended(world, "Succeeded", "Succeeded") == ["Complete"]
    status = told(world)
    assert (summary(status), [c.reason for c in status.conditions]) == (
        "Ready=True Complete Complete",
        ["Complete", "Complete"],
    )
    world.set_image("web:2")
    assert _ended(world, "Succeeded", "Succeeded") == []


def test_the_end_is_told_only_beside_what_agrees_with_it() -> None:
    """While the workload is Reconciling, as with instances that have not been Ready for long enough, nothing is over."""
    world = placed(update={"minReadySeconds": 10})
    assert _ended(world, "Succeeded", "Succeeded") == []
    assert [c.type for c in told(world).conditions] == ["Ready", "Reconciling"]
    world.now += 10
    assert summary(told(world)) == "Ready=True Complete Complete"


@pytest.mark.parametrize("mode", ["Global", "Replicated"])
def test_done_work_stays_done_when_its_node_is_lost(mode: str) -> None:
    """As Jobs count it; a node that falls silent changes nothing of what was done on it."""
    world = placed(mode=mode, **({"replicas": 2} if mode == "Replicated" else {}))
    assert _ended(world, "Succeeded", "Succeeded") == ["Complete"]
    before = written(world)
    for lost_at in (None, world.now):
        world.nodes["n2"] = node("n2", alive=False, lost_at=lost_at)
        world.now += 400
        assert told(world) == before
        assert world.decide().idle
    assert world.decide().wake_at is None
    other = next(name for name, obj in sorted(world.objects.items()) if obj["spec"]["nodeName"] == "n1")
    world.tell(other, "Unknown", "ContainerCreating", phase="Pending")
    assert "NodeLost" not in summary(told(world))
