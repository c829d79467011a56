"""Init containers and sidecars: what the planner does next, and what is told of it."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent.decide.order import places
from controller.agent.decide.plan import Plan, plan
from controller.agent.decide.status import instance_status
from controller.api import labels
from controller.api.instance import InstanceStatus
from controller.api.reasons import Reason
from controller.runtime.port import ContainerState, Phase
from tests.unit.agent.values import NODE, NOW, container, deleted, desired, kinds, seen, state, trouble

CREATED, RUNNING, EXITED = Phase.CREATED, Phase.RUNNING, Phase.EXITED

INITS = [container("one"), container("proxy", restartPolicy="Always"), container("two")]
SPEC: dict[str, Any] = {"initContainers": INITS, "terminationGracePeriodSeconds": 30}
WEB = desired(**SPEC)
NEVER = desired(**SPEC, restartPolicy="Never")


def made(name: str, phase: Phase = RUNNING, code: int | None = 0, **fields: Any) -> ContainerState:
    """A container that was made in its turn."""
    after = next(p.after for p in places(WEB.instance.spec) if p.container.name == name)
    fields = ({"exit_code": code} if phase is EXITED else {}) | fields
    return state(WEB, phase, name=name, labels={labels.INIT: after} if after else {}, **fields)


ONE, PROXY, TWO = made("one", EXITED), made("proxy"), made("two", EXITED)
MAIN = made("main")


def told(result: Plan, wanted: Any = WEB) -> InstanceStatus:
    """The status of it."""
    return instance_status(wanted, result, NODE, NOW)


STEPS: dict[str, tuple[tuple[ContainerState, ...], str, str]] = {
    "the first alone": ((), "Create one/0, Start one", "Init:0/3"),
    "while it runs, nothing": ((made("one"),), "", "Init:0/3"),
    "made and not started": ((made("one", CREATED),), "Start one-0", "Init:0/3"),
    "it completed: the sidecar": ((ONE,), "Create proxy/0, Start proxy", "Init:1/3"),
    "the sidecar runs: the next": ((ONE, PROXY), "Create two/0, Start two", "Init:2/3"),
    "the last runs": ((ONE, PROXY, made("two")), "", "Init:2/3"),
    "all done: the containers": ((ONE, PROXY, TWO), "Create main/0, Start main", "ContainerCreating"),
    "all run": ((ONE, PROXY, TWO, MAIN), "", "Running"),
    "what came later proves what was before": ((PROXY, MAIN), "", "Running"),
    "also a container that was only made": ((PROXY, made("main", CREATED)), "Start main-0", "ContainerCreating"),
    "a sidecar that ended alone comes back alone": (
        (ONE, made("proxy", EXITED, 1), TWO, MAIN),
        "Create proxy/1, Start proxy",
        "ContainerCreating",
    ),
    "one that failed comes back": ((made("one", EXITED, 1),), "Create one/1, Start one", "Init:0/3"),
    "after a pause": ((made("one", EXITED, 1, crashes=1),), "", "Init:CrashLoopBackOff"),
    "a sidecar is down when the next one is to come": ((ONE, made("proxy", EXITED, 1, crashes=3)), "", "Init:CrashLoopBackOff"),
    "of an earlier boot: from the beginning": (
        tuple(replace(c, labels={**c.labels, labels.BOOT_ID: "old"}) for c in (ONE, TWO)),
        "Create one/1, Start one",
        "Init:0/3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", STEPS)
def test_one_after_another(sentence: str) -> None:
    """The next in the row, when its turn has come; and how far it is, as kubectl tells it of a pod."""
    containers, then, word = STEPS[sentence]
    result = plan(WEB, seen(*containers), NOW)
    assert (kinds(result.actions), told(result).summary) == (then, word)


def test_a_sidecar_with_a_startup_probe_holds_the_next_one_until_it_has_succeeded() -> None:
    """Started is what counts, not ready."""
    probe = {"startupProbe": {"tcpSocket": {"port": 1}}, "readinessProbe": {"tcpSocket": {"port": 1}}}
    wanted = desired(initContainers=[container("proxy", restartPolicy="Always", **probe)])
    proxy = state(wanted, name="proxy")
    assert plan(wanted, seen(proxy), NOW).actions == ()
    proxy = replace(proxy, labels={**proxy.labels, labels.STARTUP: "passed"})
    result = plan(wanted, seen(proxy, state(wanted)), NOW)
    status = instance_status(wanted, result, NODE, NOW)
    assert (result.actions, status.ready, status.phase) == ((), "1/2", "Running")
    assert kinds(plan(wanted, seen(proxy), NOW).actions) == "Create main/0, Start main"


def test_statuses_of_init_containers() -> None:
    """Completed ones are ready and terminated, the others wait; one of which nothing is left is told as completed."""
    first = told(plan(WEB, seen(ONE, PROXY), NOW))
    assert [(c.name, c.ready) for c in first.init_containers] == [("one", True), ("proxy", True), ("two", False)]
    assert first.init_containers[0].state.terminated is not None
    waiting = first.containers[0].state.waiting
    assert waiting is not None
    assert (waiting.reason, first.phase, first.ready) == ("PodInitializing", "Pending", "1/2")
    later = told(plan(WEB, seen(PROXY, MAIN), NOW)).init_containers[0]
    assert later.state.terminated is not None
    assert (later.state.terminated.exit_code, later.state.terminated.reason, later.ready) == (0, "Completed", True)


def test_the_restarts_of_init_containers_count_until_they_are_done() -> None:
    """As kubectl has it: then only those of what lasts."""
    again = made("one", attempt=4)
    assert told(plan(WEB, seen(again), NOW)).restarts == 4
    assert told(plan(WEB, seen(made("one", EXITED, attempt=4), PROXY, TWO, MAIN), NOW)).restarts == 0


def test_under_never_a_failed_init_container_ends_the_instance() -> None:
    """Its sidecars are stopped, nothing else is started, and it has Failed."""
    failed = made("two", EXITED, 3)
    result = plan(NEVER, seen(ONE, PROXY, failed), NOW)
    assert kinds(result.actions) == "Stop proxy-0"
    status = told(plan(NEVER, seen(ONE, made("proxy", EXITED, 143), failed), NOW), NEVER)
    assert (status.phase, status.summary, status.conditions[0].reason) == ("Failed", "Init:Error", "Error")
    assert [c.type for c in status.conditions] == ["Ready", "Stalled"]


def test_under_never_one_that_cannot_be_started_ends_it_too() -> None:
    """As an end with an error."""
    found = trouble(NEVER, reason=Reason.START_ERROR, started=True)
    result = plan(NEVER, seen(troubles={"one": found["main"]}), NOW)
    status = told(result, NEVER)
    assert (result.actions, status.phase, status.summary) == ((), "Failed", "Init:StartError")


def test_a_run_to_completion_ends_with_its_sidecars() -> None:
    """When the last container has ended they are stopped; how they end counts for nothing."""
    done = made("main", EXITED)
    result = plan(NEVER, seen(ONE, PROXY, TWO, done), NOW)
    status = told(result, NEVER)
    assert (kinds(result.actions), status.phase, status.conditions[0].status) == ("Stop proxy-0", "Running", "Unknown")
    result = plan(NEVER, seen(ONE, made("proxy", EXITED, 137), TWO, done), NOW)
    status = told(result, NEVER)
    assert (result.actions, status.phase, status.summary) == ((), "Succeeded", "Completed")


def test_a_sidecar_restarts_under_never() -> None:
    """Its own policy is Always, as long as a container runs."""
    result = plan(NEVER, seen(ONE, made("proxy", EXITED, 0), TWO, MAIN), NOW)
    assert kinds(result.actions) == "Create proxy/1, Start proxy"


STOPS: dict[str, tuple[tuple[ContainerState, ...], dict[str, Any], str, float | None]] = {
    "the containers first": ((PROXY, MAIN, TWO), {}, "Remove two-0, Stop main-0", 30),
    "then the sidecar": ((PROXY,), {}, "Stop proxy-0", None),
    "it has what is left": ((PROXY,), {"ending_since": NOW - 10, "stopping": {"proxy-0": NOW - 5}}, "", 20),
    "two seconds at least": ((PROXY,), {"ending_since": NOW - 60, "stopping": {"proxy-0": NOW - 1}}, "", 1),
    "it is killed after that": ((PROXY,), {"ending_since": NOW - 60, "stopping": {"proxy-0": NOW - 2}}, "Kill proxy-0", None),
    "nobody waits longer than the grace period": (
        (PROXY, MAIN),
        {"ending_since": NOW - 30, "stopping": {"main-0": NOW - 30}, "killed": {"main-0": NOW}},
        "Stop proxy-0",
        10,
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", STOPS)
def test_sidecars_stop_last(sentence: str) -> None:
    """After the containers, within the grace period of the whole."""
    containers, notes, then, wake = STOPS[sentence]
    result = plan(deleted(**SPEC), seen(*containers, **notes), NOW)
    assert (kinds(result.actions), None if result.wake_at is None else result.wake_at - NOW) == (then, wake)


def test_sidecars_stop_in_reverse_order() -> None:
    """The last one first; without a grace period all are killed at once."""
    row = [container(n, restartPolicy="Always") for n in ("a", "b")]
    for grace, then in ((5, "Stop b-0"), (0, "Kill a-0, Kill b-0")):
        wanted = deleted(initContainers=row, terminationGracePeriodSeconds=grace)
        assert kinds(plan(wanted, seen(state(wanted, name="a"), state(wanted, name="b")), NOW).actions) == then


def test_an_instance_with_a_failing_image_update_of_an_init_container_runs_on() -> None:
    """What runs is stopped only when all that comes in its place is there."""
    changed = desired(**{**SPEC, "initContainers": [container("one", image="example.com/new:1"), *INITS[1:]]})
    result = plan(changed, seen(ONE, PROXY, TWO, MAIN), NOW)
    assert kinds(result.actions) == "Pull example.com/new:1"
    assert instance_status(changed, result, NODE, NOW).containers[0].ready


LIMIT = desired(**SPEC, activeDeadlineSeconds=60)
LATE: dict[str, Any] = {"active_since": NOW - 60}

DEADLINES: dict[str, tuple[tuple[ContainerState, ...], dict[str, Any], str, float | None, str]] = {
    "before it, it is awaited": ((ONE, PROXY, TWO, MAIN), {"active_since": NOW - 50}, "", 10, "Running"),
    "then the containers are stopped": ((ONE, PROXY, TWO, MAIN), LATE, "Stop main-0", 30, "DeadlineExceeded"),
    "and the sidecars after them": ((PROXY, made("main", EXITED, 143)), LATE, "Stop proxy-0", None, "DeadlineExceeded"),
    "and nothing is started again": (
        (made("proxy", EXITED, 143), made("main", EXITED, 143)),
        LATE,
        "",
        None,
        "DeadlineExceeded",
    ),
    "an init container is stopped, too": ((made("one"),), LATE, "Stop one-0", None, "DeadlineExceeded"),
    "what was never made is not made": ((), LATE, "", None, "DeadlineExceeded"),
    "what the containers tell counts for a new agent": (
        (replace(MAIN, labels={**MAIN.labels, labels.ACTIVE_SINCE: str(int((NOW - 60) * 1000))}),),
        {"active_since": NOW},
        "Stop main-0",
        None,
        "DeadlineExceeded",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", DEADLINES)
def test_active_deadline(sentence: str) -> None:
    """An instance that has not ended in time is stopped for good (core/v1, activeDeadlineSeconds)."""
    containers, fields, then, wake, word = DEADLINES[sentence]
    result = plan(LIMIT, seen(*containers, **fields), NOW)
    assert (kinds(result.actions), None if result.wake_at is None else result.wake_at - NOW) == (then, wake)
    assert told(result, LIMIT).summary == word


def test_after_the_deadline_it_has_failed() -> None:
    """When everything has stopped the phase is Failed, however the containers ended."""
    running = told(plan(LIMIT, seen(PROXY, MAIN, **LATE), NOW), LIMIT)
    assert (running.phase, [c.type for c in running.conditions]) == ("Running", ["Ready", "Stalled"])
    status = told(plan(LIMIT, seen(made("proxy", EXITED), made("main", EXITED), **LATE), NOW), LIMIT)
    assert (status.phase, status.conditions[0].reason) == ("Failed", "DeadlineExceeded")


def test_what_has_ended_in_time_is_not_held_against_the_deadline() -> None:
    """A run to completion that is done stays done."""
    wanted = desired(restartPolicy="Never", activeDeadlineSeconds=60)
    done = state(wanted, EXITED, exit_code=0, exited_at=NOW - 10)
    status = told(plan(wanted, seen(done, active_since=NOW - 65), NOW), wanted)
    assert (status.phase, status.conditions[0].reason) == ("Succeeded", "Completed")


@pytest.mark.parametrize(
    ("sentence", "policy", "rules", "code", "again"),
    [
        ("its own Never", "Never", [], 1, False),
        ("its own OnFailure", "OnFailure", [], 0, False),
        ("its own OnFailure, failed", "OnFailure", [], 1, True),
        ("its own Always", "Always", [], 0, True),
        ("a rule for the code", "Never", [("In", [42])], 42, True),
        ("a rule for another", "Never", [("In", [42])], 1, False),
        ("a rule for all others", "Never", [("NotIn", [42])], 1, True),
        ("a rule for all others, but this", "Never", [("NotIn", [42])], 42, False),
        ("the second rule", "Never", [("In", [1]), ("In", [2])], 2, True),
        ("a rule for success", "OnFailure", [("In", [0])], 0, True),
    ],
)
@pytest.mark.parametrize("whole", ["Always", "Never"])
def test_own_restart_policies(sentence: str, policy: str, rules: list[Any], code: int, again: bool, whole: str) -> None:  # noqa: FBT001
    """A container's own policy, and its exceptions, hold whatever the instance's is (KEP-5307)."""
    own = [{"action": "Restart", "exitCodes": {"operator": o, "values": v}} for o, v in rules]
    wanted = desired(container(restartPolicy=policy, restartPolicyRules=own), restartPolicy=whole)
    result = plan(wanted, seen(state(wanted, EXITED, exit_code=code)), NOW)
    assert kinds(result.actions) == ("Create main/1, Start main" if again else ""), sentence


# --- one container alone

ALONE = desired(container(), container("side", suspend=True))
MARKED = {labels.SUSPENDED: "true"}

ALONES: dict[str, tuple[Any, tuple[ContainerState, ...], str]] = {
    "it alone is stopped, and that is written down before": (
        ALONE,
        (state(ALONE), state(ALONE, name="side")),
        "MarkSuspended side-0, Stop side-0",
    ),
    "it stays stopped": (ALONE, (state(ALONE), state(ALONE, EXITED, name="side", labels=MARKED)), ""),
    "one that was never there is not made": (ALONE, (state(ALONE),), ""),
    "when it is to run again it is started": (
        desired(container(), container("side")),
        (state(ALONE), state(ALONE, EXITED, name="side", labels=MARKED)),
        "Create side/1, Start side",
    ),
    "under Never, too": (
        desired(container(), container("side"), restartPolicy="Never"),
        (state(ALONE), state(ALONE, EXITED, name="side", labels=MARKED)),
        "Create side/1, Start side",
    ),
    "one that was to stop and runs on is not marked any more": (
        desired(container(), container("side")),
        (state(ALONE), state(ALONE, name="side", labels=MARKED)),
        "MarkSuspended side-0",
    ),
    "another restartedAt replaces it alone": (
        desired(container(), container("side", restartedAt="now")),
        (state(ALONE), state(ALONE, name="side")),
        "Stop side-0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", ALONES)
def test_one_container_alone(sentence: str) -> None:
    """Stopped, started, restarted, without a touch of the others."""
    wanted, containers, then = ALONES[sentence]
    assert kinds(plan(wanted, seen(*containers), NOW).actions) == then


def test_a_suspended_container_is_told_as_settled() -> None:
    """It waits, with its last end beside it; the instance is Ready, and says what is stopped."""
    ended = state(ALONE, EXITED, name="side", exit_code=143, labels=MARKED)
    status = told(plan(ALONE, seen(state(ALONE), ended), NOW), ALONE)
    side = status.containers[1]
    assert (status.ready, status.phase, status.summary) == ("1/2", "Running", "Running")
    assert [(c.type, c.status, c.message) for c in status.conditions] == [("Ready", "True", "container 'side' is suspended")]
    assert side.state.waiting is not None
    assert side.last_state.terminated is not None
    assert (side.state.waiting.reason, side.last_state.terminated.exit_code) == ("Suspended", 143)


def test_while_it_stops_the_instance_is_in_progress() -> None:
    """And settled after that; also one whose only container is suspended."""
    only = desired(container(suspend=True))
    status = told(plan(only, seen(state(only)), NOW), only)
    assert (status.conditions[0].status, status.summary) == ("Unknown", "Terminating")
    status = told(plan(only, seen(state(only, EXITED, labels=MARKED)), NOW), only)
    assert (status.conditions[0].status, status.summary, status.phase) == ("True", "Suspended", "Running")


def test_a_suspended_sidecar_holds_nobody_up() -> None:
    """The others come without it."""
    wanted = desired(initContainers=[container("proxy", restartPolicy="Always", suspend=True)])
    assert kinds(plan(wanted, seen(), NOW).actions) == "Create main/0, Start main"
