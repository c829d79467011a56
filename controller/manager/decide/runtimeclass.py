"""What a RuntimeClass means for placement: the nodes that it schedules to, and what it costs there. Pure.

As the admission plugin RuntimeClass does for pods (kubernetes.io, "Runtime Class": scheduling, pod overhead), with one
difference: nothing is written into the instance, so a class that changes counts at once.
"""

from collections.abc import Mapping
from dataclasses import replace

from controller.api.amounts import NOTHING, Amounts, instance_requests
from controller.api.runtimeclass import RuntimeClass
from controller.api.spec import InstanceSpec
from controller.manager.decide.values import Workload


def overhead(name: str | None, classes: Mapping[str, RuntimeClass]) -> Amounts:
    """The overhead of an instance with this runtimeClassName; nothing without a class, or while there is none of that name."""
    found = classes.get(name) if name is not None else None
    return NOTHING if found is None else found.costs()


def takes(spec: InstanceSpec, classes: Mapping[str, RuntimeClass]) -> Amounts:
    """What an instance takes of its node: what its containers ask for, and the overhead."""
    return instance_requests(spec) + overhead(spec.runtime_class_name, classes)


def scheduled(workload: Workload, classes: Mapping[str, RuntimeClass]) -> tuple[Workload, str]:
    """The workload with the placement that it has by its class, and why it can have none; an empty text when it can.

    Labels of both must be there, and taints that either tolerates are tolerated. What has no class, or none that is of use, is
    placed as it says itself.
    """
    name = workload.spec.template.spec.runtime_class_name
    if name is None:
        return workload, ""
    found = classes.get(name)
    if found is None:
        return workload, f"there is no RuntimeClass {name!r}: create it, or change runtimeClassName"
    own, given = workload.spec.placement, found.scheduling
    for key, value in sorted(given.node_selector.items()):
        if own.node_selector.get(key, value) != value:
            said = f"placement.nodeSelector says {key}={own.node_selector[key]}, and RuntimeClass {name!r} {key}={value}"
            return workload, f"no node can be both: {said}"
    if not given.node_selector and not given.tolerations:
        return workload, ""
    known = [t.to_json() for t in own.tolerations]
    further = tuple(t for t in given.tolerations if t.to_json() not in known)
    both = own.model_copy(
        update={"node_selector": {**own.node_selector, **given.node_selector}, "tolerations": own.tolerations + further}
    )
    return replace(workload, spec=workload.spec.model_copy(update={"placement": both})), ""
