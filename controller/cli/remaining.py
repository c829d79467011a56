"""What an uninstallation still waits for, and what to say of it. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]

_MOST_NAMED: Final = 8
"""So many nodes are named in a message; of more, only how many."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is left on one node."""

    node: str
    instances: int
    silence: str = ""
    """Why nobody there will confirm anything; empty when its agent is heard."""

    def __str__(self) -> str:
        """`n1 (3)`, or `n2 (1; its agent is not heard)`."""
        return f"{self.node} ({self.instances}{'; ' + self.silence if self.silence else ''})"


def left_on_nodes(instances: Iterable[Object], nodes: Mapping[str, Object]) -> tuple[Left, ...]:
    """What is left, by node; those whose agent is not heard come first, since they are what a person has to see to."""
    counts = Counter(str(i.get("spec", {}).get("nodeName", "")) for i in instances)
    left = [Left(node, number, _silence(nodes.get(node))) for node, number in counts.items()]
    return tuple(sorted(left, key=lambda found: (not found.silence, found.node)))


def _silence(node: Object | None) -> str:
    if node is None:
        return "it has no RuntimeNode"
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = next((c for c in conditions if c.get("type") == "Ready"), None)
    if ready is None or ready.get("status") == "True":
        return ""
    if ready.get("status") == "Unknown":
        return "its agent is not heard"
    return str(ready.get("message") or ready.get("reason") or "it is not ready")


def progress(workloads: int, left: Sequence[Left]) -> str:
    """One line of how far it is."""
    instances = sum(found.instances for found in left)
    more = f" and {count(workloads, 'workload')}" if workloads else ""
    where = f", on {named(left)}" if left else ""
    return f"{count(instances, 'instance')}{more} left{where}"


def named(left: Sequence[Left]) -> str:
    """The nodes, by name as far as that stays readable."""
    shown = [str(found) for found in left[:_MOST_NAMED]]
    if len(left) > _MOST_NAMED:
        shown.append(f"and {len(left) - _MOST_NAMED} more nodes")
    return ", ".join(shown)


def advice(left: Sequence[Left]) -> str:
    """What a person can do about what is left."""
    silent = [found for found in left if found.silence]
    if not silent:
        return "Stopping may take as long as terminationGracePeriodSeconds: try again, with more time."
    where = ", ".join(found.node for found in silent[:_MOST_NAMED])
    return (
        f"Nobody confirms that the containers on {where} have stopped. Start the agent there and try again; or, when a node "
        f"will not come back, `kubectl delete runtimenode {silent[0].node}`, and its instances are let go of a minute later."
    )


def count(number: int, what: str) -> str:
    """`1 instance`, `2 instances`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
