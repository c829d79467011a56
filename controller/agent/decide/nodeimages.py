"""What the node is to have of one image, and what there is -> what to do, and what to tell. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.agent.decide.observation import ImageView
from controller.agent.decide.pulling import PullView, pull_status
from controller.api.conditions import contract, timestamp
from controller.api.nodeimages import MOST_MESSAGE, NodeImage, NodeImagesStatus, NodeImageStatus
from controller.api.reasons import Reason

UNSETTLED = -1
"""In place of the observed generation while there is something to do; the writer leaves the last one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is found of one image."""

    status: NodeImageStatus
    fetch: bool = False
    """Whether it is to be pulled now; a pull that is under way is to be joined, so that its end is heard of."""
    had: bool = False
    """Whether the node has had it, in this revision."""
    wake_at: float | None = None
    """When to look again, if nothing happens before; seconds since the epoch."""
    progress: PullView | None = None
    """How far its pull is, when that is known."""
    final: bool = False
    """Whether it cannot be got until somebody changes something."""


def find(entry: NodeImage, view: ImageView, now: float, *, had: bool, pending: bool = False) -> Finding:
    """Look at one image.

    Args:
        entry: what is wanted.
        view: what there is on the node, and how far a pull is.
        now: seconds since the epoch.
        had: whether the node has had it in this revision before: with pullPolicy Always, whether the registry was asked.
        pending: whether its Secrets are just being read, which is waited for.
    """
    present, pull = view.present, view.pull
    if present is not None and (had or entry.pull_policy == "IfNotPresent"):
        told = _told(entry, now, "Ready", digest=present.digest, bytes=present.size)
        return Finding(told, had=True)
    if had and not entry.pin:
        return Finding(_told(entry, now, "Removed"), had=True)
    if pending or pull is None or (pull.running and pull.reason == Reason.PULLING):
        progress = pull.progress if pull is not None else None
        told = _told(entry, now, "Pulling", pull=pull_status(progress))
        return Finding(told, fetch=not pending, had=had, progress=progress)
    message = pull.message.encode()[:MOST_MESSAGE].decode(errors="ignore")
    failed = _told(entry, now, "Failed", reason=str(pull.reason), message=message)
    if pull.terminal:
        return Finding(failed, had=had, final=True)
    due = pull.running or now >= pull.retry_at
    return Finding(failed, fetch=due, had=had, wake_at=None if due else pull.retry_at)


def summarize(findings: Sequence[Finding], generation: int, now: float) -> NodeImagesStatus:
    """The status of the whole; times and the generation that was settled last are put in by the writer."""
    told = [finding.status for finding in findings]
    ready = sum(status.state == "Ready" for status in told)
    failed = [finding for finding in findings if finding.status.state == "Failed"]
    settled = all(status.state in {"Ready", "Removed"} for status in told)
    final = bool(failed) and all(f.final or f.status.state in {"Ready", "Removed"} for f in findings)
    reason, message = Reason.PULLED.value, ""
    if failed:
        first = failed[0].status
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        reason, message = first.reason, f"{first.namespace}/{first.name}: {first.message}{more}"
    elif not settled:
        pulling = [finding for finding in findings if finding.status.state == "Pulling"]
        first_of_all = next((finding for finding in pulling if finding.progress is not None), pulling[0])
        more = f" (and {len(pulling) - 1} more)" if len(pulling) > 1 else ""
        reason, message = Reason.PULLING.value, f"pulling {_progress(first_of_all)}{more}"
    return NodeImagesStatus(
        observed_generation=generation if settled or final else UNSETTLED,
        ready=f"{ready}/{len(told)}",
        images=tuple(told),
        conditions=contract(ready=settled, stalled=final, reason=reason, message=message, generation=generation, now=now),
    )


def without_progress(status: NodeImagesStatus) -> NodeImagesStatus:
    """The status without what changes all the time while something is pulled: two that differ in nothing else can wait."""
    images = tuple(image.model_copy(update={"pull": None}) for image in status.images)
    told = tuple(condition.model_copy(update={"message": ""}) for condition in status.conditions)
    return status.model_copy(update={"images": images, "conditions": told})


def _progress(finding: Finding) -> str:
    """The image, and how far it is: `registry.example.com/web:1, 42% 3.1MB/s`."""
    image, progress = finding.status.image, finding.progress
    if progress is None:
        return image
    return f"{image}, {progress.summary}" if progress.unfinished else f"{image}, unpacking"


def _told(entry: NodeImage, now: float, state: str, **more: object) -> NodeImageStatus:
    whose = {"namespace": entry.namespace, "name": entry.name, "revision": entry.revision, "image": entry.image}
    return NodeImageStatus.model_validate({**whose, "state": state, "since": timestamp(now), **more})
