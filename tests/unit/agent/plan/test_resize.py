"""Changed resources of a container that runs: in place, by a restart, or not now."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent.decide.observation import Desired, ResizeTrouble
from controller.agent.decide.plan import plan
from controller.agent.decide.resources import applied
from controller.agent.decide.status import instance_status
from controller.api import labels
from controller.api.resources import AppliedResources
from controller.runtime.port import ContainerState, Phase
from tests.unit.agent.values import NODE, NOW, container, desired, first, kinds, seen, state, trouble

LIMITS = {"limits": {"cpu": "500m", "memory": "64Mi"}}
MORE_CPU = {"limits": {"cpu": "1", "memory": "64Mi"}}
MORE_MEMORY = {"limits": {"cpu": "500m", "memory": "128Mi"}}


def wanted(resources: dict[str, Any], restart: str = "", **spec: Any) -> Desired:
    """An instance whose container is to be restarted for changes of that resource."""
    policy = [{"resourceName": restart, "restartPolicy": "RestartContainer"}] if restart else []
    return desired(container(resources=resources, resizePolicy=policy), **spec)


def made(before: dict[str, Any], now: Desired, phase: Phase = Phase.RUNNING, **fields: Any) -> ContainerState:
    """A container that was made with those resources."""
    return state(now, phase, labels={labels.RESOURCES: applied(first(wanted(before)))}, **fields)


CHANGES: dict[str, tuple[dict[str, Any], Desired, str]] = {
    "the same in other words is no change": (
        LIMITS,
        wanted({"requests": {"cpu": "0.5"}, "limits": {"cpu": 0.5, "memory": 64 << 20}}),
        "",
    ),
    "a changed limit reaches it in place": (LIMITS, wanted(MORE_CPU), "Resize main-0"),
    "so does a limit that is new": ({}, wanted(LIMITS), "Resize main-0"),
    "and one that is gone": (LIMITS, wanted({}), "Resize main-0"),
    "and a request": (LIMITS, wanted({"requests": {"cpu": "100m"}} | LIMITS), "Resize main-0"),
    "and a limit of processes": (LIMITS, wanted({"limits": LIMITS["limits"] | {"pids": 5}}), "Resize main-0"),
    "it is restarted for a resource that asks for it": (LIMITS, wanted(MORE_CPU, "cpu"), "Stop main-0"),
    "of memory too": (LIMITS, wanted(MORE_MEMORY, "memory"), "Stop main-0"),
    "it is not for the other resource": (LIMITS, wanted(MORE_CPU, "memory"), "Resize main-0"),
    "nor for a request of memory, which no cgroup has": (
        LIMITS,
        wanted({"requests": {"memory": "1Mi"}} | LIMITS, "memory"),
        "Resize main-0",
    ),
    "for a request of cpu it is": (LIMITS, wanted({"requests": {"cpu": "1m"}} | LIMITS, "cpu"), "Stop main-0"),
    "a policy alone changes nothing": (LIMITS, wanted(LIMITS, "cpu"), ""),
    "a limit that is new is restarted for": ({}, wanted(LIMITS, "cpu"), "Stop main-0"),
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_change(sentence: str) -> None:
    """Each sentence of the table."""
    before, now, expected = CHANGES[sentence]
    assert kinds(plan(now, seen(made(before, now)), NOW).actions) == expected


def test_it_is_told_until_it_is_in_force() -> None:
    """The container stays ready, and the generation is not settled before."""
    now = wanted(MORE_CPU)
    current = made(LIMITS, now)
    told = instance_status(now, plan(now, seen(current), NOW), NODE, NOW)
    assert (told.ready, told.observed_generation) == ("1/1", -1)
    assert next((c.type, c.status, c.reason) for c in told.conditions) == ("Ready", "Unknown", "Resizing")
    assert told.containers[0].resources == AppliedResources(
        requests={"cpu": "500m", "memory": "64Mi"}, limits={"cpu": "500m", "memory": "64Mi"}
    )
    done = replace(current, labels={**current.labels, labels.RESOURCES: applied(first(now))})
    told = instance_status(now, plan(now, seen(done), NOW), NODE, NOW)
    assert (told.conditions[0].status, told.observed_generation) == ("True", 1)
    assert told.containers[0].resources is not None
    assert told.containers[0].resources.limits["cpu"] == "1"


def test_one_that_fails_is_tried_again_after_pauses() -> None:
    """What runs is left alone meanwhile; and another change is tried at once."""
    now = wanted(MORE_CPU)
    current = made(LIMITS, now)
    resizes = {current.id: ResizeTrouble(applied(first(now)), "in use", NOW, 3)}
    found = plan(now, seen(current, resizes=resizes), NOW + 1)
    assert (found.actions, found.wake_at) == ((), NOW + 4)
    assert found.verdicts["main"].resizing == "in use"
    assert kinds(plan(now, seen(current, resizes=resizes), NOW + 4).actions) == "Resize main-0"
    other = wanted(MORE_MEMORY)
    assert kinds(plan(other, seen(made(LIMITS, other), resizes=resizes), NOW).actions) == "Resize main-0"


def test_what_an_earlier_release_has_made_is_not_restarted() -> None:
    """It is given what was missing then, in place, even if its resizePolicy wants restarts."""
    now = wanted(LIMITS, "cpu")
    older = state(now, spec_hash="b2af924dacc6b05c")
    assert kinds(plan(now, seen(older), NOW).actions) == "Resize main-0"


def test_one_that_crashed_comes_back_with_what_the_spec_says() -> None:
    """That is no change of its spec: the back-off holds."""
    now = wanted(MORE_CPU)
    ended = made(LIMITS, now, Phase.EXITED, crashes=3)
    found = plan(now, seen(ended), NOW + 1)
    assert (found.actions, found.verdicts["main"].reason) == ((), "CrashLoopBackOff")
    found = plan(now, seen(ended), NOW + 60)
    assert kinds(found.actions) == "Create main/1, Start main"


def test_a_try_that_failed_for_its_limits_is_repeated_with_others() -> None:
    """A limit that cannot work is given up until it is changed."""
    bad, good = wanted({"limits": {"memory": "1Ki"}}), wanted({"limits": {"memory": "64Mi"}})
    failed = {"main": replace(trouble(bad)["main"], terminal=True, resources=applied(first(bad)))}
    assert plan(bad, seen(troubles=failed), NOW + 600).actions == ()
    assert kinds(plan(good, seen(troubles=failed), NOW).actions) == "Create main/0, Start main"
