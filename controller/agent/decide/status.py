"""The instance's status: (what is wanted, what the plan found) -> `InstanceStatus`. Pure.

The message and the decision come from the same verdicts, so they cannot disagree.
"""

from collections.abc import Collection, Mapping
from typing import Final

from controller.agent.decide.observation import Desired, NodeFacts, restart_count
from controller.agent.decide.plan import Plan, Verdict
from controller.agent.decide.resources import qos_class, read_applied
from controller.agent.decide.terminated import EXIT_NOT_STARTED, before, terminated
from controller.api import labels
from controller.api.conditions import contract, timestamp
from controller.api.instance import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    InstanceStatus,
    Phase,
)
from controller.api.reasons import Reason
from controller.api.spec import Container
from controller.runtime import port

UNSETTLED: Final = -1
"""observedGeneration of a status in progress: it moves only when a generation is settled, so the writer keeps the last one."""


def instance_status(desired: Desired, plan: Plan, node: NodeFacts, now: float) -> InstanceStatus:
    """What is told of the instance. Times that only the API remembers are merged in by the writer (`report/writer.py`)."""
    spec, meta = desired.instance.spec, desired.instance.metadata
    containers = tuple(container_status(c, plan.verdicts.get(c.name), node) for c in spec.containers)
    ready, stalled, reason, message = _judged(desired, plan, containers)
    addresses = tuple(filter(None, (node.address,))) if spec.host_network else plan.addresses
    return InstanceStatus(
        observed_generation=meta.generation if ready or stalled else UNSETTLED,
        phase=_phase(plan, containers, suspended=spec.suspend),
        conditions=contract(ready=ready, stalled=stalled, reason=reason, message=message, generation=meta.generation, now=now),
        containers=containers,
        ready=f"{sum(c.ready for c in containers)}/{len(containers)}",
        restarts=sum(c.restart_count for c in containers),
        ip=next(iter(addresses), ""),
        ips=addresses,
        started_at=timestamp(now),
        qos_class=qos_class(spec),
    )


def container_status(container: Container, verdict: Verdict | None, node: NodeFacts) -> ContainerStatus:
    """One container, in the shape of core/v1."""
    current = verdict.container if verdict else None
    if verdict is None or current is None:
        state = _state(verdict)
        return ContainerStatus(name=container.name, image=container.image, state=state)
    running = current.phase in {port.Phase.RUNNING, port.Phase.PAUSED}
    exited = current.phase is port.Phase.EXITED
    scheme = node.runtime_name
    if exited and not verdict.ended:
        last: ContainerStateTerminated | None = terminated(current, verdict.last_words)
    else:
        last = before(current, verdict.words_before)
    return ContainerStatus(
        name=container.name,
        image=container.image,
        image_id=f"{current.image.partition('@')[0]}@{current.image_digest}" if current.image_digest else "",
        container_id=f"{scheme}://{current.id}",
        state=_state(verdict, scheme),
        last_state=ContainerState(terminated=_with_scheme(last, scheme) if last else None),
        ready=running and not (verdict.unproven or verdict.health.unready),
        started=running and verdict.health.started,
        restart_count=restart_count(current),
        resources=read_applied(current.labels.get(labels.RESOURCES, "")) if running else None,
    )


def _state(verdict: Verdict | None, scheme: str = "") -> ContainerState:
    if verdict is None:
        return ContainerState(waiting=ContainerStateWaiting(reason=Reason.PENDING))
    if verdict.start_failure:
        failed = ContainerStateTerminated(exit_code=EXIT_NOT_STARTED, reason=verdict.reason, message=verdict.start_failure)
        return ContainerState(terminated=failed)
    current = verdict.container
    if current is not None and current.phase in {port.Phase.RUNNING, port.Phase.PAUSED} and not verdict.health.hooking:
        return ContainerState(
            running=ContainerStateRunning(started_at=timestamp(current.started_at) if current.started_at else None)
        )
    if current is not None and verdict.ended:
        return ContainerState(terminated=_with_scheme(terminated(current, verdict.last_words), scheme))
    return ContainerState(waiting=ContainerStateWaiting(reason=verdict.reason, message=verdict.message))


def _with_scheme(end: ContainerStateTerminated, scheme: str) -> ContainerStateTerminated:
    return end.model_copy(update={"container_id": f"{scheme}://{end.container_id}"}) if end.container_id else end


def _phase(plan: Plan, containers: tuple[ContainerStatus, ...], *, suspended: bool) -> Phase:
    """As a pod's (kubernetes.io, "Pod Lifecycle")."""
    if plan.blocked:
        return "Unknown"
    if suspended:
        return "Pending"
    ends = [c.state.terminated for c in containers if c.state.terminated is not None]
    if len(ends) == len(containers):
        return "Succeeded" if all(e.exit_code == 0 for e in ends) else "Failed"
    begun = [c for c in containers if c.state.terminated or c.state.running or c.restart_count or c.last_state.terminated]
    return "Running" if len(begun) == len(containers) else "Pending"


def _judged(desired: Desired, plan: Plan, containers: tuple[ContainerStatus, ...]) -> tuple[bool, bool, Reason, str]:
    """(ready, stalled, reason, message) of the whole instance: the worst container speaks for it."""
    if plan.blocked:
        return False, False, Reason.RUNTIME_UNAVAILABLE, plan.blocked
    if desired.instance.spec.suspend:
        if plan.torn_down:
            return True, False, Reason.SUSPENDED, "suspended: its containers are stopped"
        return False, False, Reason.TERMINATING, "suspended: its containers are stopping"
    verdicts = plan.verdicts
    for name, verdict in verdicts.items():
        failed = verdict.ended and verdict.container is not None and verdict.container.exit_code != 0
        if verdict.resize is Reason.INFEASIBLE:
            return False, True, verdict.resize, verdict.resizing
        if verdict.terminal or failed:
            return False, True, verdict.reason, verdict.told(name, verdict.message or _exit(verdict))
    waits = _waiting(verdicts, {c.name for c in containers if not (c.ready or c.state.terminated)})
    if waits is not None:
        return False, False, *waits
    if all(v.ended for v in verdicts.values()):
        return True, False, Reason.COMPLETED, "all containers ended with exit code 0"
    return True, False, Reason.RUNNING, ""


def _waiting(verdicts: Mapping[str, Verdict], waiting: Collection[str]) -> tuple[Reason, str] | None:
    """(reason, message) of the first container that is not there yet; `waiting` are the names of those that are not ready."""
    for name, verdict in verdicts.items():
        if name in waiting and verdict.reason is Reason.RUNNING and verdict.health.unready:
            return Reason.CONTAINERS_NOT_READY, f"container {name!r}: {verdict.health.unready}"
        if verdict.resizing:
            return verdict.resize, f"container {name!r}: {verdict.resizing}"
        if verdict.unproven:
            return Reason.CRASH_LOOP_BACK_OFF, f"container {name!r}: {verdict.unproven}"
        if name in waiting or verdict.outdated:
            made = f"container {name!r} is being {'replaced' if verdict.outdated else 'made'}"
            return verdict.reason, verdict.told(name, verdict.message) if verdict.message else made
    return None


def _exit(verdict: Verdict) -> str:
    code = verdict.container.exit_code if verdict.container else None
    return f"ended with exit code {code}" if code is not None else "ended, its exit code is not known"
