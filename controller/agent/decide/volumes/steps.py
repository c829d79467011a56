"""When volumes are made and removed: there before the first container, gone after the last. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from controller.agent.decide import backoff
from controller.agent.decide.actions import Action, MakeVolumes, RemoveVolumes
from controller.agent.decide.observation import Missing, Observation
from controller.agent.decide.pulling import PullView
from controller.agent.decide.volumes.wanted import Files, VolumeFailure, WantedVolume, wanted
from controller.api.instance import ContainerInstance
from controller.api.reasons import Reason
from controller.api.spec import Backoff


@dataclass(frozen=True, slots=True)
class VolumesPlan:
    """What to do about an instance's volumes now, and what is the case."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    """Seconds since the epoch; set while a failed try keeps the next one waiting."""
    ready: bool = True
    """All that containers mount is there."""
    message: str = ""
    """Why it is not."""
    reason: Reason = Reason.FAILED_MOUNT
    missing: bool = False
    """Something that a volume is made from is not to be had; whoever serves it wakes the supervisor."""
    terminal: bool = False
    """It will not be before somebody changes something."""
    pull: PullView | None = None
    """How far the pull is that it waits for, when that is known."""


def made(instance: ContainerInstance, seen: Observation, now: float) -> VolumesPlan:
    """The volumes that containers mount are to be there, as the spec says now."""
    try:
        contents = {name: c for name, c in seen.contents.items() if isinstance(c, Files)}
        found = wanted(instance.spec, contents, seen.memory)
    except VolumeFailure as exc:
        return VolumesPlan(ready=False, message=str(exc))
    unknown = {volume.id: content for volume in found if isinstance(content := seen.contents.get(volume.name), Missing)}
    awaited = {volume.name: unknown[volume.id] for volume in found if volume.id in unknown and volume.id not in seen.volumes}
    missing = tuple(v for v in found if v.name not in awaited and not _as_wanted(v, seen, known=v.id not in unknown))
    ready = not awaited and all(seen.volumes.get(volume.id) for volume in missing)
    action, wake = _tried(MakeVolumes(missing), seen, instance.spec.backoff, now) if missing else (None, None)
    plan = VolumesPlan((action,) if action else (), wake, ready)
    trouble = seen.volume_trouble
    if missing and trouble is not None and not trouble.removing:
        return replace(plan, message=trouble.message)
    told = [f'MountVolume.SetUp failed for volume "{name}" : {m.message}' for name, m in awaited.items() if not m.pending]
    return replace(plan, message="; ".join(told), missing=bool(told))


def _as_wanted(volume: WantedVolume, seen: Observation, *, known: bool) -> bool:
    """Whether it is there as it is to be. While it is not known what is to be in it, what there is will do."""
    state = seen.volumes.get(volume.id, "")
    return state == volume.state if known else bool(state)


def unwanted(instance: ContainerInstance, seen: Observation, now: float) -> VolumesPlan:
    """Volumes that the spec does not speak of any more go; to be asked only when no container uses them."""
    try:
        kept: Collection[str] = {volume.id for volume in wanted(instance.spec)}
    except VolumeFailure:
        return VolumesPlan()
    return _removed(frozenset(seen.volumes.keys() - kept), seen, instance.spec.backoff, now)


def removed(seen: Observation, pauses: Backoff, now: float) -> VolumesPlan:
    """All go; to be asked only when there is no container any more."""
    return _removed(None, seen, pauses, now) if seen.volumes_there else VolumesPlan()


def _removed(ids: frozenset[str] | None, seen: Observation, pauses: Backoff, now: float) -> VolumesPlan:
    if ids is not None and not ids:
        return VolumesPlan()
    action, wake = _tried(RemoveVolumes(ids), seen, pauses, now)
    return VolumesPlan((action,) if action else (), wake)


def _tried(
    action: MakeVolumes | RemoveVolumes, seen: Observation, pauses: Backoff, now: float
) -> tuple[Action | None, float | None]:
    """The action, unless it just failed."""
    trouble = seen.volume_trouble
    if trouble is not None and trouble.removing == isinstance(action, RemoveVolumes):
        retry_at = min(trouble.at, now) + backoff.delay(trouble.count, pauses)  # a clock may be set back
        if now < retry_at:
            return None, retry_at
    return action, None
