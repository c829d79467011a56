"""Instances and a decision -> the workload's status. Pure.

One ordered list of judges: each either has the verdict or leaves it to the next, so the condition, its reason and its message
come from the same place and cannot disagree. What a container suffers from is told in its instance's own words.

`observedGeneration` moves when a generation is settled: with Ready=True, and with Stalled=True too. The conditions carry the
generation that they were set for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from controller.api.conditions import COMPLETE, FAILED, READY, Condition, contract, find, merge, single, stale_schema
from controller.api.reasons import Reason
from controller.api.workload import WorkloadStatus
from controller.manager.decide import availability, render
from controller.manager.decide.decision import Decision
from controller.manager.decide.values import Fleet, Instance, Workload, seconds

NODES_SHOWN: Final = 3
"""Nodes that are listed by name for people."""

PULLED_STEP: Final = 10
"""Per cent in which the progress of pulls is told."""

QUIET: Final = frozenset(
    {
        Reason.PENDING,
        Reason.CONTAINER_CREATING,
        Reason.POD_INITIALIZING,
        Reason.PULLING,
        Reason.UPDATING,
        Reason.TERMINATING,
        Reason.RUNNING,
        Reason.SUSPENDED,
        Reason.COMPLETED,
    }
)
"""Reasons of an instance that say nothing but that it is under way; any other is a trouble to be told."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server's answer to a write that it refused."""

    message: str
    final: bool
    """Whether the same write will always be refused."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the conditions say."""

    ready: bool
    stalled: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the status is made from."""

    workload: Workload
    instances: Sequence[Instance]
    """All that the workload owns, those on their way out included."""
    decision: Decision
    fleet: Fleet
    now: float
    first_seen: float
    """When this manager saw this generation appear; 0 when its conditions were there already."""
    refusal: Refusal | None = None
    stale: str = ""
    """Which installed definitions differ from this manager's own; empty when none does."""
    live: tuple[Instance, ...] = field(init=False)

    def __post_init__(self) -> None:
        live = sorted((i for i in self.instances if not i.deleting), key=lambda i: i.key.name)
        object.__setattr__(self, "live", tuple(live))


def summarize(facts: Facts) -> WorkloadStatus:
    """The status of the workload."""
    verdict = judge(facts)
    workload, live, wanted = facts.workload, facts.live, facts.decision.wanted
    running = [i for i in live if not i.suspend]  # one that is suspended is Ready when it is stopped, and serves nobody
    ready = [i for i in running if i.succeeded or (i.is_ready and facts.fleet.is_ready(i.node))]
    settled = verdict.ready or verdict.stalled
    return WorkloadStatus(
        observed_generation=workload.generation if settled else workload.status.observed_generation,
        replicas=len(live),
        desired_replicas=wanted,
        updated_replicas=sum(not availability.outdated(workload, i) for i in live),
        ready_replicas=len(ready),
        available_replicas=sum(availability.available(workload, i, facts.fleet, facts.now) for i in running),
        ready=f"{len(ready)}/{wanted}",
        restarts=sum(i.restarts for i in live),
        nodes=_nodes(live),
        selector=render.selector(workload),
        conditions=contract(
            ready=verdict.ready,
            stalled=verdict.stalled,
            reason=verdict.reason,
            message=verdict.message,
            generation=workload.generation,
            now=facts.now,
            old=workload.status.conditions,
        )
        + merge(
            workload.status.conditions,
            ending(facts, verdict) + stale_schema(facts.stale, facts.now, workload.generation),
        ),
    )


def judge(facts: Facts) -> Verdict:
    """The verdict of the first judge that has one."""
    return next(verdict for j in _JUDGES if (verdict := j(facts)) is not None)


def ending(facts: Facts, verdict: Verdict) -> tuple[Condition, ...]:
    """`Complete` beside Ready, or `Failed` beside Stalled, as a Job's: when every instance that is wanted has ended."""
    live, workload = facts.live, facts.workload
    whole = len(live) == facts.decision.wanted and bool(live) and not facts.decision.creates and not workload.spec.suspend
    if not whole or not all(i.succeeded or i.failed for i in live) or any(_outgoing(facts, i) for i in live):
        return ()
    if any(availability.evicted(workload, i) for i in live):
        return ()
    kind, told = (FAILED, verdict.stalled) if any(i.failed for i in live) else (COMPLETE, verdict.ready)
    if not told:  # of the generation before, or not for long enough: it is not over yet
        return ()
    return (single(kind, verdict.reason, verdict.message, facts.now, workload.generation),)


def deadline(facts: Facts) -> float:
    """When the workload is reported as stalled if nothing moves until then."""
    return progressed_at(facts) + facts.workload.spec.update.progress_deadline_seconds


def progressed_at(facts: Facts) -> float:
    """When the workload last came forward.

    It begins when the generation is first seen, or when the conditions of that generation left Ready; every instance that is
    created or becomes ready is progress. As the conditions remember it, a restarted manager neither prolongs the deadline
    nor takes back that it has passed.
    """
    begun = facts.first_seen
    told = find(facts.workload.status.conditions, READY)
    if told is not None and told.observed_generation == facts.workload.generation:
        overdue = told.status == "False" and told.reason == Reason.PROGRESS_DEADLINE_EXCEEDED
        if told.status != "True" and not overdue:
            begun = max(begun, seconds(told.last_transition_time))
    made = [i.created for i in facts.live]
    risen = [i.ready_since for i in facts.live if i.is_ready]
    return max([begun, *made, *risen])


# --- the judges, in their order


def _refused(facts: Facts) -> Verdict | None:
    """The API server will never take what the template asks for."""
    refusal = facts.refusal
    if refusal is None or not refusal.final:
        return None
    return Verdict(ready=False, stalled=True, reason=Reason.FAILED_CREATE, message=refusal.message)


def _impossible(facts: Facts) -> Verdict | None:
    """Instances are missing that cannot be created as things are."""
    why = facts.decision.impossible
    if not why or facts.workload.spec.suspend or len(facts.live) >= facts.decision.wanted:
        return None
    return Verdict(ready=False, stalled=True, reason=Reason.RUNTIME_CLASS_UNAVAILABLE, message=why)


def _failed(facts: Facts) -> Verdict | None:
    """An instance has failed for good. One that is about to be replaced speaks for itself only."""
    failed = [i for i in facts.live if i.stalled is not None and i.settled and not _outgoing(facts, i)]
    failed = [i for i in failed if not availability.evicted(facts.workload, i)]
    if not failed or facts.workload.spec.suspend:
        return None
    condition = failed[0].stalled
    reason = condition.reason if condition else Reason.INSTANCE_FAILED
    return Verdict(ready=False, stalled=True, reason=reason, message=_named(failed, _said(failed[0])))


def _suspended(facts: Facts) -> Verdict | None:
    """What is asked for is that nothing runs."""
    if not facts.workload.spec.suspend:
        return None
    count = len(facts.live)
    stopped = [i for i in facts.live if i.suspend and i.settled and i.ready and i.ready.reason == Reason.SUSPENDED]
    done = len(stopped) == count and not facts.decision.creates
    message = f"suspended: {len(stopped)} of {count} instances are stopped"
    return Verdict(ready=done, stalled=False, reason=Reason.SUSPENDED, message=message)


def _available(facts: Facts) -> Verdict | None:
    """Everything that was asked for is there, up to date and available."""
    workload, wanted = facts.workload, facts.decision.wanted
    if len(facts.live) != wanted:
        return None
    if not all(availability.available(workload, i, facts.fleet, facts.now) for i in facts.live):
        return None
    old = sum(availability.outdated(workload, i) for i in facts.live)
    if old and workload.spec.update.type != "OnDelete":
        return None
    if wanted and all(i.succeeded for i in facts.live):
        return Verdict(ready=True, stalled=False, reason=Reason.COMPLETE, message="every instance ended with success")
    message = f"{old} of {wanted} instances get the new template when they are deleted" if old else ""
    if not wanted and workload.spec.mode == "Global":
        message = "no node is selected"
    return Verdict(ready=True, stalled=False, reason=Reason.AVAILABLE, message=message)


def _overdue(facts: Facts) -> Verdict | None:
    """Nothing has moved for `progressDeadlineSeconds`."""
    if facts.now < deadline(facts):
        return None
    limit = facts.workload.spec.update.progress_deadline_seconds
    cause = _progress(facts).message
    message = f"no progress for {limit} s: {cause}"
    return Verdict(ready=False, stalled=True, reason=Reason.PROGRESS_DEADLINE_EXCEEDED, message=message)


def _progress(facts: Facts) -> Verdict:
    """On its way; the worst of what holds it up is told."""
    reason, message = next(told for teller in _TELLERS if (told := teller(facts)) is not None)
    return Verdict(ready=False, stalled=False, reason=reason, message=message)


_JUDGES: Final[tuple[Callable[[Facts], Verdict | None], ...]] = (
    _refused,
    _impossible,
    _failed,
    _suspended,
    _available,
    _overdue,
    _progress,
)


# --- what holds it up, the worst first


def _refused_for_now(facts: Facts) -> tuple[str, str] | None:
    return (Reason.FAILED_CREATE, facts.refusal.message) if facts.refusal else None


def _troubled(facts: Facts) -> tuple[str, str] | None:
    """Instances whose own reason says more than that they are under way."""
    troubled = [i for i in facts.live if _troubles(i) and facts.fleet.is_ready(i.node) and not _outgoing(facts, i)]
    if not troubled:
        return None
    ready = troubled[0].ready
    return (ready.reason if ready else Reason.INSTANCE_FAILED, _named(troubled, _said(troubled[0])))


def _lost(facts: Facts) -> tuple[str, str] | None:
    silent = [i for i in facts.live if not (i.succeeded or facts.fleet.is_ready(i.node))]
    if not silent:
        return None
    return Reason.NODE_LOST, _named(silent, f"node {silent[0].node}: {_silence(facts, silent[0])}")


def _unplaced(facts: Facts) -> tuple[str, str] | None:
    decision = facts.decision
    if not decision.unplaced:
        return None
    count = f"{decision.unplaced} instance{'s' if decision.unplaced > 1 else ''} cannot be placed"
    return Reason.NO_MATCHING_NODE, f"{count}: {decision.unplaced_why}"


def _under_way(facts: Facts) -> tuple[str, str]:
    workload, live, decision = facts.workload, facts.live, facts.decision
    up = sum(availability.available(workload, i, facts.fleet, facts.now) for i in live)
    parts = [f"{up} of {decision.wanted} instances are available"]
    if old := sum(availability.outdated(workload, i) for i in live):
        parts.append(f"{old} not updated yet")
    if decision.blocked:
        parts.append(f"{decision.blocked[0]} waits until its predecessor is gone")
    if pulling := _pulling(live):
        parts.append(pulling)
    waiting = [i for i in live if not i.is_ready and i.ready is not None and i.settled and not _outgoing(facts, i)]
    if waiting:
        parts.append(_named(waiting, _said(waiting[0])))
    return Reason.PROGRESSING, "; ".join(parts)


def _pulling(live: Sequence[Instance]) -> str:
    """How far the images are that instances wait for, all together, in steps: each is a write, however many they are."""
    pulls = [i.pulled for i in live if i.pulled is not None]
    total = sum(total for _, total in pulls)
    if not total:
        return ""
    percent = 100 * sum(done for done, _ in pulls) // total // PULLED_STEP * PULLED_STEP
    return f"{len(pulls)} pull{'s' if len(pulls) == 1 else ''} an image ({percent}% is there)"


_TELLERS: Final[tuple[Callable[[Facts], tuple[str, str] | None], ...]] = (
    _refused_for_now,
    _troubled,
    _lost,
    _unplaced,
    _under_way,
)


def _outgoing(facts: Facts, instance: Instance) -> bool:
    """Whether the instance still runs an old template, which will be replaced: its trouble is not the new template's."""
    return availability.outdated(facts.workload, instance) and facts.workload.spec.update.type != "OnDelete"


def _troubles(instance: Instance) -> bool:
    ready = instance.ready
    return instance.settled and not instance.is_ready and ready is not None and ready.reason not in QUIET


def _said(instance: Instance) -> str:
    """The instance's own reason and message: `container "web": ImagePullBackOff: ... not found`."""
    condition = instance.stalled or instance.ready
    if condition is None:
        return "not reported yet"
    where, colon, what = condition.message.partition(": ")
    if colon and where.startswith("container "):
        return f"{where}: {condition.reason}: {what}"
    return f"{condition.reason}: {condition.message}" if condition.message else condition.reason


def _named(instances: Sequence[Instance], text: str) -> str:
    rest = len(instances) - 1
    return f"{instances[0].key.name}: {text}" + (f" (and {rest} more)" if rest else "")


def _silence(facts: Facts, instance: Instance) -> str:
    node = facts.fleet.nodes.get(instance.node)
    if node is None:
        return "it is not registered any more"
    if not node.alive:
        return "its agent does not report"
    return node.reported.message if node.reported and node.reported.message else "it is not ready"


def _nodes(live: Sequence[Instance]) -> str:
    names = sorted({i.node for i in live})
    shown = names[:NODES_SHOWN]
    rest = len(names) - len(shown)
    return ",".join(shown) + (f",+{rest} more" if rest else "")
