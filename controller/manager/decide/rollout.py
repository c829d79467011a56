"""What a workload needs now: instances to create, to bring up to date in place, to delete. Pure.

The order of the decision, as `decide` reads from top to bottom:

1. Instances that have lost their place go: the node is gone, lost for long enough, or no longer wants them.
2. What is too much goes; what is missing is placed (scaling.py).
3. Suspension and labels are brought up to date at once, since they cost nothing.
4. A changed template reaches the instances in place, as many at a time as the strategy allows.
"""

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any

from controller.manager.decide import render, runtimeclass, scaling
from controller.manager.decide.availability import (
    available,
    available_at,
    displaced,
    evicted,
    max_unavailable,
    misplaced,
    outdated,
    renewed_at,
    replaced_at,
)
from controller.manager.decide.decision import Decision, Delete, Patch
from controller.manager.decide.values import Fleet, Instance, Workload


def decide(
    workload: Workload, instances: Sequence[Instance], fleet: Fleet, now: float, taken: Container[str] = frozenset()
) -> Decision:
    """The decision for one workload.

    Args:
        workload: the workload.
        instances: all instances that it owns, those on their way out included.
        fleet: all nodes.
        now: seconds since the epoch.
        taken: names in its namespace that belong to somebody else.
    """
    workload, impossible = runtimeclass.scheduled(workload, fleet.classes)
    live = sorted((i for i in instances if not i.deleting), key=lambda i: i.key.name)
    gone = [Delete(i, why) for i in live if (why := displaced(workload, i, fleet, now))]
    lost = {d.instance.uid for d in gone}
    kept = [i for i in live if i.uid not in lost]
    is_global = workload.spec.mode == "Global"
    plan = scaling.one_each(workload, kept, fleet, taken) if is_global else scaling.replicated(workload, kept, fleet, now)
    if impossible:
        plan = replace(plan, creates=(), impossible=impossible)
    plan = _wait_for_names(replace(plan, deletes=(*gone, *plan.deletes)), instances)
    plan = _update(workload, plan, fleet, now)
    return replace(plan, wake_at=_wake(workload, plan, fleet, now))


def _wait_for_names(plan: Decision, instances: Sequence[Instance]) -> Decision:
    """Hold back what would take the name of an instance that is still on its way out."""
    there = {i.key.name for i in instances}
    return replace(
        plan,
        creates=tuple(c for c in plan.creates if c.name not in there),
        blocked=tuple(c.name for c in plan.creates if c.name in there),
    )


def _update(workload: Workload, plan: Decision, fleet: Fleet, now: float) -> Decision:
    """Add the patches in place, and the moves of instances that are on a node which the placement no longer names."""
    due = set() if workload.spec.update.type == "OnDelete" else _due(workload, plan, fleet, now)
    moves = [
        Delete(i, f"node {i.node} does not match the placement")
        for i in plan.kept
        if i.uid in due and misplaced(workload, i, fleet)
    ]
    moved = {d.instance.uid for d in moves}
    kept = tuple(i for i in plan.kept if i.uid not in moved)
    limit = scaling.ordinal_limit(workload, len(plan.kept))
    bodies = ((i, _patch(workload, i, limit, update=i.uid in due)) for i in kept)
    return replace(
        plan,
        patches=tuple(Patch(instance, body) for instance, body in bodies if body),
        deletes=(*plan.deletes, *moves),
        kept=kept,
    )


def _due(workload: Workload, plan: Decision, fleet: Fleet, now: float) -> set[str]:
    """The uids of the instances to bring up to date, or to move, now.

    One that is unavailable anyway costs nothing. Of the others, as many as `maxUnavailable` leaves after all that is
    unavailable by whatever cause.
    """
    stale = [i for i in plan.kept if outdated(workload, i) or misplaced(workload, i, fleet)]
    if workload.spec.update.type == "Recreate" or workload.spec.suspend:
        return {i.uid for i in stale}
    up = {i.uid for i in plan.kept if available(workload, i, fleet, now)}
    budget = max_unavailable(workload.spec.update, plan.wanted) - (plan.wanted - len(up))
    costly = [i.uid for i in stale if i.uid in up]
    return {i.uid for i in stale if i.uid not in up} | set(costly[: max(0, budget)])


def _patch(workload: Workload, instance: Instance, limit: int, *, update: bool) -> dict[str, Any]:
    """The merge patch that brings one instance up to date, empty when it is; its uid goes with it as a precondition."""
    current = not outdated(workload, instance)
    spec: dict[str, Any] = {}
    if update and not current:
        spec |= render.spec_patch(workload.spec.template.spec)
    if instance.suspend != workload.spec.suspend:
        spec["suspend"] = workload.spec.suspend
    ordinal = None if workload.spec.mode == "Global" else render.ordinal_of(workload, instance, limit)
    metadata = render.metadata_patch(workload, instance, ordinal, template=update or current)
    if not spec and not metadata:
        return {}
    return {"metadata": metadata | {"uid": instance.uid}} | ({"spec": spec} if spec else {})


def _wake(workload: Workload, plan: Decision, fleet: Fleet, now: float) -> float | None:
    """When time alone makes an instance available, or its node given up."""
    times = [at for i in plan.kept for at in (available_at(workload, i, fleet), replaced_at(workload, i, fleet)) if at]
    times += [renewed_at(workload, i) for i in plan.kept if evicted(workload, i)]
    return min((at for at in times if at > now), default=None)
