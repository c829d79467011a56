"""The plan for the instance's own network: there before the first container, gone after the last. Pure."""

from dataclasses import dataclass

from controller.agent.decide import backoff
from controller.agent.decide.actions import Action, CreateNetwork, RemoveNetwork
from controller.agent.decide.observation import Observation
from controller.api import labels
from controller.api.hostports import host_ports
from controller.api.instance import ContainerInstance
from controller.api.spec import Backoff
from controller.network.port import NetworkRequest, NetworkState


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What to do about it now, and when to try again what failed."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    """Seconds since the epoch; set while a failed try keeps the next one waiting."""


def request(instance: ContainerInstance) -> NetworkRequest | None:
    """The network that an instance asks for; None where that is the node's."""
    spec, meta = instance.spec, instance.metadata
    if spec.host_network:
        return None
    owner = f"{meta.namespace}/{meta.name}"
    if spec.network == "None":
        return NetworkRequest(owner=owner)
    return NetworkRequest(
        attached=True,
        ports=host_ports(spec.all_containers),
        ingress_bandwidth=meta.annotations.get(labels.INGRESS_BANDWIDTH, ""),
        egress_bandwidth=meta.annotations.get(labels.EGRESS_BANDWIDTH, ""),
        owner=owner,
    )


def made(asked: NetworkRequest, seen: Observation, pids: tuple[int, ...], pauses: Backoff, now: float) -> NetworkPlan:
    """It is to be there as asked for. One that got out of reach is taken again from `pids`, the processes in it."""
    if seen.network is NetworkState.READY:
        return NetworkPlan()
    return _tried(CreateNetwork(pids, asked), seen, pauses, now)


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
