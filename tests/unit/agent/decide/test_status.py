"""The status of an instance: the status contract, and container statuses as the kubelet tells them."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent.decide.observation import Desired, ImageView, Observation
from controller.agent.decide.plan import RUNTIME_PATIENCE_SECONDS, plan
from controller.agent.decide.resolve import container_config
from controller.agent.decide.status import UNSETTLED, instance_status
from controller.api.conditions import timestamp
from controller.api.instance import InstanceStatus
from controller.api.labels import LAST_TERMINATION
from controller.api.reasons import Reason
from controller.runtime.port import Phase
from tests.unit.agent.values import (
    IMAGE,
    NODE,
    NOW,
    PRESENT,
    container,
    desired,
    pulling,
    seen,
    state,
    trouble,
)

CREATED, RUNNING, PAUSED, EXITED = Phase.CREATED, Phase.RUNNING, Phase.PAUSED, Phase.EXITED
WEB = desired()
NEVER = desired(restartPolicy="Never")
PAIR = desired(container(), container("side"))
PAIR_NEVER = desired(container(), container("side"), restartPolicy="Never")


def told(wanted: Desired, observation: Observation, now: float = NOW) -> InstanceStatus:
    """What is told of it."""
    return instance_status(wanted, plan(wanted, observation, now), NODE, now)


def conditions_of(status: InstanceStatus) -> str:
    """The conditions in short: `Ready=Unknown Reconciling=True`."""
    return " ".join(f"{c.type}={c.status}" for c in status.conditions)


PROVES_ITSELF = "runs again, and is ready when it has run for 2 s"
SETTLED, PROGRESS, FAILED = "Ready=True", "Ready=Unknown Reconciling=True", "Ready=False Stalled=True"


@pytest.mark.parametrize(
    ("sentence", "wanted", "observation", "contract", "reason", "phase", "message"),
    [
        ("being made", WEB, seen(), PROGRESS, "ContainerCreating", "Pending", "container 'main' is being made"),
        ("runs", WEB, seen(state(WEB)), SETTLED, "Running", "Running", ""),
        (
            "runs after a back-off, and has to prove itself",
            WEB,
            seen(state(WEB, crashes=3, started_at=NOW - 1, labels={LAST_TERMINATION: '{"exitCode": 7, "reason": "Error"}'})),
            PROGRESS,
            "CrashLoopBackOff",
            "Running",
            f"container 'main': crashed 3 times in a row (the last: ended with exit code 7); {PROVES_ITSELF}",
        ),
        ("pulls", WEB, seen(images={IMAGE: ImageView()}), PROGRESS, "Pulling", "Pending", f"container 'main': pulling {IMAGE}"),
        (
            "the pull failed",
            WEB,
            seen(images=pulling(running=False, reason=Reason.IMAGE_PULL_BACK_OFF, message="no such tag", retry_at=NOW + 9)),
            PROGRESS,
            "ImagePullBackOff",
            "Pending",
            "container 'main': no such tag",
        ),
        (
            "the image's name cannot be parsed",
            WEB,
            seen(images=pulling(running=False, reason=Reason.INVALID_IMAGE_NAME, message="'X' is no name", terminal=True)),
            FAILED,
            "InvalidImageName",
            "Pending",
            "container 'main': 'X' is no name",
        ),
        (
            "the configuration cannot work",
            WEB,
            seen(troubles=trouble(WEB, reason=Reason.CREATE_CONTAINER_CONFIG_ERROR, terminal=True, message="no command")),
            FAILED,
            "CreateContainerConfigError",
            "Pending",
            "container 'main': no command",
        ),
        (
            "a try failed",
            WEB,
            seen(troubles=trouble(WEB)),
            PROGRESS,
            "CreateContainerError",
            "Pending",
            "container 'main': no space left",
        ),
        (
            "crashes again and again",
            WEB,
            seen(state(WEB, EXITED, attempt=3, crashes=3, exit_code=2)),
            PROGRESS,
            "CrashLoopBackOff",
            "Running",
            "container 'main': ended with exit code 2; restarted after a back-off of 4 s",
        ),
        (
            "ended well, for good",
            NEVER,
            seen(state(NEVER, EXITED, exit_code=0)),
            SETTLED,
            "Completed",
            "Succeeded",
            "all containers ended with exit code 0",
        ),
        (
            "failed, for good",
            NEVER,
            seen(state(NEVER, EXITED, exit_code=3)),
            FAILED,
            "Error",
            "Failed",
            "container 'main': ended with exit code 3",
        ),
        (
            "its end is not known, for good",
            NEVER,
            seen(state(NEVER, EXITED, exit_code=None)),
            FAILED,
            "ContainerStatusUnknown",
            "Failed",
            "container 'main': ended, its exit code is not known",
        ),
        (
            "could not be started, for good",
            NEVER,
            seen(troubles=trouble(NEVER, started=True, reason=Reason.START_ERROR, message="too little memory")),
            FAILED,
            "StartError",
            "Failed",
            "container 'main': too little memory",
        ),
        (
            "one of two is not there yet",
            PAIR,
            seen(state(PAIR)),
            PROGRESS,
            "ContainerCreating",
            "Pending",
            "container 'side' is being made",
        ),
        (
            "one of two ended well, the other runs",
            PAIR_NEVER,
            seen(state(PAIR_NEVER, EXITED, exit_code=0), state(PAIR_NEVER, name="side")),
            SETTLED,
            "Running",
            "Running",
            "",
        ),
        (
            "one of two failed for good, the other runs",
            PAIR_NEVER,
            seen(state(PAIR_NEVER, EXITED, exit_code=1), state(PAIR_NEVER, name="side")),
            FAILED,
            "Error",
            "Running",
            "container 'main': ended with exit code 1",
        ),
        (
            "an older spec runs and is stopped",
            WEB,
            seen(state(WEB, spec_hash="older")),
            PROGRESS,
            "Updating",
            "Running",
            "container 'main' is being replaced",
        ),
        (
            "an older spec runs and the new image comes",
            WEB,
            seen(state(WEB, spec_hash="older"), images={IMAGE: ImageView()}),
            PROGRESS,
            "Pulling",
            "Running",
            f"container 'main': pulling {IMAGE}",
        ),
        (
            "suspending",
            desired(suspend=True),
            seen(state(WEB)),
            PROGRESS,
            "Terminating",
            "Pending",
            "suspended: its containers are stopping",
        ),
        ("suspended", desired(suspend=True), seen(), SETTLED, "Suspended", "Pending", "suspended: its containers are stopped"),
        (
            "the runtime is away for long",
            WEB,
            seen(state(WEB), runtime_error="refused", runtime_down_since=NOW - RUNTIME_PATIENCE_SECONDS),
            PROGRESS,
            "RuntimeUnavailable",
            "Unknown",
            "refused",
        ),
        (
            "the runtime cannot tell",
            WEB,
            seen(state(WEB, Phase.UNKNOWN)),
            PROGRESS,
            "ContainerStatusUnknown",
            "Pending",
            "container 'main': the runtime cannot tell its state",
        ),
    ],
)
def test_the_status_contract(
    sentence: str, wanted: Desired, observation: Observation, contract: str, reason: str, phase: str, message: str
) -> None:
    """Settled, in progress, failed: the conditions, the reason people see, the phase, and what a person should know."""
    status = told(wanted, observation)
    ready = status.conditions[0]
    assert (conditions_of(status), ready.reason, status.phase, ready.message) == (contract, reason, phase, message), sentence
    assert {c.observed_generation for c in status.conditions} == {1}
    assert status.observed_generation == (UNSETTLED if contract == PROGRESS else 1), "it moves when a generation is settled"


def only(status: InstanceStatus) -> dict[str, Any]:
    """The one container status, as JSON."""
    (found,) = status.containers
    return found.to_json()


def test_a_running_container_is_told_as_the_kubelet_does() -> None:
    """Name, image as written, image and container ids, the state with its time, ready and started."""
    assert only(told(WEB, seen(state(WEB, started_at=NOW - 5, attempt=2)))) == {
        "name": "main",
        "image": IMAGE,
        "imageID": f"{IMAGE}@{PRESENT.digest}",
        "containerID": "containerd://main-2",
        "state": {"running": {"startedAt": timestamp(NOW - 5)}},
        "lastState": {},
        "ready": True,
        "started": True,
        "restartCount": 2,
    }


def test_a_crashed_container_waits_and_tells_its_last_end() -> None:
    """While it backs off: waiting with the reason, and the end in lastState."""
    shown = only(told(WEB, seen(state(WEB, EXITED, attempt=1, crashes=1, exit_code=137, oom_killed=True, started_at=NOW - 3))))
    assert shown["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert shown["lastState"]["terminated"] == {
        "exitCode": 137,
        "signal": 9,
        "reason": "OOMKilled",
        "message": "",
        "startedAt": timestamp(NOW - 3),
        "finishedAt": timestamp(NOW),
        "containerID": "containerd://main-1",
    }
    assert (shown["ready"], shown["started"], shown["restartCount"]) == (False, False, 1)


def test_the_last_end_reads_the_same_before_and_after_the_restart() -> None:
    """What lastState says of an end does not change when the next container has taken over: ids in the same form."""
    ended = state(WEB, EXITED, attempt=0, exit_code=3)
    before = only(told(WEB, seen(replace(ended), troubles=trouble(WEB))))["lastState"]
    (create, _) = plan(WEB, seen(ended), NOW).actions
    labels = container_config(WEB.instance, create, PRESENT, NODE).labels  # type: ignore[arg-type]
    after = only(told(WEB, seen(replace(state(WEB, attempt=1), labels=labels))))["lastState"]
    assert before == after
    assert after["terminated"]["containerID"] == "containerd://main-0"


def test_a_container_that_ended_for_good_is_terminated() -> None:
    """The end is the state, not the last one."""
    shown = only(told(NEVER, seen(state(NEVER, EXITED, exit_code=0))))
    assert shown["state"]["terminated"]["reason"] == "Completed"
    assert shown["state"]["terminated"]["containerID"] == "containerd://main-0"
    assert shown["lastState"] == {}


def test_a_process_that_could_not_be_started_is_terminated_with_128() -> None:
    """Under Never a failed start is the end, told as containerd's CRI does."""
    shown = only(told(NEVER, seen(troubles=trouble(NEVER, started=True, reason=Reason.START_ERROR, message="why"))))
    assert shown["state"]["terminated"] == {"exitCode": 128, "reason": "StartError", "message": "why", "containerID": ""}


def test_exactly_one_member_of_a_state_is_set() -> None:
    """As core/v1 has it, in every situation."""
    for phase in Phase:
        for wanted in (WEB, NEVER, desired(suspend=True)):
            (found,) = told(wanted, seen(state(wanted, phase))).containers
            assert len(found.state.to_json()) == 1, (phase, wanted)


def test_the_counts_are_over_all_containers() -> None:
    """Ready of all, and the sum of restarts."""
    observation = seen(state(PAIR, attempt=2), state(PAIR, EXITED, name="side", attempt=3, crashes=4))
    status = told(PAIR, observation)
    assert (status.ready, status.restarts) == ("1/2", 5)


def test_the_address_is_the_nodes_on_the_host_network() -> None:
    """Only there."""
    assert told(WEB, seen()).ip == "192.0.2.7"
    assert told(desired(hostNetwork=False), seen()).ip == ""


def test_what_runs_is_told_as_running_while_the_runtime_is_away() -> None:
    """Silence of the runtime ends no container: only what should come now is told as held up."""
    away: dict[str, Any] = {"runtime_error": "refused", "runtime_down_since": NOW - 60, "images": {}}
    shown = told(PAIR, seen(state(PAIR), state(PAIR, EXITED, name="side"), **away))
    main, side = (c.state.to_json() for c in shown.containers)
    assert list(main) == ["running"]
    assert side["waiting"] == {"reason": "RuntimeUnavailable", "message": "refused"}


def test_a_suspended_instance_names_its_containers() -> None:
    """They wait, and nothing of an earlier run is told."""
    shown = only(told(desired(suspend=True), seen()))
    assert shown["state"] == {"waiting": {"reason": "Pending", "message": ""}}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"exitCode": "x"}'])
def test_a_label_that_somebody_broke_hides_the_last_end_only(text: str) -> None:
    """The status is told none the less."""
    shown = only(told(WEB, seen(state(WEB, labels={LAST_TERMINATION: text}))))
    assert (list(shown["state"]), shown["lastState"]) == (["running"], {})
