"""The plan for one instance as a whole: its network, its volumes, its containers, and what is no longer wanted. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from controller.agent.decide import network
from controller.agent.decide.actions import Action, CreateContainer, RunPreStop, StartContainer, StopContainer
from controller.agent.decide.network import NetworkPlan
from controller.agent.decide.observation import Desired, Observation
from controller.agent.decide.plan import volumes
from controller.agent.decide.plan.sequence import sequence
from controller.agent.decide.plan.teardown import all_torn_down, torn_down
from controller.agent.decide.plan.values import Case, Plan, Step, Verdict, earliest
from controller.api import labels
from controller.api.instance import ContainerInstance
from controller.api.reasons import REFUSALS, Reason
from controller.network.port import NetworkState
from controller.runtime.port import Phase

RUNTIME_PATIENCE_SECONDS: Final = 10.0
"""A runtime that does not answer for this long is told in the instances' status; a restart of it is shorter."""

UNSTARTED: Final = REFUSALS | {Reason.RUNTIME_CLASS_UNAVAILABLE}
"""While nothing may or can be started, it needs no network."""

RUNTIME_RETRY_SECONDS: Final = 1.0
"""Pause before a question that was not answered is asked again, where nobody tells that the runtime is back."""

LABELS_PATIENCE_SECONDS: Final = 10.0
"""Labels of a namespace that are not seen for this long are told to be missing."""


def plan(desired: Desired, seen: Observation, now: float) -> Plan:
    """Decide what to do for one instance."""
    spec = desired.instance.spec
    if desired.deleting or spec.suspend:
        why = "the instance is being deleted" if desired.deleting else "the instance is suspended"
        result = all_torn_down(spec, seen, now, why)
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
    return replace(result, waits=True, wake_at=earliest([result.wake_at, tell_at]))


def _blocked(verdict: Verdict, error: str) -> Verdict:
    """What runs or ended is told as it was last seen; what should come now cannot."""
    if verdict.reason is Reason.RUNNING or verdict.ended:
        return verdict
    return replace(verdict, reason=Reason.RUNTIME_UNAVAILABLE, message=error)


def _reconciled(instance: ContainerInstance, seen: Observation, now: float) -> Plan:
    spec = instance.spec
    names = {c.name for c in spec.all_containers}
    strangers = [c for c in seen.containers if c.labels.get(labels.CONTAINER) not in names]
    cleared = torn_down(strangers, spec, seen, now, "it is no longer in the spec")
    case = Case(spec, seen, now)
    row = sequence(case)
    steps = row.steps
    asked, unused = network.request(instance), _unused(seen, steps.values())
    over = all(s.verdict.ended for s in steps.values())
    if asked is None or over:  # as a pod's: what has ended gives its address back
        own = network.removed(seen, spec.backoff, now) if unused else NetworkPlan()
    else:
        waits = {s.verdict.reason for s in steps.values()} - {Reason.POD_INITIALIZING}
        refused = bool(waits) and waits <= UNSTARTED
        own = NetworkPlan() if refused else network.made(asked, seen, _pids(steps.values()), spec.backoff, now)
        steps = {name: _without_network(step, seen, own) for name, step in steps.items()}
    stored = volumes.kept(instance, seen, steps.values(), now, unused=unused)
    steps = {name: volumes.without(step, stored) for name, step in steps.items()}
    return Plan(
        actions=own.actions + stored.actions + cleared.actions + tuple(a for s in steps.values() for a in s.actions),
        wake_at=earliest([own.wake_at, stored.wake_at, cleared.wake_at, row.wake_at, *(s.wake_at for s in steps.values())]),
        verdicts={name: s.verdict for name, s in steps.items()},
        ending=row.ending,
        addresses=() if over else seen.addresses,
    )


def _without_network(step: Step, seen: Observation, own: NetworkPlan) -> Step:
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


def _pids(steps: Iterable[Step]) -> tuple[int, ...]:
    """The processes that run as the spec says."""
    found = (s.verdict.container for s in steps if not s.verdict.outdated)
    return tuple(c.pid for c in found if c is not None and c.pid)


def _unused(seen: Observation, steps: Iterable[Step]) -> bool:
    """Whether nothing is alive any more that was made for a network before the spec was changed."""
    current = {s.verdict.container.id for s in steps if s.verdict.container is not None and not s.verdict.outdated}
    alive = {c.id for c in seen.containers if c.phase not in {Phase.CREATED, Phase.EXITED}}
    return alive <= current
