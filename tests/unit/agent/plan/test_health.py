"""The plan where hooks and probes have a say: what is ready, what is restarted, and how a container is stopped."""

import json
from typing import Any

import pytest

from controller.agent.decide.actions import RunPreStop, StopContainer
from controller.agent.decide.health import LONG, MOST_HOOKS, hooks_label, noted
from controller.agent.decide.observation import Desired, Health, Observation
from controller.agent.decide.plan import Plan, plan
from controller.agent.decide.status import instance_status
from controller.agent.decide.stop import AFTER_HOOK_SECONDS
from controller.api import labels
from controller.api.instance import ContainerStatus
from controller.runtime.port import Phase
from tests.unit.agent.values import NODE, NOW, container, deleted, desired, first, kinds, seen, state

EXITED = Phase.EXITED
CHECK = {"exec": {"command": ["check"]}}
SLEEP = {"sleep": {"seconds": 5}}
ALL = desired(container(startupProbe=CHECK, readinessProbe=CHECK, livenessProbe=CHECK | {"terminationGracePeriodSeconds": 7}))
HOOKED = desired(container(lifecycle={"postStart": SLEEP, "preStop": SLEEP, "stopSignal": "SIGUSR1"}))


def well(**fields: Any) -> dict[str, Health]:
    """What was found of the first attempt."""
    return {"main-0": Health(**fields)}


def told(wanted: Desired, observation: Observation) -> tuple[ContainerStatus, str, str]:
    """The container's status, and reason and message of Ready."""
    status = instance_status(wanted, plan(wanted, observation, NOW), NODE, NOW)
    return status.containers[0], status.conditions[0].reason, status.conditions[0].message


@pytest.mark.parametrize(
    ("sentence", "health", "started", "ready", "message"),
    [
        ("not started", {}, False, False, "its startup probe has not succeeded yet"),
        ("not started, whatever readiness said", {"ready": True}, False, False, "its startup probe has not succeeded yet"),
        ("started", {"started": True}, True, False, "its readiness probe has not succeeded yet"),
        ("unready", {"started": True, "said": "busy"}, True, False, "its readiness probe failed: busy"),
        ("ready", {"started": True, "ready": True}, True, True, ""),
        (
            "not alive",
            {"started": True, "ready": True, "failed": "liveness", "said": "stuck"},
            True,
            False,
            "its liveness probe failed: stuck; it is being stopped",
        ),
    ],
)
def test_started_and_ready(sentence: str, health: dict[str, Any], started: bool, ready: bool, message: str) -> None:  # noqa: FBT001 - a table
    """Started by the startup probe, ready by the readiness probe; Ready of the instance says what is missing."""
    status, reason, words = told(ALL, seen(state(ALL), health=well(**health)))
    assert (status.started, status.ready) == (started, ready), sentence
    assert (reason, words) == (("Running", "") if ready else ("ContainersNotReady", f"container 'main': {message}"))


def test_without_probes_what_runs_is_ready() -> None:
    """Whatever an older spec's probes have found."""
    plain = desired()
    status, reason, _ = told(plain, seen(state(plain), health=well(said="once")))
    assert (status.started, status.ready, reason) == (True, True, "Running")


def test_a_container_whose_hook_runs_is_not_told_to_run() -> None:
    """Kubernetes.io: the state is not Running before postStart has ended."""
    status, reason, message = told(HOOKED, seen(state(HOOKED), health=well(hooking=True)))
    assert status.state.waiting is not None
    assert (status.state.waiting.reason, reason) == ("ContainerCreating", "ContainerCreating")
    assert message == "container 'main': its postStart handler has not ended yet"
    assert (status.started, status.ready) == (False, False)


def test_a_readiness_probe_vouches_for_a_container_that_crashed() -> None:
    """One that is ready by its probe is so at once; without a probe it has to run for as long as its last pause was."""
    probed = desired(container(readinessProbe=CHECK))
    for wanted, ready in ((probed, True), (desired(), False)):
        again = state(wanted, attempt=5, crashes=5, started_at=NOW)
        status, _, _ = told(wanted, seen(again, health={"main-5": Health(ready=True)}))
        assert status.ready is ready


def rounds(wanted: Desired, observation: Observation, now: float = NOW) -> tuple[str, float | None]:
    """Actions in short, and seconds until the next look."""
    made = plan(wanted, observation, now)
    return kinds(made.actions), None if made.wake_at is None else round(made.wake_at - now, 3)


DEAD = well(started=True, failed="liveness", said="stuck")
RUNS = state(ALL)


@pytest.mark.parametrize(
    ("sentence", "wanted", "observation", "then"),
    [
        ("its liveness probe failed", ALL, seen(RUNS, health=DEAD), ("Stop main-0", None)),
        ("it has the probe's grace period", ALL, seen(RUNS, health=DEAD, stopping={"main-0": NOW - 6}), ("", 1)),
        ("and is killed after that", ALL, seen(RUNS, health=DEAD, stopping={"main-0": NOW - 7}), ("Kill main-0", None)),
        (
            "a new agent stops it too: it is noted on the container",
            ALL,
            seen(state(ALL, labels={labels.UNHEALTHY: "liveness stuck"})),
            ("Stop main-0", None),
        ),
        (
            "it has ended: restarted as after any end",
            ALL,
            seen(state(ALL, EXITED), health=DEAD, stopping={"main-0": NOW - 1}),
            ("Create main/1, Start main", None),
        ),
        (
            "with a pause when it is not the first time",
            ALL,
            seen(state(ALL, EXITED, crashes=1), health=DEAD, stopping={"main-0": NOW - 1}),
            ("", 1),
        ),
        (
            "postStart failed",
            HOOKED,
            seen(state(HOOKED), health=well(hooking=True, failed="postStart")),
            ("RunPreStop main-0", None),
        ),
    ],
)
def test_what_is_unhealthy_is_restarted(
    sentence: str, wanted: Desired, observation: Observation, then: tuple[str, float | None]
) -> None:
    """Stopped within the probe's or the instance's grace period, then restarted with the usual pauses."""
    assert rounds(wanted, observation) == then, sentence


@pytest.mark.parametrize(
    ("policy", "code", "failed", "restarts"),
    [
        ("OnFailure", 0, "liveness", True),
        ("OnFailure", 0, "", False),
        ("OnFailure", 1, "", True),
        ("Never", 1, "liveness", False),
        ("Always", 0, "startup", True),
    ],
)
def test_one_that_was_stopped_for_its_health_has_failed(policy: str, code: int, failed: str, restarts: bool) -> None:  # noqa: FBT001 - a table
    """Under OnFailure it is started again whatever its exit code is; under Never it is not."""
    wanted = desired(container(livenessProbe=CHECK, startupProbe=CHECK), restartPolicy=policy)
    ended = state(wanted, EXITED, exit_code=code)
    assert bool(plan(wanted, seen(ended, health=well(failed=failed)), NOW).actions) == restarts


OUT = deleted(container(lifecycle={"preStop": SLEEP, "stopSignal": "SIGUSR1"}), terminationGracePeriodSeconds=10)
UP = state(OUT)


@pytest.mark.parametrize(
    ("sentence", "observation", "then"),
    [
        ("first the handler", seen(UP), ("RunPreStop main-0", None)),
        ("which may take the whole grace period", seen(UP, stopping={"main-0": NOW - 4}, hooks={"main-0": False}), ("", 6)),
        ("the signal when it has ended", seen(UP, stopping={"main-0": NOW - 4}, hooks={"main-0": True}), ("Stop main-0", None)),
        ("or when the time is over", seen(UP, stopping={"main-0": NOW - 10}, hooks={"main-0": False}), ("Stop main-0", None)),
        (
            "SIGKILL at the end of the grace period",
            seen(UP, stopping={"main-0": NOW - 4}, hooks={"main-0": True}, signalled={"main-0": NOW}),
            ("", 6),
        ),
        (
            "but not at once after the signal",
            seen(UP, stopping={"main-0": NOW - 10}, hooks={"main-0": False}, signalled={"main-0": NOW}),
            ("", AFTER_HOOK_SECONDS),
        ),
        (
            "then",
            seen(UP, stopping={"main-0": NOW - 12}, hooks={"main-0": False}, signalled={"main-0": NOW - 2}),
            ("Kill main-0", None),
        ),
        ("one that has ended meanwhile is removed", seen(state(OUT, EXITED), hooks={"main-0": False}), ("Remove main-0", None)),
    ],
)
def test_a_stop_with_a_handler(sentence: str, observation: Observation, then: tuple[str, float | None]) -> None:
    """preStop, then the spec's stop signal, then SIGKILL; the grace period begins with the handler."""
    assert rounds(OUT, observation) == then, sentence


def test_no_grace_no_handler() -> None:
    """Without a grace period it is killed at once."""
    assert (
        rounds(deleted(container(lifecycle={"preStop": SLEEP}), terminationGracePeriodSeconds=0), seen(UP))[0] == "Kill main-0"
    )


def stopped_with(made: Plan) -> tuple[Any, str]:
    """Handler and signal of the one action that stops."""
    (action,) = made.actions
    if isinstance(action, RunPreStop):
        return action.handler.to_json(), ""
    assert isinstance(action, StopContainer)
    return None, action.signal


HOOKS = json.dumps({"preStop": {"sleep": {"seconds": 1}}})


@pytest.mark.parametrize(
    ("sentence", "wanted", "fields", "then"),
    [
        ("the spec's, as it is now", OUT, {"labels": {labels.HOOKS: HOOKS}}, (SLEEP, "")),
        (
            "of an older spec: its own",
            OUT,
            {"spec_hash": "old", "labels": {labels.HOOKS: HOOKS}},
            ({"sleep": {"seconds": 1}}, ""),
        ),
        ("an older spec had none", OUT, {"spec_hash": "old"}, (None, "SIGTERM")),
        ("too long for the label: the spec's", OUT, {"spec_hash": "old", "labels": {labels.HOOKS: LONG}}, (SLEEP, "")),
        (
            "out of the spec: its own",
            deleted(),
            {"name": "gone", "labels": {labels.HOOKS: HOOKS}},
            ({"sleep": {"seconds": 1}}, ""),
        ),
        ("the image's signal", deleted(), {"labels": {labels.STOP_SIGNAL: "SIGINT"}}, (None, "SIGINT")),
        ("a broken label is none", deleted(), {"name": "gone", "labels": {labels.HOOKS: "{"}}, (None, "SIGTERM")),
    ],
)
def test_which_handler_it_is(sentence: str, wanted: Desired, fields: dict[str, Any], then: tuple[Any, str]) -> None:
    """What the spec says of a container that is up to date, and of others what it said when they were."""
    assert stopped_with(plan(wanted, seen(state(wanted, **fields)), NOW)) == then, sentence


def test_the_label_of_hooks() -> None:
    """Absent without any, the JSON where it fits, else a word; never more than containerd takes."""
    assert hooks_label(first(desired())) == ""
    assert json.loads(hooks_label(first(HOOKED)))["stopSignal"] == "SIGUSR1"
    long = container(lifecycle={"preStop": {"exec": {"command": ["x" * MOST_HOOKS]}}})
    assert hooks_label(first(desired(long))) == LONG


def test_what_is_noted_is_known_again() -> None:
    """Labels of the container are all that a new agent needs."""
    marks = {
        labels.POST_START: "pending",
        labels.STARTUP: "passed",
        labels.READINESS: "passed",
        labels.UNHEALTHY: "startup a b",
    }
    assert noted(state(ALL, labels=marks)) == Health(hooking=True, started=True, ready=True, failed="startup", said="a b")
    assert noted(state(ALL)) == Health()


def test_last_words_are_told() -> None:
    """Of an end, in state or lastState; of the run before, whole, in place of what the label has of it."""
    wanted = desired(restartPolicy="Never")
    status, _, _ = told(wanted, seen(state(wanted, EXITED), last_words={"main-0": "no port"}))
    assert status.state.terminated is not None
    assert status.state.terminated.message == "no port"
    always = desired()
    status, _, _ = told(always, seen(state(always, EXITED, crashes=3), last_words={"main-0": "no port"}))
    assert status.last_state.terminated is not None
    assert status.last_state.terminated.message == "no port"
    label = json.dumps({"exitCode": 1, "message": "no"})
    after = state(always, attempt=1, labels={labels.LAST_TERMINATION: label})
    for whole, expected in ({}, "no"), ({"main-1": "no port"}, "no port"):
        status, _, _ = told(always, seen(after, words_before=whole))
        assert status.last_state.terminated is not None
        assert status.last_state.terminated.message == expected
