"""Volumes in the plan for one instance: no container is made, or stopped for a newer one, before they are there. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from controller.agent.decide.actions import Action, CreateContainer, RunPreStop, StartContainer, StopContainer
from controller.agent.decide.observation import Observation
from controller.agent.decide.plan.bringup import ImageAsked, fetched, pull_policy
from controller.agent.decide.plan.values import Step, earliest
from controller.agent.decide.volumes import steps as volumes
from controller.agent.decide.volumes.steps import VolumesPlan
from controller.agent.decide.volumes.wanted import mounted, volume_id
from controller.api.instance import ContainerInstance
from controller.api.reasons import REFUSALS


def kept(instance: ContainerInstance, seen: Observation, steps: Iterable[Step], now: float, *, unused: bool) -> VolumesPlan:
    """What is done about the volumes of an instance that is to run.

    Nothing is made for one that Pod Security refuses: a hostPath may be made on the node. `unused` says that nothing is alive
    that was made by an older spec; then what the spec does not speak of any more goes.
    """
    verdicts = [step.verdict for step in steps]
    if any(verdict.reason in REFUSALS for verdict in verdicts) or all(verdict.ended for verdict in verdicts):
        return VolumesPlan(ready=False)
    if (waiting := _images(instance, seen, now)) is not None:
        return waiting
    made = volumes.made(instance, seen, now)
    if not unused or made.actions:
        return made
    gone = volumes.unwanted(instance, seen, now)
    return replace(made, actions=gone.actions, wake_at=made.wake_at if made.wake_at is not None else gone.wake_at)


def _images(instance: ContainerInstance, seen: Observation, now: float) -> VolumesPlan | None:
    """Images of volumes have to be on the node first, as those of containers; None when they are.

    A volume that is there holds its image. The registry is not asked for it again, whatever its policy is.
    """
    waiting: list[tuple[str, Step]] = []
    for volume in mounted(instance.spec):
        id_ = volume_id(volume, instance.spec)
        if volume.image is not None and id_ not in seen.volumes:
            image = volume.image.reference
            policy = pull_policy(volume.image.pull_policy, image)
            step = fetched(ImageAsked(f"volume {volume.name}", image, policy, id_, field="pullPolicy"), None, seen, now)
            waiting += [(volume.name, step)] if step is not None else []
    if not waiting:
        return None
    name, told = next(((n, s.verdict) for n, s in waiting if s.verdict.terminal), (waiting[0][0], waiting[0][1].verdict))
    return VolumesPlan(
        actions=tuple(action for _, step in waiting for action in step.actions),
        wake_at=earliest(step.wake_at for _, step in waiting),
        ready=False,
        message=f"volume {name!r}: {told.message}",
        reason=told.reason,
        terminal=told.terminal,
        pull=told.pull,
    )


def without(step: Step, own: VolumesPlan) -> Step:
    """The plan for a container while volumes are not there."""
    if own.ready:
        return step
    held: tuple[type[Action], ...] = (CreateContainer, StartContainer)
    if step.verdict.outdated:
        held += (RunPreStop, StopContainer)
    actions = tuple(a for a in step.actions if not isinstance(a, held))
    if actions == step.actions or not own.message:
        return replace(step, actions=actions)
    verdict = replace(
        step.verdict, reason=own.reason, message=own.message, terminal=own.terminal, missing=own.missing, pull=own.pull
    )
    return replace(step, verdict=verdict, actions=actions)
