"""What a container may use: from the spec to cgroups, and to the score by which the kernel picks its victims. Pure.

There is no cgroup for an instance, only one for each container below the node's: the limits of a whole instance, as a kubelet
sets them, are sums of its containers' and hold nobody back further, and the weights of all containers of the node add up
in one place.
"""

import json
from collections.abc import Iterable
from typing import Final

from pydantic import ValidationError

from controller.agent.decide.observation import NodeFacts, restart_count
from controller.api import amounts, labels, quantity
from controller.api.amounts import Amounts
from controller.api.instance import ContainerInstance
from controller.api.resources import AppliedResources, QOSClass, ResourceList, ResourceRequirements
from controller.api.spec import Container, InstanceSpec
from controller.runtime.port import ContainerState, Resources

GUARANTEED_SCORE: Final = -997
BEST_EFFORT_SCORE: Final = 1000
"""OOM scores of the kubelet (pkg/kubelet/qos/policy.go); those of Burstable are between."""


def qos_class(spec: InstanceSpec) -> QOSClass:
    """Which instances suffer first when the node has no memory left (kubernetes.io, "Pod Quality of Service Classes").

    Guaranteed: each container has limits of cpu and memory, and is promised just these. BestEffort: nothing is said at all.
    So the sums are of all containers, and not of what runs at one time: else one that never counts could be promised less.
    """
    asked = [(amounts.requests(c), amounts.limits(c)) for c in spec.all_containers]
    if not any(_said(both) for both in asked):
        return "BestEffort"
    limited = all(limits.cpu_millis and limits.memory_bytes for _, limits in asked)
    promised = amounts.total(r for r, _ in asked)
    bounds = amounts.total(limits for _, limits in asked)
    same = (promised.cpu_millis, promised.memory_bytes) == (bounds.cpu_millis, bounds.memory_bytes)
    return "Guaranteed" if limited and same else "Burstable"


def _said(both: Iterable[Amounts]) -> bool:
    return any(one.cpu_millis or one.memory_bytes for one in both)


def oom_score_adj(container: Container, spec: InstanceSpec, memory_bytes: int) -> int:
    """How soon the kernel kills it when the node has no memory left, from -1000 to 1000, as the kubelet has it.

    Args:
        container: the container.
        spec: that of its instance.
        memory_bytes: what the node has.
    """
    match qos_class(spec):
        case "Guaranteed":
            return GUARANTEED_SCORE
        case "BestEffort":
            return BEST_EFFORT_SCORE
        case "Burstable":
            promised = 1000 * amounts.requests(container).memory_bytes // max(memory_bytes, 1)
            return min(max(1000 - promised, 1000 + GUARANTEED_SCORE), BEST_EFFORT_SCORE - 1)


def applied(container: Container) -> str:
    """What a container is held to and promised, as the label `resources` has it: the same text for the same amounts.

    What the node alone says (its limit of processes) is not in it: that holds for containers that are made from then on.
    """
    limits = container.resources.limits
    said = {"requests": _written(amounts.requests(container)), "limits": _written(amounts.limits(container))}
    if limits.pids:
        said["limits"]["pids"] = str(limits.pids)
    told = {what: values for what, values in said.items() if values}
    return json.dumps(told, sort_keys=True, separators=(",", ":")) if told else ""


def read_applied(label: str) -> AppliedResources | None:
    """The label `resources` of a container, read; None when it is absent, or not ours."""
    try:
        return AppliedResources.model_validate_json(label) if label else None
    except ValidationError:
        return None


def _written(said: Amounts) -> dict[str, str]:
    """As Kubernetes writes it, without what is 0."""
    write = {amounts.CPU: quantity.of_millis}
    return {name: write.get(name, quantity.of_bytes)(amount) for name, amount in said.by_name().items() if amount}


def resources(container: Container, node: NodeFacts) -> Resources:
    """What the runtime is told. A limit of 0 is none, as in core/v1."""
    asked, limits = amounts.requests(container), amounts.limits(container)
    return Resources(
        cpu_millis=limits.cpu_millis or None,
        memory_bytes=limits.memory_bytes or None,
        cpu_request_millis=asked.cpu_millis,
        pids=container.resources.limits.pids or node.pids_limit or None,
        huge_pages=limits.huge_pages,
    )


def held_by(instance: ContainerInstance, containers: Iterable[ContainerState]) -> Amounts:
    """What an instance's containers have been promised; of one that was not made, or by an older release, what it asks for."""
    newest = {c.labels.get(labels.CONTAINER): c for c in sorted(containers, key=restart_count)}
    return amounts.instance_total(instance.spec, lambda container: _held(container, newest.get(container.name)))


def _held(container: Container, state: ContainerState | None) -> Amounts:
    said = read_applied(state.labels.get(labels.RESOURCES, "")) if state is not None else None
    return amounts.listed(ResourceList.model_validate(said.requests)) if said is not None else amounts.requests(container)


def as_held(container: Container, state: ContainerState | None) -> Container:
    """The container with the resources that the one before it had, as far as those can change in place."""
    said = read_applied(state.labels.get(labels.RESOURCES, "")) if state is not None else None
    if said is None:
        return container
    return container.model_copy(update={"resources": ResourceRequirements.model_validate(said.to_json())})
