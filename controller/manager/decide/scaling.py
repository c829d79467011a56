"""How many instances, and on which nodes. Pure.

Ordinals (Replicated) start at 0, and the lowest free one is taken. The name is a hash of workload, ordinal and node, so an
instance that waits on a lost node for its agent never stands in the way of its replacement elsewhere; on the same node, the
replacement waits until the old one is gone, since they share the node's ports.
"""

from collections import Counter
from collections.abc import Container
from typing import Final

from controller.api.hostports import host_ports
from controller.manager.decide import placement, render
from controller.manager.decide.availability import available, misplaced
from controller.manager.decide.decision import Create, Decision, Delete
from controller.manager.decide.runtimeclass import takes
from controller.manager.decide.values import Fleet, Instance, Node, Workload

SPARE_ORDINALS: Final = 16
"""How far beyond the wanted ordinals an instance's own is looked for."""


def one_each(workload: Workload, kept: list[Instance], fleet: Fleet, taken: Container[str]) -> Decision:
    """Global: one instance on every node that is selected; a cordoned or silent node keeps what it has, and gets no more."""
    has: dict[str, Instance] = {}
    twins = []
    for instance in kept:
        if instance.node in has:
            twins.append(Delete(instance, f"a second instance on node {instance.node}"))
        else:
            has[instance.node] = instance
    creates, full = [], 0
    template, where = workload.spec.template.spec, workload.spec.placement
    ports, asked = host_ports(template.all_containers), takes(template, fleet.classes)
    for node in sorted(fleet.nodes.values(), key=lambda n: n.name):
        if node.name in has:
            continue
        reasons = placement.reasons(fleet, node, where, 0, ports, asked)
        full += any(reason.room for reason in reasons)
        if not reasons:
            creates.append(_create(workload, node, None, taken))
    return Decision(
        wanted=len(has) + len(creates) + full,
        creates=tuple(creates),
        deletes=tuple(twins),
        kept=tuple(has.values()),
        unplaced=full,
        unplaced_why=placement.explain(fleet, where, {}, ports, asked) if full else "",
    )


def replicated(workload: Workload, kept: list[Instance], fleet: Fleet, now: float) -> Decision:
    """Replicated: as many as `replicas` says, spread over the nodes."""
    want = workload.spec.replicas
    row, deletes = _row(workload, kept, fleet, now)
    for ordinal in _surplus(workload, row, fleet, now):
        deletes.append(Delete(row.pop(ordinal), "more instances than replicas"))
    creates: list[Create] = []
    own = Counter(i.node for i in row.values())
    extra: Counter[str] = Counter()
    template, where = workload.spec.template.spec, workload.spec.placement
    ports, asked = host_ports(template.all_containers), takes(template, fleet.classes)
    free = (n for n in range(want + len(row)) if n not in row)
    missing = max(0, want - len(row))
    for ordinal, _ in zip(free, range(missing), strict=False):
        node = placement.choose(fleet, where, own, extra, ports, asked)
        if node is None:
            break
        creates.append(_create(workload, node, ordinal))
        own[node.name] += 1
        extra[node.name] += 1
    unplaced = missing - len(creates)
    return Decision(
        wanted=want,
        creates=tuple(creates),
        deletes=tuple(deletes),
        kept=tuple(row[n] for n in sorted(row)),
        unplaced=unplaced,
        unplaced_why=placement.explain(fleet, where, extra, ports, asked) if unplaced else "",
    )


def ordinal_limit(workload: Workload, count: int) -> int:
    """The bound that ordinals of `count` instances are looked for below."""
    return workload.spec.replicas + count + SPARE_ORDINALS


def _row(workload: Workload, kept: list[Instance], fleet: Fleet, now: float) -> tuple[dict[int, Instance], list[Delete]]:
    """The instances by ordinal, and those that have none or share it with a better one."""
    row: dict[int, Instance] = {}
    deletes = []
    limit = ordinal_limit(workload, len(kept))
    for instance in sorted(kept, key=lambda i: (not available(workload, i, fleet, now), i.created, i.key.name)):
        ordinal = render.ordinal_of(workload, instance, limit)
        if ordinal is None or ordinal in row:
            deletes.append(Delete(instance, "not one of the row" if ordinal is None else f"a second number {ordinal}"))
        else:
            row[ordinal] = instance
    return row, deletes


def _surplus(workload: Workload, row: dict[int, Instance], fleet: Fleet, now: float) -> list[int]:
    """The ordinals to give up: in the wrong place, then unavailable, then on the fullest node, then the highest."""
    left, chosen = dict(row), []
    worse = {n: (misplaced(workload, i, fleet), not available(workload, i, fleet, now)) for n, i in row.items()}
    for _ in range(len(row) - workload.spec.replicas):
        own = Counter(i.node for i in left.values())
        ordinal = max(left, key=lambda n: (*worse[n], own[left[n].node], n))
        chosen.append(ordinal)
        del left[ordinal]
    return chosen


def _create(workload: Workload, node: Node, ordinal: int | None, taken: Container[str] = frozenset()) -> Create:
    name = render.name(workload, node.name, ordinal, taken)
    return Create(name, node.name, render.create_body(workload, node.name, ordinal, name))
