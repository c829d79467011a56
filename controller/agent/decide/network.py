"""The plan for the instance's own network: there before the first container, gone after the last. Pure."""

from dataclasses import dataclass

from controller.agent.decide import backoff
from controller.agent.decide.actions import Action, CreateNetwork, RemoveNetwork
from controller.agent.decide.observation import Observation
from controller.api.spec import Backoff
from controller.network.port import NetworkState


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What to do about it now, and when to try again what failed."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    """Seconds since the epoch; set while a failed try keeps the next one waiting."""


def made(seen: Observation, pids: tuple[int, ...], pauses: Backoff, now: float) -> NetworkPlan:
    """It is to be there. One that got out of reach is taken again from `pids`, the processes in it."""
    if seen.network is NetworkState.READY:
        return NetworkPlan()
    return _tried(CreateNetwork(pids), seen, pauses, now)


def removed(seen: Observation, pauses: Backoff, now: float) -> NetworkPlan:
    """It is to go; to be asked only when no container uses it any more."""
    if seen.network is NetworkState.ABSENT:
        return NetworkPlan()
    return _tried(RemoveNetwork(), seen, pauses, now)


def _tried(action: CreateNetwork | RemoveNetwork, seen: Observation, pauses: Backoff, now: float) -> NetworkPlan:
    """The action, unless it just failed."""
    trouble = seen.network_trouble
    if trouble is not None and trouble.removing == isinstance(action, RemoveNetwork):
        pause = backoff.delay(trouble.count, pauses)
        retry_at = min(trouble.at, now) + pause  # a clock may be set back
        if now < retry_at:
            return NetworkPlan(wake_at=retry_at)
    return NetworkPlan((action,))
