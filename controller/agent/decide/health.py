"""How a running container is: what its hooks and probes have found -> what that means. Pure.

Source: kubernetes.io, "Liveness, Readiness, and Startup Probes" and "Container Lifecycle Hooks"; the kubelet's package
`prober`.

What has been found is kept in labels of the container, so that an agent that was restarted knows it: a container that has
started does not start again, and a ready one stays ready until its probe says otherwise.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from controller.agent.decide.hashing import made_from
from controller.agent.decide.observation import Health
from controller.api import labels
from controller.api.probes import Lifecycle
from controller.api.spec import Container, InstanceSpec
from controller.runtime.port import ContainerState

PASSED = "passed"
"""Value of the labels `STARTUP` and `READINESS`."""

PENDING = "pending"
"""Value of the label `POST_START`."""

LONG = "long"
"""Value of the label `HOOKS` when the lifecycle does not fit in."""

MOST_HOOKS = 3500
"""Bytes of it that do: containerd takes 4096 for a label, its key included."""

MOST_TOLD = 256
"""Characters that are kept of what a probe or hook said."""


@dataclass(frozen=True, slots=True)
class State:
    """What a container's health means."""

    hooking: bool = False
    """Its postStart handler has not ended yet: it does not count as running."""
    started: bool = True
    unready: str = ""
    """Why it is not ready; what a person should know."""
    unhealthy: str = ""
    """Why it is to be restarted."""
    grace: int | None = None
    """Seconds that it then has to end, in place of the instance's own."""


WELL = State()
"""What is the case where nothing says otherwise."""


def noted(container: ContainerState) -> Health:
    """What the labels tell of a container: all that is known of it by an agent that has just begun, or when it has ended."""
    given = container.labels
    cause, _, said = given.get(labels.UNHEALTHY, "").partition(" ")
    return Health(
        hooking=given.get(labels.POST_START) == PENDING,
        started=given.get(labels.STARTUP) == PASSED,
        ready=given.get(labels.READINESS) == PASSED,
        failed=cause,
        said=said,
    )


def state(container: Container, health: Health) -> State:
    """What is the case with a container that runs."""
    if health.failed:
        probe = {"startup": container.startup_probe, "liveness": container.liveness_probe}.get(health.failed)
        grace = probe.termination_grace_period_seconds if probe is not None else None
        told = told_of(health)
        return State(started=health.failed == "liveness", unready=f"{told}; it is being stopped", unhealthy=told, grace=grace)
    if health.hooking and container.lifecycle.post_start is not None:
        return State(hooking=True, started=False, unready="its postStart handler has not ended yet")
    if container.startup_probe is not None and not health.started:
        return State(started=False, unready=_waits("startup", health))
    if container.readiness_probe is not None and not health.ready:
        return State(unready=_waits("readiness", health))
    return WELL


def told_of(health: Health) -> str:
    """Why it is to be restarted, in words."""
    what = "postStart handler" if health.failed == "postStart" else f"{health.failed} probe"
    return f"its {what} failed" + (f": {health.said}" if health.said else "")


def lifecycle(container: ContainerState, spec: InstanceSpec) -> Lifecycle:
    """What is done with a container as it goes: as its spec says now, or said when it was last up to date with it."""
    mine = next((c for c in spec.all_containers if c.name == container.labels.get(labels.CONTAINER)), None)
    written = container.labels.get(labels.HOOKS, "")
    if mine is not None and (written == LONG or made_from(container, mine, spec)):
        return mine.lifecycle
    try:
        return Lifecycle.model_validate_json(written)
    except ValidationError:
        return Lifecycle()


def hooks_label(container: Container) -> str:
    """Value of the label `HOOKS`."""
    if container.lifecycle == Lifecycle():
        return ""
    text = container.lifecycle.model_dump_json(by_alias=True, exclude_defaults=True)
    return text if len(text.encode()) <= MOST_HOOKS else LONG


def _waits(probe: str, health: Health) -> str:
    return f"its {probe} probe failed: {health.said}" if health.said else f"its {probe} probe has not succeeded yet"
