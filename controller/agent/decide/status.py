"""The instance's status: (what is wanted, what the plan found) -> `InstanceStatus`. Pure.

The message and the decision come from the same verdicts, so they cannot disagree.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from controller.agent.decide.observation import Desired, NodeFacts, restart_count
from controller.agent.decide.plan import Plan, Verdict
from controller.agent.decide.pulling import PullView, pull_status
from controller.agent.decide.resources import qos_class, read_applied
from controller.agent.decide.terminated import EXIT_NOT_STARTED, before, terminated
from controller.api import labels
from controller.api.conditions import contract, timestamp
from controller.api.instance import (
    ContainerInstanceSpec,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    InstanceStatus,
    Phase,
)
from controller.api.reasons import Reason
from controller.api.spec import Container, InstanceSpec
from controller.runtime import port

_PASSING: Final = frozenset({Reason.POD_INITIALIZING, Reason.CONTAINER_CREATING, Reason.PULLING, Reason.PENDING})
"""Reasons to wait that say nothing but that its turn has not come, or is about to."""

UNSETTLED: Final = -1
"""observedGeneration of a status in progress: it moves only when a generation is settled, so the writer keeps the last one."""


def instance_status(desired: Desired, plan: Plan, node: NodeFacts, now: float) -> InstanceStatus:
    """What is told of the instance. Times that only the API remembers are merged in by the writer (`report/writer.py`)."""
    spec, meta = desired.instance.spec, desired.instance.metadata
    containers = tuple(container_status(c, plan.verdicts.get(c.name), node) for c in spec.containers)
    inits = tuple(container_status(c, plan.verdicts.get(c.name), node) for c in spec.init_containers)
    sidecars = {c.name for c in spec.init_containers if c.is_sidecar}
    lasting = containers + tuple(c for c in inits if c.name in sidecars)
    ready, stalled, reason, message = _judged(desired, plan, containers, inits)
    pull = next((v.pull for c in spec.all_containers if (v := plan.verdicts.get(c.name)) and v.pull is not None), None)
    begun = "" if spec.suspend or plan.ending else initializing(spec, inits, plan.verdicts)
    addresses = tuple(filter(None, (node.address,))) if spec.host_network else plan.addresses
    return InstanceStatus(
        observed_generation=meta.generation if ready or stalled else UNSETTLED,
        phase=_phase(plan, spec, containers),
        conditions=contract(ready=ready, stalled=stalled, reason=reason, message=message, generation=meta.generation, now=now),
        containers=containers,
        init_containers=inits,
        summary=_summary(reason, pull) if plan.blocked or not begun else begun,
        ready=f"{sum(c.ready for c in lasting)}/{len(lasting)}",
        restarts=sum(c.restart_count for c in (inits if begun else lasting)),
        ip=next(iter(addresses), ""),
        ips=addresses,
        started_at=timestamp(now),
        qos_class=qos_class(spec),
        pull=pull_status(pull),
    )


def _summary(reason: Reason, pull: PullView | None) -> str:
    """The reason, and of a pull how far it is: `Pulling 42% 3.1MB/s`."""
    if reason is not Reason.PULLING or pull is None:
        return reason
    return f"{reason} {pull.summary}" if pull.unfinished else "Unpacking"


def container_status(container: Container, verdict: Verdict | None, node: NodeFacts) -> ContainerStatus:
    """One container, in the shape of core/v1."""
    current = verdict.container if verdict else None
    if verdict is None or current is None:
        done = verdict is not None and verdict.completed
        return ContainerStatus(name=container.name, image=container.image, state=_state(verdict), ready=done)
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
        ready=verdict.completed or (running and not (verdict.unproven or verdict.health.unready)),
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
    if verdict.completed and current is None:
        told = "it has completed; the runtime has nothing of it any more"
        return ContainerState(terminated=ContainerStateTerminated(exit_code=0, reason=Reason.COMPLETED, message=told))
    if current is not None and current.phase in {port.Phase.RUNNING, port.Phase.PAUSED} and not verdict.health.hooking:
        return ContainerState(
            running=ContainerStateRunning(started_at=timestamp(current.started_at) if current.started_at else None)
        )
    if current is not None and verdict.ended:
        return ContainerState(terminated=_with_scheme(terminated(current, verdict.last_words), scheme))
    return ContainerState(waiting=ContainerStateWaiting(reason=verdict.reason, message=verdict.message))


def _with_scheme(end: ContainerStateTerminated, scheme: str) -> ContainerStateTerminated:
    return end.model_copy(update={"container_id": f"{scheme}://{end.container_id}"}) if end.container_id else end


def _phase(plan: Plan, spec: ContainerInstanceSpec, containers: tuple[ContainerStatus, ...]) -> Phase:
    """As a pod's (kubernetes.io, "Pod Lifecycle")."""
    if plan.blocked:
        return "Unknown"
    if spec.suspend:
        return "Pending"
    if plan.ending:
        return "Running" if any(not v.ended for v in plan.verdicts.values()) else "Failed"
    told = [(c.is_sidecar, plan.verdicts[c.name]) for c in spec.init_containers if c.name in plan.verdicts]
    lives = any(v.container is not None and v.container.phase is not port.Phase.EXITED for _, v in told)
    if not lives and any(v.ended and not v.completed for is_sidecar, v in told if not is_sidecar):
        return "Failed"
    ends = [c.state.terminated for c in containers if c.state.terminated is not None]
    if len(ends) == len(containers) and not lives:
        return "Succeeded" if all(e.exit_code == 0 for e in ends) else "Failed"
    begun = [c for c in containers if c.state.terminated or c.state.running or c.restart_count or c.last_state.terminated]
    waits = any(plan.verdicts[c.name].reason is Reason.POD_INITIALIZING for c in containers if c.name in plan.verdicts)
    return "Running" if len(begun) == len(containers) and not waits else "Pending"


def initializing(spec: InstanceSpec, inits: Sequence[ContainerStatus], verdicts: Mapping[str, Verdict]) -> str:
    """How far the init containers are, in kubectl's words: `Init:1/2`, `Init:CrashLoopBackOff`; empty when they are done."""
    waits = [c for c in spec.containers if c.name in verdicts and verdicts[c.name].reason is Reason.POD_INITIALIZING]
    for index, (container, status) in enumerate(zip(spec.init_containers, inits, strict=True)):
        ended, waiting = status.state.terminated, status.state.waiting
        done = status.ready if not container.is_sidecar else status.started
        if done or not waits:
            continue
        if ended is not None:
            return f"Init:{ended.reason}"
        trouble = waiting is not None and waiting.reason not in _PASSING
        return f"Init:{waiting.reason}" if trouble and waiting is not None else f"Init:{index}/{len(inits)}"
    return ""


def _judged(
    desired: Desired, plan: Plan, containers: tuple[ContainerStatus, ...], inits: tuple[ContainerStatus, ...]
) -> tuple[bool, bool, Reason, str]:
    """(ready, stalled, reason, message) of the whole instance: the worst container speaks for it."""
    if plan.blocked:
        return False, False, Reason.RUNTIME_UNAVAILABLE, plan.blocked
    if desired.instance.spec.suspend:
        if plan.torn_down:
            return True, False, Reason.SUSPENDED, "suspended: its containers are stopped"
        return False, False, Reason.TERMINATING, "suspended: its containers are stopping"
    if plan.ending:
        return False, True, plan.ending.reason, plan.ending.message
    verdicts, spec = plan.verdicts, desired.instance.spec
    sidecars = {c.name for c in spec.init_containers if c.is_sidecar}
    if (failure := _failure(verdicts, sidecars)) is not None:
        return False, True, *failure
    stopped = [name for name, verdict in verdicts.items() if verdict.reason is Reason.SUSPENDED]
    awaited = {c.name for c in containers + inits if not (c.ready or c.state.terminated or c.name in stopped)}
    begins = next((c.name for c in spec.init_containers if c.name in awaited - sidecars), "")
    if begins and verdicts[begins].reason is Reason.RUNNING:
        return False, False, Reason.POD_INITIALIZING, f"init container {begins!r} runs"
    waits = _waiting(verdicts, awaited)
    if waits is not None:
        return False, False, *waits
    if all(v.ended for v in verdicts.values()):
        return True, False, Reason.COMPLETED, "all containers ended with exit code 0"
    told = ", ".join(f"container {name!r} is suspended" for name in stopped)
    runs = not stopped or any(c.state.running for c in containers)
    return True, False, Reason.RUNNING if runs else Reason.SUSPENDED, told


def _failure(verdicts: Mapping[str, Verdict], sidecars: Collection[str]) -> tuple[Reason, str] | None:
    """(reason, message) of the first container that cannot go on until somebody changes something."""
    for name, verdict in verdicts.items():
        if verdict.resize is Reason.INFEASIBLE:
            return verdict.resize, verdict.resizing
        if verdict.terminal or (_failed(verdict) and name not in sidecars):
            return verdict.reason, verdict.told(name, verdict.message or _exit(verdict))
    return None


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


def _failed(verdict: Verdict) -> bool:
    """Whether it has ended, and not with success."""
    return verdict.ended and not verdict.completed and verdict.container is not None and verdict.container.exit_code != 0


def _exit(verdict: Verdict) -> str:
    code = verdict.container.exit_code if verdict.container else None
    return f"ended with exit code {code}" if code is not None else "ended, its exit code is not known"
