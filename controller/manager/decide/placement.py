"""Which nodes fit, and where the next replica goes. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from controller.api.amounts import NOTHING, Amounts
from controller.api.hostports import HostPort, conflict
from controller.api.node import Taint
from controller.api.workload import Placement
from controller.manager.decide.values import Fleet, Node


class Unfit(NamedTuple):
    """Why a node gets no new instance."""

    one: str
    """Said of one node."""
    counted: str
    """Said behind a number of nodes, in the words of Kubernetes' scheduler."""
    room: bool = False
    """It is one of those that are wanted, and has no room now."""


_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")

CORDONED = Unfit("is cordoned", "node(s) were unschedulable")
DISK_PRESSURE = Unfit("has disk pressure", "node(s) had disk pressure")
NOT_READY = Unfit("is not ready", "node(s) were not ready")
FULL = Unfit("is full", "Too many instances", room=True)


class Toleration(Protocol):
    """A workload's, or that of its RuntimeClass."""

    @property
    def key(self) -> str:
        """Key of the taint; empty: any."""

    @property
    def operator(self) -> str:
        """How values compare."""

    @property
    def value(self) -> str:
        """What the taint's is compared with."""

    @property
    def effect(self) -> str:
        """Effect of the taint; empty: any."""


def tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Whether a toleration matches the taint (core/v1 `Toleration`: an empty key or effect matches all)."""
    return any(
        (not t.key or t.key == taint.key) and (not t.effect or t.effect == taint.effect) and _compares(taint, t)
        for t in tolerations
    )


def _compares(taint: Taint, toleration: Toleration) -> bool:
    """By the operator; `Lt` and `Gt` say what the taint's value is to be (KEP-5471), and compare whole numbers only."""
    match toleration.operator:
        case "" | "Equal":
            return toleration.value == taint.value
        case "Exists":
            return True
        case "Lt" | "Gt":
            if not (_WHOLE.fullmatch(taint.value) and _WHOLE.fullmatch(toleration.value)):
                return False
            has, bound = int(taint.value), int(toleration.value)
            return has < bound if toleration.operator == "Lt" else has > bound
        case _:
            return False


def mismatch(node: Node, placement: Placement) -> Unfit | None:
    """Why the node is not one of those that the placement names, or None."""
    if placement.node_name and placement.node_name != node.name:
        return Unfit(f"is not {placement.node_name}", "node(s) didn't match the requested node name")
    for key, value in sorted(placement.node_selector.items()):
        if node.labels.get(key) != value:
            return Unfit(f"lacks label {key}={value}", f"node(s) didn't match the node selector {key}={value}")
    return None


def repels(node: Node, placement: Placement, *effects: str) -> Unfit | None:
    """The first taint with one of the effects that the placement does not tolerate, or None."""
    for taint in node.taints:
        if taint.effect in effects and not tolerated(taint, placement.tolerations):
            text = f"{taint.key}{f'={taint.value}' if taint.value else ''}:{taint.effect}"
            return Unfit(f"has the taint {text}", f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}")
    return None


def selects(node: Node, placement: Placement) -> Unfit | None:
    """Why a Global workload wants no instance there, whatever the node's present state; None when it wants one."""
    return mismatch(node, placement) or repels(node, placement, "NoSchedule", "NoExecute")


def unfit(node: Node, placement: Placement, load: int, in_use: HostPort | None = None) -> Unfit | None:
    """Why the node gets no new instance now, or None when it fits; what its containers ask for is not looked at.

    Args:
        node: the node.
        placement: where the instances may be.
        load: how many instances it has.
        in_use: one of the ports that the instance wants of it, and that it has given away.
    """
    if reason := selects(node, placement):
        return reason
    if node.unschedulable and not _tolerates(placement, "unschedulable"):
        return CORDONED
    if not node.ready:
        return NOT_READY
    if node.pressed and not _tolerates(placement, "disk-pressure"):
        return DISK_PRESSURE
    if node.capacity and load >= node.capacity:
        return FULL
    return port_in_use(in_use)


def port_in_use(port: HostPort | None) -> Unfit | None:
    """Why a node is unfit that has given away this port."""
    if port is None:
        return None
    told = f"node(s) didn't have free ports for the requested hostPort {port}"
    return Unfit(f"has hostPort {port} in use", told, room=True)


def lacking(node: Node, asked: Amounts, given: Amounts) -> tuple[Unfit, ...]:
    """What the node has too little of; nothing while it has not told what it has.

    Args:
        node: the node.
        asked: what the instance asks for.
        given: what those ask for that the node has.
    """
    if node.allocatable is None or asked == NOTHING:
        return ()
    names = asked.beyond(node.allocatable - given)
    return tuple(Unfit(f"has insufficient {name}", f"Insufficient {name}", room=True) for name in names)


def in_use(fleet: Fleet, node: str, ports: Sequence[HostPort], extra: int = 0) -> HostPort | None:
    """Which of the ports the node has given away, if any; `extra` of the same instances are about to come there."""
    return (ports[0] if extra else conflict(ports, fleet.ports.get(node, ()))) if ports else None


def _tolerates(placement: Placement, condition: str) -> bool:
    """As in Kubernetes, such a condition of a node is a taint of a well-known key, which may be tolerated by name."""
    taint = Taint(key=f"node.kubernetes.io/{condition}", effect="NoSchedule")
    return tolerated(taint, (t for t in placement.tolerations if t.key))


def choose(
    fleet: Fleet,
    placement: Placement,
    own: Mapping[str, int],
    extra: Mapping[str, int],
    ports: Sequence[HostPort] = (),
    asked: Amounts = NOTHING,
) -> Node | None:
    """The node for one more instance, or None when none fits.

    Preferred, in this order: no untolerated PreferNoSchedule taint, fewest instances of this workload (`own`), fewest of
    all (`extra` counts those decided on but not yet in the fleet's load), then the name, so that the answer is stable.
    """
    fitting = (n for n in fleet.nodes.values() if not reasons(fleet, n, placement, extra.get(n.name, 0), ports, asked))
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


def reasons(
    fleet: Fleet, node: Node, placement: Placement, extra: int, ports: Sequence[HostPort] = (), asked: Amounts = NOTHING
) -> tuple[Unfit, ...]:
    """Why the node gets no further instance now; none when it fits. `extra` of the same are about to come there."""
    load = fleet.load.get(node.name, 0) + extra
    if first := unfit(node, placement, load, in_use(fleet, node.name, ports, extra)):
        return (first,)
    return lacking(node, asked, fleet.requested.get(node.name, NOTHING) + asked * extra)


def explain(
    fleet: Fleet,
    placement: Placement,
    extra: Mapping[str, int],
    ports: Sequence[HostPort] = (),
    asked: Amounts = NOTHING,
) -> str:
    """Why no further instance can be placed: `0/3 nodes are available: 2 Insufficient memory, 1 node(s) were unschedulable`."""
    if not fleet.nodes:
        return "no node is registered: is an agent running?"
    if placement.node_name and placement.node_name not in fleet.nodes:
        return f"node {placement.node_name} is not registered"
    found = [reasons(fleet, node, placement, extra.get(name, 0), ports, asked) for name, node in fleet.nodes.items()]
    counts = Counter(reason.counted for of_node in found for reason in of_node)
    said = ", ".join(f"{count} {text}" for text, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return f"{sum(not of_node for of_node in found)}/{len(found)} nodes are available{': ' if said else ''}{said}"
