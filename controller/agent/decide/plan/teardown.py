"""Taking down: what has to go is asked to stop, killed when it does not, and removed; network and volumes last. Pure."""

import math
from collections.abc import Iterable, Iterator
from typing import Final

from controller.agent.decide import network
from controller.agent.decide.actions import Action, RemoveContainer
from controller.agent.decide.observation import Observation
from controller.agent.decide.plan.values import Plan, earliest
from controller.agent.decide.stop import stop
from controller.agent.decide.volumes import steps as volumes
from controller.api import labels
from controller.api.instance import ContainerInstanceSpec
from controller.network.port import NetworkState
from controller.runtime.port import ContainerState, Phase

SIDECAR_SECONDS: Final = 2
"""Grace period that a sidecar has at least when the containers before it took the whole; as with a kubelet."""

ALIVE: Final = frozenset({Phase.RUNNING, Phase.UNKNOWN})
"""What is stopped before it is removed; the runtime removes a paused one as it is."""


def all_torn_down(spec: ContainerInstanceSpec, seen: Observation, now: float, why: str) -> Plan:
    """Containers first: asked to stop, killed when they do not, removed. When the last one has gone, network and volumes.

    Each step is repeated until it is confirmed, and what is not there counts as removed.
    """
    if not seen.containers:
        own, stored = network.removed(seen, spec.backoff, now), volumes.removed(seen, spec.backoff, now)
        gone = seen.network is NetworkState.ABSENT and not seen.volumes_there
        return Plan(own.actions + stored.actions, earliest([own.wake_at, stored.wake_at]), torn_down=gone)
    alive = [c for c in seen.containers if c.phase in ALIVE]
    began = now if seen.ending_since is None else min(seen.ending_since, now)
    stops = list(in_order(alive, spec, seen, now, began, why))
    removals = tuple(RemoveContainer(c.id) for c in seen.containers if c.phase not in ALIVE)
    return Plan(removals + tuple(a for a, _ in stops if a), earliest(wake for _, wake in stops))


def in_order(
    alive: Iterable[ContainerState], spec: ContainerInstanceSpec, seen: Observation, now: float, began: float, why: str
) -> Iterator[tuple[Action | None, float | None]]:
    """How each of those that run is stopped: sidecars after all others, the last one first, in what is left of the grace.

    Source: kubernetes.io, "Sidecar Containers"; `terminationOrdering` of the kubelet.

    Args:
        alive: what runs.
        spec: their instance's.
        seen: what is observed of it.
        now: seconds since the epoch.
        began: when the grace period began.
        why: why they are stopped.
    """
    grace = spec.termination_grace_period_seconds
    sidecars = {c.name: index for index, c in enumerate(spec.init_containers) if c.is_sidecar}
    alive = tuple(alive)
    ranks = {c.id: sidecars.get(c.labels.get(labels.CONTAINER, ""), len(spec.init_containers)) for c in alive}
    turn = max(ranks.values(), default=0)
    for container in alive:
        asked_at = seen.stopping.get(container.id)
        if asked_at is None and ranks[container.id] != turn and now < began + grace:
            yield None, began + grace
            continue
        own = grace
        if ranks[container.id] < len(spec.init_containers):
            left = began + grace - (now if asked_at is None else asked_at)
            own = max(min(SIDECAR_SECONDS, grace), math.ceil(left))
        yield stop(container, spec, own, seen, now, why)


def torn_down(
    containers: Iterable[ContainerState], spec: ContainerInstanceSpec, seen: Observation, now: float, why: str
) -> Plan:
    """Stop what runs, with the grace period; remove what does not."""
    actions: list[Action] = []
    wakes: list[float | None] = []
    grace = spec.termination_grace_period_seconds
    for container in containers:
        if container.phase in ALIVE:
            action, wake = stop(container, spec, grace, seen, now, why)
            actions += [action] if action else []
            wakes.append(wake)
        else:
            actions.append(RemoveContainer(container.id))
    return Plan(tuple(actions), earliest(wakes))
