"""Taking down: what has to go is asked to stop, killed when it does not, and removed; network and volumes last. Pure."""

from collections.abc import Iterable

from controller.agent.decide import network
from controller.agent.decide.actions import Action, RemoveContainer
from controller.agent.decide.observation import Observation
from controller.agent.decide.plan.values import Plan, earliest
from controller.agent.decide.stop import stop
from controller.agent.decide.volumes import steps as volumes
from controller.api.instance import ContainerInstanceSpec
from controller.network.port import NetworkState
from controller.runtime.port import ContainerState, Phase


def all_torn_down(spec: ContainerInstanceSpec, seen: Observation, now: float, why: str) -> Plan:
    """Containers first: asked to stop, killed when they do not, removed. When the last one has gone, network and volumes.

    Each step is repeated until it is confirmed, and what is not there counts as removed.
    """
    if seen.containers:
        return torn_down(seen.containers, spec, seen, now, why)
    own, stored = network.removed(seen, spec.backoff, now), volumes.removed(seen, spec.backoff, now)
    gone = seen.network is NetworkState.ABSENT and not seen.volumes_there
    return Plan(own.actions + stored.actions, earliest([own.wake_at, stored.wake_at]), torn_down=gone)


def torn_down(
    containers: Iterable[ContainerState], spec: ContainerInstanceSpec, seen: Observation, now: float, why: str
) -> Plan:
    """Stop what runs, with the grace period; remove what does not."""
    actions: list[Action] = []
    wakes: list[float | None] = []
    grace = spec.termination_grace_period_seconds
    for container in containers:
        if container.phase in {Phase.RUNNING, Phase.UNKNOWN}:
            action, wake = stop(container, spec, grace, seen, now, why)
            actions += [action] if action else []
            wakes.append(wake)
        else:
            actions.append(RemoveContainer(container.id))
    return Plan(tuple(actions), earliest(wakes))
