"""The way in to acting: gives each action to those who carry it out, and says which actions wait for a turn."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from controller.agent.acting.hands import Hands
from controller.agent.acting.networks import NetworkActions
from controller.agent.acting.pulls import PullActions
from controller.agent.acting.resizes import ResizeActions
from controller.agent.acting.starts import Made, StartActions
from controller.agent.acting.stops import StopActions
from controller.agent.acting.volumes import VolumeActions
from controller.agent.decide.actions import (
    Action,
    CreateContainer,
    CreateNetwork,
    KillContainer,
    MakeVolumes,
    MarkSuspended,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolumes,
    ResizeContainer,
    RunPreStop,
    StartContainer,
    StopContainer,
)
from controller.agent.decide.observation import Desired, ImageView
from controller.agent.observe import Notes
from controller.agent.slots import Priority
from controller.agent.suspicion import Suspicions

AROUND: Final = (CreateNetwork, RemoveNetwork, MakeVolumes, RemoveVolumes)
"""Actions on what is around the containers; they need no turn, and what comes after them is decided anew."""


class Actor:
    """Carries out the actions of one instance."""

    def __init__(self, hands: Hands, notes: Notes, wake: Callable[[], None]) -> None:
        self.suspicions = Suspicions(hands.images, hands.events, notes, hands.sources, wake)
        self._networks = NetworkActions(hands, notes)
        self._volumes = VolumeActions(hands, notes)
        self._pulls = PullActions(hands, notes, wake)
        self._starts = StartActions(hands, notes, self.suspicions)
        self._resizes = ResizeActions(hands, notes)
        self._stops = StopActions(hands, notes, wake)

    async def carry_out(self, desired: Desired, actions: Iterable[Action], images: Mapping[str, ImageView]) -> None:
        """Do the actions one after another; the first that cannot be asked for ends the row.

        Only a start depends on an action before it: without an id it is that of the container that was made just before.

        Raises:
            Unavailable: when the runtime could not be asked; nothing is known of what came of it.
        """
        made: Made | None = None
        for action in actions:
            match action:
                case CreateNetwork() | RemoveNetwork():
                    await self._networks.carry_out(desired, action)
                case MakeVolumes() | RemoveVolumes():
                    await self._volumes.carry_out(desired, action)
                case PullImage():
                    self._pulls.carry_out(desired, action)
                case CreateContainer():
                    made = await self._starts.create(desired, action, images)
                case StartContainer():
                    await self._starts.start(desired, action, made, images)
                case ResizeContainer():
                    await self._resizes.carry_out(desired, action)
                case RunPreStop() | StopContainer() | KillContainer() | MarkSuspended() | RemoveContainer():
                    await self._stops.carry_out(desired, action)


def turn(actions: Iterable[Action]) -> Priority | None:
    """Which queue the actions stand in; None when they are quick and need no turn."""
    kinds = {type(a) for a in actions}
    if any(isinstance(a, CreateContainer) and a.restart_count for a in actions):
        return Priority.RESTART
    if kinds & {CreateContainer, StartContainer, CreateNetwork, ResizeContainer}:
        return Priority.START
    return Priority.REMOVE if kinds & {RemoveContainer, RemoveNetwork} else None
