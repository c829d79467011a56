"""Which nodes fit, and where the next replica goes. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from controller.api.hostports import HostPort, conflict
from controller.api.node import Taint
from controller.api.workload import Placement, Toleration
from controller.manager.decide.values import Fleet, Node


class Unfit(NamedTuple):
    """Why a node gets no new instance, said of one node and of several."""

    one: str
    many: str


CORDONED = Unfit("is cordoned", "are cordoned")
NOT_READY = Unfit("is not ready", "are not ready")
FULL = Unfit("is full", "are full")


def tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Whether a toleration matches the taint (core/v1 `Toleration`: an empty key or effect matches all)."""
    return any(
        (not t.key or t.key == taint.key)
        and (not t.effect or t.effect == taint.effect)
        and (t.operator == "Exists" or t.value == taint.value)
        for t in tolerations
    )


def mismatch(node: Node, placement: Placement) -> Unfit | None:
    """Why the node is not one of those that the placement names, or None."""
    if placement.node_name and placement.node_name != node.name:
        return Unfit(f"is not {placement.node_name}", f"are not {placement.node_name}")
    for key, value in sorted(placement.node_selector.items()):
        if node.labels.get(key) != value:
            return Unfit(f"lacks label {key}={value}", f"lack label {key}={value}")
    return None


def repels(node: Node, placement: Placement, *effects: str) -> Unfit | None:
    """The first taint with one of the effects that the placement does not tolerate, or None."""
    for taint in node.taints:
        if taint.effect in effects and not tolerated(taint, placement.tolerations):
            text = f"taint {taint.key}{f'={taint.value}' if taint.value else ''}:{taint.effect}"
            return Unfit(f"has the {text}", f"have the {text}")
    return None


def selects(node: Node, placement: Placement) -> Unfit | None:
    """Why a Global workload wants no instance there, whatever the node's present state; None when it wants one."""
    return mismatch(node, placement) or repels(node, placement, "NoSchedule", "NoExecute")


def unfit(node: Node, placement: Placement, load: int, in_use: HostPort | None = None) -> Unfit | None:
    """Why the node gets no new instance now, or None when it fits.

    Args:
        node: the node.
        placement: where the instances may be.
        load: how many instances it has.
        in_use: one of the ports that the instance wants of it, and that it has given away.
    """
    if reason := selects(node, placement):
        return reason
    if node.unschedulable and not _tolerates_cordon(placement):
        return CORDONED
    if not node.ready:
        return NOT_READY
    if node.capacity and load >= node.capacity:
        return FULL
    return port_in_use(in_use)


def port_in_use(port: HostPort | None) -> Unfit | None:
    """Why a node is unfit that has given away this port."""
    return Unfit(f"has hostPort {port} in use", f"have hostPort {port} in use") if port is not None else None


def in_use(fleet: Fleet, node: str, ports: Sequence[HostPort], extra: int = 0) -> HostPort | None:
    """Which of the ports the node has given away, if any; `extra` of the same instances are about to come there."""
    return (ports[0] if extra else conflict(ports, fleet.ports.get(node, ()))) if ports else None


def _tolerates_cordon(placement: Placement) -> bool:
    """As in Kubernetes, the cordon is a taint of a well-known key, which may be tolerated by name."""
    cordon = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
    return tolerated(cordon, (t for t in placement.tolerations if t.key))


def choose(
    fleet: Fleet,
    placement: Placement,
    own: Mapping[str, int],
    extra: Mapping[str, int],
    ports: Sequence[HostPort] = (),
) -> Node | None:
    """The node for one more instance, or None when none fits.

    Preferred, in this order: no untolerated PreferNoSchedule taint, fewest instances of this workload (`own`), fewest of
    all (`extra` counts those decided on but not yet in the fleet's load), then the name, so that the answer is stable.
    """
    fitting = (node for node in fleet.nodes.values() if _unfit(fleet, node, placement, extra.get(node.name, 0), ports) is None)
    return min(
        fitting,
        default=None,
        key=lambda node: (
            repels(node, placement, "PreferNoSchedule") is not None,
            own.get(node.name, 0),
            fleet.load.get(node.name, 0) + extra.get(node.name, 0),
            node.name,
        ),
    )


def _unfit(fleet: Fleet, node: Node, placement: Placement, extra: int, ports: Sequence[HostPort]) -> Unfit | None:
    return unfit(node, placement, fleet.load.get(node.name, 0) + extra, in_use(fleet, node.name, ports, extra))


def explain(fleet: Fleet, placement: Placement, extra: Mapping[str, int], ports: Sequence[HostPort] = ()) -> str:
    """Why no further instance can be placed: `0 of 3 nodes fit: 1 is cordoned, 2 lack label zone=a`."""
    if not fleet.nodes:
        return "no node is registered: is an agent running?"
    if placement.node_name and placement.node_name not in fleet.nodes:
        return f"node {placement.node_name} is not registered"
    reasons = Counter(_unfit(fleet, node, placement, extra.get(name, 0), ports) for name, node in fleet.nodes.items())
    fitting = reasons.pop(None, 0)
    total = len(fleet.nodes)
    said = ", ".join(
        f"{count} {reason.one if count == 1 else reason.many}"
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0] or ("", "")))
        if reason is not None
    )
    return f"{fitting} of {total} nodes fit{': ' if said else ''}{said}"
