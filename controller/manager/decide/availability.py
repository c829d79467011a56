"""When an instance counts: ready, available, outdated, in the wrong place. Pure."""

from typing import Final

from controller.api.workload import UpdateStrategy
from controller.manager.decide import placement
from controller.manager.decide.values import Fleet, Instance, Workload

ABSENT_SECONDS: Final = 40.0
"""How long a node object must be gone before its instances are given up; an agent that lives puts it back meanwhile."""


def available_at(workload: Workload, instance: Instance, fleet: Fleet) -> float | None:
    """When a ready instance becomes, or became, available (ready for `minReadySeconds`); None while it is not ready.

    What has done its work is so wherever its node is.
    """
    if not instance.is_ready or not (instance.succeeded or fleet.is_ready(instance.node)):
        return None
    minimum = workload.spec.update.min_ready_seconds
    return instance.ready_since + minimum if minimum else 0.0


def available(workload: Workload, instance: Instance, fleet: Fleet, now: float) -> bool:
    """Whether the instance is ready (on a node that is heard), and has been so for `minReadySeconds`."""
    at = available_at(workload, instance, fleet)
    return at is not None and now >= at


def outdated(workload: Workload, instance: Instance) -> bool:
    """Whether the instance runs another spec than the template's."""
    return instance.spec_hash != workload.spec_hash


def finished(workload: Workload, instance: Instance) -> bool:
    """Whether it has ended for good, by the template as it is: nothing of it runs that could be moved, nor is to run twice.

    Global is another matter: what is wanted there is one on each node, and with the node goes the wish.
    """
    done = instance.succeeded or (instance.failed and not evicted(workload, instance))
    return done and workload.spec.mode != "Global" and not outdated(workload, instance)


def misplaced(workload: Workload, instance: Instance, fleet: Fleet) -> bool:
    """Whether its node is none of those that the placement names."""
    node = fleet.nodes.get(instance.node)
    return (
        node is not None and not finished(workload, instance) and placement.mismatch(node, workload.spec.placement) is not None
    )


def displaced(workload: Workload, instance: Instance, fleet: Fleet, now: float) -> str:
    """Why the instance must leave its node at once; empty when it may stay."""
    node = fleet.nodes.get(instance.node)
    if evicted(workload, instance) and now >= renewed_at(workload, instance):
        return "it was evicted"
    if finished(workload, instance):
        return ""
    if node is None:
        since = fleet.absent.get(instance.node, now)
        return f"node {instance.node} is gone" if now - since >= ABSENT_SECONDS else ""
    if taint := placement.repels(node, workload.spec.placement, "NoExecute"):
        return f"node {node.name} {taint.one}"
    if workload.spec.mode == "Global":
        reason = placement.mismatch(node, workload.spec.placement)
        return f"node {node.name} {reason.one}" if reason else ""
    at = replaced_at(workload, instance, fleet)
    # When no node at all is heard, it is rather the way to them that is broken, and there is nowhere to go.
    if at is not None and now >= at and any(n.ready for n in fleet.nodes.values()):
        return f"node {node.name} is lost"
    return ""


def evicted(workload: Workload, instance: Instance) -> bool:
    """Whether it was evicted, and another one is to take its place, with empty volumes: not where it is to run only once."""
    return instance.evicted and not workload.spec.suspend and workload.spec.template.spec.restart_policy != "Never"


def renewed_at(workload: Workload, instance: Instance) -> float:
    """When an evicted instance gives way: at once when it lasted, and if not, `backoff.maxSeconds` after it was created.

    So instances that fill their volumes again and again come no faster than that. Their own times tell all that is needed for
    it, whichever manager decides; there is no count of them to be lost.
    """
    return instance.created + workload.spec.template.spec.backoff.max_seconds


def replaced_at(workload: Workload, instance: Instance, fleet: Fleet) -> float | None:
    """When the instance is given up because its node is silent or gone; None when it is not going to be.

    A Global instance waits for its node: there is nowhere else to go, and when the node is back it has never stopped.
    """
    if finished(workload, instance):
        return None
    node, lost = fleet.nodes.get(instance.node), workload.spec.node_lost
    if node is None:
        since = fleet.absent.get(instance.node)
        return since + ABSENT_SECONDS if since is not None else None
    if node.lost_at is None or lost.policy == "Wait" or workload.spec.mode == "Global":
        return None
    return node.lost_at + lost.after_seconds


def max_unavailable(update: UpdateStrategy, wanted: int) -> int:
    """`maxUnavailable` as a number (apps/v1)."""
    return portion(update.max_unavailable, wanted)


def portion(value: int | str, whole: int) -> int:
    """A number, or a percentage of a whole, as a number: rounded down, and at least 1."""
    if isinstance(value, str) and value.endswith("%"):
        return max(1, whole * int(value[:-1]) // 100)
    return max(1, int(value))
