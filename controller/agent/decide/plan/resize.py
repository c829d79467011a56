"""Changed resources of a container that runs: in place, or by a restart where its resizePolicy wants one. Pure.

Source: kubernetes.io, "Resize CPU and Memory Resources assigned to Containers". Unlike there, an instance's `qosClass` may
change with it; the OOM score that goes with the class remains that of the container's start.
"""

from dataclasses import replace

from controller.agent.decide import backoff
from controller.agent.decide.actions import ResizeContainer
from controller.agent.decide.hashing import spec_hash
from controller.agent.decide.plan.values import Case, Step, earliest
from controller.agent.decide.resources import applied, read_applied
from controller.api import labels
from controller.api.amounts import CPU, MEMORY
from controller.api.reasons import Reason
from controller.api.resources import AppliedResources
from controller.api.spec import Container
from controller.runtime.port import ContainerState


def needs_restart(container: Container, current: ContainerState, case: Case) -> bool:
    """Whether a resource has changed that the container is to be restarted for: cpu, or the limit of memory.

    Of what an earlier release made with limits is known that they are the spec's (`hashing.made_from`): no restart.
    """
    wanting = {p.resource_name for p in container.resize_policy if p.restart_policy == "RestartContainer"}
    label = current.labels.get(labels.RESOURCES, "")
    if not wanting or (not label and current.labels.get(labels.SPEC_HASH) != spec_hash(container, case.spec)):
        return False
    before, wanted = _in_force(label), _in_force(applied(container))
    return any(before[name] != wanted[name] for name in wanting)


def _in_force(label: str) -> dict[str, tuple[str, ...]]:
    """What a change of each resource would change in the cgroup."""
    said = read_applied(label) or AppliedResources()
    limits, requests = said.limits, said.requests
    return {CPU: (limits.get(CPU, ""), requests.get(CPU, "")), MEMORY: (limits.get(MEMORY, ""),)}


def resized(container: Container, current: ContainerState, step: Step, case: Case) -> Step:
    """The step of a container that runs as its spec says, with what its resources still need."""
    wanted = applied(container)
    if current.labels.get(labels.RESOURCES, "") == wanted:
        return step
    if lacking := case.seen.shortage:
        reason = Reason.INFEASIBLE if lacking.ever else Reason.DEFERRED
        return replace(step, verdict=replace(step.verdict, resizing=lacking.message, resize=reason))
    trouble = case.seen.resizes.get(current.id)
    if trouble is not None and trouble.resources == wanted:
        retry_at = trouble.at + backoff.delay(trouble.count, case.spec.backoff)
        if case.now < retry_at:
            verdict = replace(step.verdict, resizing=trouble.message)
            return replace(step, verdict=verdict, wake_at=earliest([step.wake_at, retry_at]))
    verdict = replace(step.verdict, resizing="its resources are being changed")
    change = ResizeContainer(container, current.id, spec_hash(container, case.spec))
    return replace(step, verdict=verdict, actions=(*step.actions, change))
