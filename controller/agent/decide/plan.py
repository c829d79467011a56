"""The planner: (what is wanted, what is observed, now) -> actions, a wake-up time and a verdict for each container. Pure.

One plan serves create, update, restart, exit, resume and delete: it looks at the state of the world, never at what happened.
Planning again in a world where the actions have been done gives no actions.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from controller.agent.decide import backoff, health, network
from controller.agent.decide.actions import (
    Action,
    CreateContainer,
    PullImage,
    RemoveContainer,
    RunPreStop,
    StartContainer,
    StopContainer,
)
from controller.agent.decide.hashing import spec_hash
from controller.agent.decide.health import WELL, State
from controller.agent.decide.network import NetworkPlan
from controller.agent.decide.observation import Desired, Health, ImageView, Observation, crashes, restart_count
from controller.agent.decide.stop import stop
from controller.agent.decide.terminated import before, terminated
from controller.api import labels
from controller.api.instance import ContainerInstance, ContainerInstanceSpec, ContainerStateTerminated
from controller.api.podsecurity.check import refusal
from controller.api.podsecurity.levels import Level
from controller.api.reasons import Reason
from controller.api.spec import Container
from controller.network.port import NetworkState
from controller.runtime.port import ContainerState, Phase

RUNTIME_PATIENCE_SECONDS: Final = 10.0
"""A runtime that does not answer for this long is told in the instances' status; a restart of it is shorter."""

RUNTIME_RETRY_SECONDS: Final = 1.0
"""Pause before a question that was not answered is asked again, where nobody tells that the runtime is back."""

LABELS_PATIENCE_SECONDS: Final = 10.0
"""Labels of a namespace that are not seen for this long are told to be missing."""

LOOK_AGAIN_SECONDS: Final = 2.0
"""Pause before a container is looked at again whose state the runtime could not tell."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is the case with one container of the spec."""

    reason: Reason
    message: str = ""
    container: ContainerState | None = None
    """The newest one in the runtime."""
    terminal: bool = False
    """It cannot go on until somebody changes something."""
    ended: bool = False
    """It ended, and by its restartPolicy it is not started again."""
    outdated: bool = False
    """It runs with an older spec, and is about to be replaced."""
    start_failure: str = ""
    """Why its process could not even be started, when that is its end."""
    unproven: str = ""
    """It runs, but has crashed again and again and does not count as ready yet; what a person should know."""
    health: State = WELL
    """What its hooks and probes say of it, while it runs."""
    last_words: str = ""
    """Its termination message, when it has ended."""
    words_before: str = ""
    """That of the run before."""

    def told(self, name: str, message: str) -> str:
        """What to say of the instance: Pod Security's words are about it as a whole, all others about this container of it."""
        return message if self.reason is Reason.POD_SECURITY else f"container {name!r}: {message}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, when to look again, and what is the case."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    """Seconds since the epoch; None: only when something happens."""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    torn_down: bool = False
    """Nothing of the instance is left, neither in the runtime nor of its network, as its deletion or suspension asks."""
    waits: bool = False
    """The runtime does not answer now: nothing is concluded, and nothing new is told until `blocked` says so."""
    blocked: str = ""
    """Why nothing can be done now: the runtime has not answered for a while."""
    addresses: tuple[str, ...] = ()
    """Addresses of the instance on a network of its own."""


@dataclass(frozen=True, slots=True)
class _Step:
    """The plan for one container."""

    verdict: Verdict
    actions: tuple[Action, ...] = ()
    wake_at: float | None = None


@dataclass(frozen=True)
class _Case:
    """What is the same for all containers of an instance."""

    spec: ContainerInstanceSpec
    seen: Observation
    now: float

    @cached_property
    def refusal(self) -> str:
        """What Pod Security says against the instance; judged when one of its containers is to be started, and once for all.

        The instance is judged as a whole, as a pod is: one container that violates keeps the others from being started, too.
        """
        enforced = self.seen.pod_security
        if enforced is None or enforced.level is Level.PRIVILEGED:
            return ""
        return refusal(self.spec.to_json(), enforced)


def plan(desired: Desired, seen: Observation, now: float) -> Plan:
    """Decide what to do for one instance."""
    spec = desired.instance.spec
    if desired.deleting or spec.suspend:
        why = "the instance is being deleted" if desired.deleting else "the instance is suspended"
        result = _all_torn_down(spec, seen, now, why)
    else:
        result = _reconciled(desired.instance, seen, now)
    if not seen.runtime_error:
        return _labels_awaited(result, seen, now)
    if now < seen.runtime_down_since + RUNTIME_PATIENCE_SECONDS:
        return Plan(wake_at=now + RUNTIME_RETRY_SECONDS, verdicts=result.verdicts, waits=True, addresses=result.addresses)
    verdicts = {name: _blocked(verdict, seen.runtime_error) for name, verdict in result.verdicts.items()}
    again = now + RUNTIME_PATIENCE_SECONDS
    return Plan(wake_at=again, verdicts=verdicts, waits=True, blocked=seen.runtime_error, addresses=result.addresses)


def _labels_awaited(result: Plan, seen: Observation, now: float) -> Plan:
    """At an agent's first start, instances may be seen a moment before their namespaces: that is not told."""
    missed = any(v.reason is Reason.POD_SECURITY and not v.terminal for v in result.verdicts.values())
    tell_at = seen.unlabelled_since + LABELS_PATIENCE_SECONDS
    if not missed or now >= tell_at:
        return result
    return replace(result, waits=True, wake_at=_earliest([result.wake_at, tell_at]))


def _blocked(verdict: Verdict, error: str) -> Verdict:
    """What runs or ended is told as it was last seen; what should come now cannot."""
    if verdict.reason is Reason.RUNNING or verdict.ended:
        return verdict
    return replace(verdict, reason=Reason.RUNTIME_UNAVAILABLE, message=error)


def _reconciled(instance: ContainerInstance, seen: Observation, now: float) -> Plan:
    spec = instance.spec
    names = {c.name for c in spec.containers}
    strangers = [c for c in seen.containers if c.labels.get(labels.CONTAINER) not in names]
    cleared = _torn_down(strangers, spec, seen, now, "it is no longer in the spec")
    case = _Case(spec, seen, now)
    steps = {c.name: _container(c, case) for c in spec.containers}
    asked = network.request(instance)
    if asked is None:
        own = network.removed(seen, spec.backoff, now) if _unused(seen, steps.values()) else NetworkPlan()
    else:
        refused = all(s.verdict.reason is Reason.POD_SECURITY for s in steps.values())
        own = NetworkPlan() if refused else network.made(asked, seen, _pids(steps.values()), spec.backoff, now)
        steps = {name: _without_network(step, seen, own) for name, step in steps.items()}
    return Plan(
        actions=own.actions + cleared.actions + tuple(a for s in steps.values() for a in s.actions),
        wake_at=_earliest([own.wake_at, cleared.wake_at, *(s.wake_at for s in steps.values())]),
        verdicts={name: s.verdict for name, s in steps.items()},
        addresses=seen.addresses,
    )


def _without_network(step: _Step, seen: Observation, own: NetworkPlan) -> _Step:
    """While the network is not there nothing is stopped for an update; and if it cannot be made now, nothing is made either."""
    if seen.network is NetworkState.READY:
        return step
    held: tuple[type[Action], ...] = (CreateContainer, StartContainer) if own.wake_at is not None else ()
    if step.verdict.outdated:
        held += (RunPreStop, StopContainer)
    kept = tuple(a for a in step.actions if not isinstance(a, held))
    if kept == step.actions or seen.network_trouble is None:
        return replace(step, actions=kept)
    verdict = replace(step.verdict, reason=Reason.NETWORK_SETUP_FAILED, message=seen.network_trouble.message)
    return replace(step, verdict=verdict, actions=kept)


def _pids(steps: Iterable[_Step]) -> tuple[int, ...]:
    """The processes that run as the spec says."""
    found = (s.verdict.container for s in steps if not s.verdict.outdated)
    return tuple(c.pid for c in found if c is not None and c.pid)


def _unused(seen: Observation, steps: Iterable[_Step]) -> bool:
    """Whether nothing is alive any more that was made for a network before the spec was changed."""
    current = {s.verdict.container.id for s in steps if s.verdict.container is not None and not s.verdict.outdated}
    alive = {c.id for c in seen.containers if c.phase not in {Phase.CREATED, Phase.EXITED}}
    return alive <= current


def _all_torn_down(spec: ContainerInstanceSpec, seen: Observation, now: float, why: str) -> Plan:
    """Containers first: asked to stop, killed when they do not, removed. When the last one has gone, the network.

    Each step is repeated until it is confirmed, and what is not there counts as removed.
    """
    if seen.containers:
        return _torn_down(seen.containers, spec, seen, now, why)
    own = network.removed(seen, spec.backoff, now)
    return Plan(own.actions, own.wake_at, torn_down=seen.network is NetworkState.ABSENT)


def _torn_down(
    containers: Iterable[ContainerState], spec: ContainerInstanceSpec, seen: Observation, now: float, why: str
) -> Plan:
    """Stop what runs, with the grace period; remove what does not."""
    actions: list[Action] = []
    wakes: list[float | None] = []
    grace = spec.termination_grace_period_seconds
    for container in containers:
        if container.phase in {Phase.RUNNING, Phase.UNKNOWN}:
            action, wake = stop(container, spec, grace, seen, now, why)
            actions += [action] if action else []
            wakes.append(wake)
        else:
            actions.append(RemoveContainer(container.id))
    return Plan(tuple(actions), _earliest(wakes))


def _container(container: Container, case: _Case) -> _Step:
    """One container of the spec. At most its newest one in the runtime is of use; older ones are removed."""
    spec, seen, now = case.spec, case.seen, case.now
    wanted = spec_hash(container, spec)
    mine = seen.of(container.name)
    older = _torn_down(mine[:-1], spec, seen, now, "a newer one has taken its place")
    step = _with_words(_current(container, wanted, mine[-1] if mine else None, case), seen)
    if any(c.phase is not Phase.EXITED and c.phase is not Phase.CREATED for c in mine[:-1]):
        kept = tuple(a for a in step.actions if not isinstance(a, CreateContainer | StartContainer))
        return _Step(step.verdict, kept + older.actions, _earliest([step.wake_at, older.wake_at]))
    return _Step(step.verdict, step.actions + older.actions, _earliest([step.wake_at, older.wake_at]))


def _with_words(step: _Step, seen: Observation) -> _Step:
    """The step with what the container said of its end, and the one before it of its own."""
    current = step.verdict.container
    own, before = (seen.last_words.get(current.id, ""), seen.words_before.get(current.id, "")) if current else ("", "")
    return replace(step, verdict=replace(step.verdict, last_words=own, words_before=before)) if own or before else step


def _current(container: Container, wanted: str, current: ContainerState | None, case: _Case) -> _Step:
    seen, now = case.seen, case.now
    if current is None:
        lost = seen.remembered.get(container.name)
        first = CreateContainer(
            container,
            wanted,
            restart_count=lost.restart_count + 1 if lost else 0,
            crashes=lost.crashes + 1 if lost else 0,
            last=terminated(lost.last) if lost else None,
        )
        return _brought_up(first, None, case)
    found = seen.health.get(current.id) or health.noted(current)
    same = current.labels.get(labels.SPEC_HASH) == wanted
    up_to_date = same and (current.id not in seen.stopping or bool(found.failed))
    judged = health.state(container, found)
    match current.phase:
        case Phase.RUNNING | Phase.PAUSED if up_to_date and judged.unhealthy:
            return _unhealthy(current, judged, case)
        case Phase.RUNNING | Phase.PAUSED if up_to_date:
            return _running(container, current, judged, case)
        case Phase.RUNNING | Phase.PAUSED:
            return _swapped(container, wanted, current, judged, case)
        case Phase.UNKNOWN:
            told = "the runtime cannot tell its state"
            return _Step(Verdict(Reason.CONTAINER_STATUS_UNKNOWN, told, current), (), now + LOOK_AGAIN_SECONDS)
        case Phase.CREATED if up_to_date:
            start = StartContainer(container.name, wanted, current.id)
            failed = _refused(current, case) or _failed(container.name, wanted, current, case)
            return failed or _Step(Verdict(Reason.CONTAINER_CREATING, container=current), (start,))
        case Phase.CREATED:
            return _Step(Verdict(Reason.CONTAINER_CREATING), (RemoveContainer(current.id),))
        case _:
            return _ended(container, wanted, current, found, case, changed=not up_to_date)


def _unhealthy(current: ContainerState, judged: State, case: _Case) -> _Step:
    """A probe or hook says that it must go: it is stopped, and what comes then is as after any other end."""
    grace = judged.grace if judged.grace is not None else case.spec.termination_grace_period_seconds
    action, wake = stop(current, case.spec, grace, case.seen, case.now, judged.unhealthy)
    return _Step(Verdict(Reason.RUNNING, container=current, health=judged), (action,) if action else (), wake)


def _running(container: Container, current: ContainerState, judged: State, case: _Case) -> _Step:
    """It runs. After a back-off it counts as ready only when it has run as long as that pause was.

    Otherwise a container that crashes for ever would be reported as ready at each of its starts. One that has a readiness probe
    need not be doubted like that.
    """
    if judged.hooking:
        return _Step(Verdict(Reason.CONTAINER_CREATING, judged.unready, current, health=judged))
    if container.readiness_probe is not None or judged.unready:
        return _Step(Verdict(Reason.RUNNING, container=current, health=judged))
    pause = backoff.delay(crashes(current) - 1, case.spec.backoff)
    began = current.started_at if current.started_at is not None else current.created_at
    began = min(began, case.now)  # a clock may be set back
    if case.now >= began + pause:
        return _Step(Verdict(Reason.RUNNING, container=current))
    last = before(current)
    how = f" (the last: {_how(last)})" if last else ""
    told = f"crashed {crashes(current)} times in a row{how}; runs again, and is ready when it has run for {pause:g} s"
    return _Step(Verdict(Reason.RUNNING, container=current, unproven=told), (), began + pause)


def _swapped(container: Container, wanted: str, current: ContainerState, judged: State, case: _Case) -> _Step:
    """A changed spec: the old container runs until the new one's image is there, then it is stopped."""
    nxt = CreateContainer(container, wanted, restart_count(current) + 1, 0, terminated(current))
    step = _brought_up(nxt, current, case)
    ready_to_swap = any(isinstance(a, CreateContainer) for a in step.actions)
    if not ready_to_swap:
        told = step.verdict
        verdict = Verdict(told.reason, told.message, current, told.terminal, outdated=True, health=judged)
        return _Step(verdict, step.actions, step.wake_at)
    grace = case.spec.termination_grace_period_seconds
    action, wake = stop(current, case.spec, grace, case.seen, case.now, "its spec has changed")
    return _Step(Verdict(Reason.UPDATING, "", current, outdated=True, health=judged), (action,) if action else (), wake)


def _ended(container: Container, wanted: str, current: ContainerState, found: Health, case: _Case, *, changed: bool) -> _Step:
    """Start it again, now or later, or leave it as its restartPolicy says."""
    spec, seen, now = case.spec, case.seen, case.now
    end = terminated(current, seen.last_words.get(current.id, ""))
    if changed:
        return _brought_up(CreateContainer(container, wanted, restart_count(current) + 1, 0, end), current, case)
    if not _restarts(spec.restart_policy, current, failed=bool(found.failed)):
        return _Step(Verdict(Reason(end.reason), end.message, current, ended=True))
    row = backoff.ends_in_a_row(current, crashes(current), spec.backoff)
    pause = backoff.delay(row, spec.backoff)
    due = min(backoff.restart_due(current, crashes(current), spec.backoff), now + pause)  # a clock may be set back
    if now < due:
        message = f"{_how(end)}; restarted after a back-off of {pause:g} s"
        return _Step(Verdict(Reason.CRASH_LOOP_BACK_OFF, message, current), (), due)
    again = CreateContainer(container, wanted, restart_count(current) + 1, row + 1, end)
    return _brought_up(again, current, case)


def _brought_up(create: CreateContainer, current: ContainerState | None, case: _Case) -> _Step:
    """Image first, then the container, unless it must not be, or a try just failed."""
    name, wanted = create.container.name, create.spec_hash
    waiting = _refused(current, case) or _failed(name, wanted, current, case) or _image(create, current, case.seen, case.now)
    if waiting is not None:
        return waiting
    return _Step(Verdict(Reason.CONTAINER_CREATING, "", current), (create, StartContainer(name, wanted)))


def _refused(current: ContainerState | None, case: _Case) -> _Step | None:
    """What Pod Security has against starting anything of this instance; None when nothing."""
    if case.seen.pod_security is None:
        message = (
            "the labels of its namespace were never seen, so its Pod Security level is not known: waiting for the API server"
        )
        return _Step(Verdict(Reason.POD_SECURITY, message, current))
    message = case.refusal
    return _Step(Verdict(Reason.POD_SECURITY, message, current, terminal=True)) if message else None


def _failed(name: str, wanted: str, current: ContainerState | None, case: _Case) -> _Step | None:
    """What a failed try with this spec asks for: to wait, or to give up; None when it is time for the next one."""
    spec, now = case.spec, case.now
    trouble = case.seen.troubles.get(name)
    if trouble is None or trouble.spec_hash != wanted:
        return None
    if trouble.started and spec.restart_policy == "Never":
        return _Step(
            Verdict(trouble.reason, trouble.message, current, terminal=True, ended=True, start_failure=trouble.message)
        )
    retry_at = trouble.at + backoff.delay(trouble.count, spec.backoff)
    if not trouble.terminal and now >= retry_at:
        return None
    verdict = Verdict(trouble.reason, trouble.message, current, terminal=trouble.terminal)
    return _Step(verdict, (), None if trouble.terminal else retry_at)


def _image(create: CreateContainer, current: ContainerState | None, seen: Observation, now: float) -> _Step | None:
    """What has to happen to the image before the container can be made; None when it is there.

    With imagePullPolicy Always the registry is asked for each new instance and each changed spec. A restart after a crash uses
    what is there, so that it needs no registry.
    """
    container, wanted = create.container, create.spec_hash
    view = seen.images.get(container.image, ImageView())
    same = current is not None and current.labels.get(labels.SPEC_HASH) == wanted
    ask = pull_policy(container) == "Always" and seen.pulled.get(container.name) != wanted and not same
    if view.pull is not None and view.pull.terminal:
        return _Step(Verdict(view.pull.reason, view.pull.message, current, terminal=True))
    if view.present is not None and not ask:
        return None
    if pull_policy(container) == "Never":
        message = f"image {container.image!r} is not on the node, and imagePullPolicy is Never"
        return _Step(Verdict(Reason.ERR_IMAGE_NEVER_PULL, message, current, terminal=True))
    joined = seen.pulling.get(container.name) == wanted
    if view.pull is not None and (joined if view.pull.running else now < view.pull.retry_at):
        retry_at = None if view.pull.running else view.pull.retry_at
        return _Step(Verdict(view.pull.reason, view.pull.message, current), (), retry_at)
    fetch = PullImage(container.name, container.image, wanted)
    return _Step(Verdict(Reason.PULLING, f"pulling {container.image}", current), (fetch,))


def pull_policy(container: Container) -> str:
    """The policy in force: as written, else Always for the tag `latest` or none, else IfNotPresent (core/v1 `Container`)."""
    if container.image_pull_policy is not None:
        return container.image_pull_policy
    name, _, digest = container.image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if not digest and tag in {"", "latest"} else "IfNotPresent"


def _restarts(policy: str, container: ContainerState, *, failed: bool) -> bool:
    """One that was stopped because a probe or hook failed has failed, whatever its exit code is."""
    return policy == "Always" or (policy == "OnFailure" and (failed or container.exit_code != 0))


def _how(end: ContainerStateTerminated) -> str:
    if end.reason == Reason.CONTAINER_STATUS_UNKNOWN:
        return "ended while nobody was looking"
    return f"ended with exit code {end.exit_code}" + (f" ({end.reason})" if end.reason == Reason.OOM_KILLED else "")


def _earliest(times: Iterable[float | None]) -> float | None:
    return min((t for t in times if t is not None), default=None)
