"""An image and what the nodes say of it -> its status. Pure.

One ordered list of judges, as for workloads: condition, reason and message come from the same place.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from controller.api.conditions import READY, contract, find, merge, stale_schema
from controller.api.image import (
    MOST_DIGESTS,
    MOST_FAILURES,
    ImageDigest,
    ImageFailure,
    ImageNodes,
    ImagePushStatus,
    ImageStatus,
)
from controller.api.nodeimages import MOST_BYTES, MOST_IMAGES
from controller.api.people import size_text
from controller.api.reasons import Reason
from controller.manager.decide.images import pushes
from controller.manager.decide.images.values import STEP, Image, Place, Standing
from controller.manager.decide.status import Verdict
from controller.manager.decide.values import seconds


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the status is made from."""

    image: Image
    places: Sequence[Place]
    """The nodes that are to have it."""
    now: float
    first_seen: float
    """When this manager saw this generation appear; 0 when its conditions were there already."""
    stale: str = ""
    """Which installed definitions differ from this manager's own; empty when none does."""
    by: dict[Standing, list[Place]] = field(init=False)
    """The places by how far they are, by name."""
    pushes: tuple[ImagePushStatus, ...] = field(init=False)
    """How far the pushes are."""

    def __post_init__(self) -> None:
        by: dict[Standing, list[Place]] = {standing: [] for standing in Standing}
        for place in sorted(self.places, key=lambda p: p.node.name):
            by[place.standing(self.image)].append(place)
        object.__setattr__(self, "by", by)
        object.__setattr__(self, "pushes", pushes.told(self.image, self.places))


def summarize(facts: Facts) -> ImageStatus:
    """The status of the image."""
    image, verdict = facts.image, judge(facts)
    old, by = image.status, facts.by
    settled = verdict.ready or verdict.stalled
    digests = _digests(facts)
    failures = [_failure(place) for place in by[Standing.FAILED][:MOST_FAILURES]]
    conditions = contract(
        ready=verdict.ready,
        stalled=verdict.stalled,
        reason=verdict.reason,
        message=verdict.message,
        generation=image.generation,
        now=facts.now,
        old=old.conditions,
    )
    there = progress(facts) if verdict.reason == Reason.PULLING else None
    return ImageStatus(
        summary=f"{verdict.reason} {there}%" if there else verdict.reason,
        observed_generation=image.generation if settled else old.observed_generation,
        image=image.name,
        digests=tuple(digests[:MOST_DIGESTS]),
        size=size_text(digests[0].bytes) if digests else "",
        nodes=ImageNodes(
            wanted=len(facts.places),
            ready=len(by[Standing.READY]),
            pulling=len(by[Standing.PULLING]),
            failed=len(by[Standing.FAILED]),
            removed=len(by[Standing.REMOVED]),
        ),
        ready=f"{len(by[Standing.READY])}/{len(facts.places)}",
        failures=tuple(failures),
        pushes=facts.pushes,
        conditions=conditions + merge(old.conditions, stale_schema(facts.stale, facts.now, image.generation)),
    )


def judge(facts: Facts) -> Verdict:
    """The verdict of the first judge that has one."""
    return next(verdict for j in _JUDGES if (verdict := j(facts)) is not None)


def deadline(facts: Facts) -> float | None:
    """When it is reported as stalled if nothing moves until then; None while something is about to move, or all is well."""
    if _everywhere(facts):
        failed = [push for push in facts.pushes if push.state == "Failed" and push.since]
        return _after(facts, [seconds(push.since or "") for push in failed]) if failed else None
    if not facts.by[Standing.FAILED] or _about_to(facts):
        return None
    reports = [place.report for place in facts.places if place.report is not None]
    return _after(facts, [seconds(report.since) for report in reports if report.since])


def _after(facts: Facts, moved: Sequence[float]) -> float:
    """The deadline, after what moved last."""
    told = find(facts.image.status.conditions, READY)
    begun = facts.first_seen
    if told is not None and told.observed_generation == facts.image.generation and told.status == "Unknown":
        begun = seconds(told.last_transition_time)
    return max([begun, *moved]) + facts.image.spec.progress_deadline_seconds


def progress(facts: Facts) -> int:
    """How many percent of it are on the nodes that are to have it, in steps: each node counts alike."""
    whole = len(facts.by[Standing.READY]) + len(facts.by[Standing.REMOVED])
    under_way = [p for p in facts.by[Standing.PULLING] if p.report is not None and p.report.revision == facts.image.revision]
    there = 100 * whole + sum(place.pulled for place in under_way)
    return there // len(facts.places) // STEP * STEP if facts.places else 0


def _digests(facts: Facts) -> list[ImageDigest]:
    there = [p.report for p in facts.by[Standing.READY] if p.report is not None and p.report.digest]
    sizes = {report.digest: report.bytes for report in there}
    counts = Counter(report.digest for report in there)
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [ImageDigest(digest=digest, bytes=sizes[digest], nodes=count) for digest, count in frequent]


def _failure(place: Place) -> ImageFailure:
    name, report = place.node.name, place.report
    if place.entry is None or report is None:
        message = f"it is asked for as many images as it takes ({MOST_IMAGES}, or {MOST_BYTES // 1024} KiB of names)"
        return ImageFailure(node=name, reason=Reason.TOO_MANY_IMAGES, message=message)
    return ImageFailure(node=name, reason=report.reason or Reason.ERR_IMAGE_PULL, message=report.message)


def _about_to(facts: Facts) -> list[Place]:
    """Nodes that are on their way, or will be: time is theirs, since a pull without progress ends by itself."""
    waiting = [place for place in facts.by[Standing.WAITING] if not place.node.pressed]
    return [place for place in facts.by[Standing.PULLING] + waiting if place.node.ready and place.speaks]


# --- the judges, in their order


def _invalid(facts: Facts) -> Verdict | None:
    if not facts.image.invalid:
        return None
    return Verdict(ready=False, stalled=True, reason=Reason.INVALID_IMAGE_NAME, message=facts.image.invalid)


def _complete(facts: Facts) -> Verdict | None:
    """Every node has had it."""
    by, wanted = facts.by, len(facts.places)
    if not _everywhere(facts) or any(push.state != "Pushed" for push in facts.pushes):
        return None
    parts = []
    if not wanted:
        parts.append("no node is selected")
    if by[Standing.REMOVED]:
        parts.append(f"{len(by[Standing.REMOVED])} of {wanted} nodes had it and removed it")
    if (different := len(_digests(facts))) > 1:
        parts.append(f"the nodes have {different} different digests, since its tag was moved: set refreshedAt, or use a digest")
    return Verdict(ready=True, stalled=False, reason=Reason.PULLED, message="; ".join(parts))


def _unpushed(facts: Facts) -> Verdict | None:
    """Every node has had it, and it is not yet everywhere that it is to be pushed to."""
    if not _everywhere(facts):
        return None
    done = f"pushed to {sum(push.state == 'Pushed' for push in facts.pushes)} of {len(facts.pushes)} places"
    failed = next((push for push in facts.pushes if push.state == "Failed"), None)
    if failed is not None:
        at = deadline(facts)
        final = failed.reason == Reason.INVALID_IMAGE_NAME or (at is not None and facts.now >= at)
        message = f"{done}; {failed.image}: {failed.message or failed.reason}"
        return Verdict(ready=False, stalled=final, reason=failed.reason, message=message)
    if not any(place.node.ready for place in facts.by[Standing.READY]):
        return Verdict(ready=False, stalled=False, reason=Reason.PENDING, message=f"{done}; no node has it that could push it")
    return Verdict(ready=False, stalled=False, reason=Reason.PUSHING, message=done)


def _overdue(facts: Facts) -> Verdict | None:
    """Those nodes that lack it fail, for long, and nobody else is about to get it."""
    at = deadline(facts)
    if at is None or facts.now < at:
        return None
    failed = _failed(facts)
    return failed and Verdict(ready=False, stalled=True, reason=failed.reason, message=failed.message)


def _failed(facts: Facts) -> Verdict | None:
    failed = facts.by[Standing.FAILED]
    if not failed:
        return None
    first = _failure(failed[0])
    rest = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    message = f"{_count(facts)}; {first.node}: {first.message or first.reason}{rest}"
    return Verdict(ready=False, stalled=False, reason=first.reason, message=message)


def _under_way(facts: Facts) -> Verdict | None:
    about = _about_to(facts)
    if not about:
        return None
    pulling = [place for place in about if place.standing(facts.image) is Standing.PULLING]
    waiting = len(about) - len(pulling)
    turns = f", {waiting} wait for their turn" if waiting else ""
    message = f"{_count(facts)}, {len(pulling)} pull it{turns}"
    return Verdict(ready=False, stalled=False, reason=Reason.PULLING, message=message)


def _lost(facts: Facts) -> Verdict:
    """Nobody is about to, and nobody fails: what lacks it is not heard, does not know of images, or has no room for any."""
    lacking = facts.by[Standing.PULLING] + facts.by[Standing.WAITING]
    first, rest = lacking[0], f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
    if first.node.ready and first.speaks:
        why = "it has disk pressure, and gets no turn until it has room again"
        return Verdict(
            ready=False,
            stalled=False,
            reason=Reason.HAS_DISK_PRESSURE,
            message=f"{_count(facts)}; {first.node.name}: {why}{rest}",
        )
    if first.node.ready:
        why = "its agent has said nothing of images yet: it starts, or is of a release that knows none"
        return Verdict(ready=False, stalled=False, reason=Reason.PENDING, message=f"{first.node.name}: {why}{rest}")
    why = "its agent does not report" if not first.node.alive else "it is not ready"
    message = f"{_count(facts)}; {first.node.name}: {why}{rest}"
    return Verdict(ready=False, stalled=False, reason=Reason.NODE_LOST, message=message)


def _everywhere(facts: Facts) -> bool:
    """Whether every node has had it."""
    return len(facts.by[Standing.READY]) + len(facts.by[Standing.REMOVED]) == len(facts.places)


def _count(facts: Facts) -> str:
    return f"{len(facts.by[Standing.READY])} of {len(facts.places)} nodes have it"


_JUDGES: Final[tuple[Callable[[Facts], Verdict | None], ...]] = (
    _invalid,
    _complete,
    _unpushed,
    _overdue,
    _failed,
    _under_way,
    _lost,
)
