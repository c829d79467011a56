"""Carrying out what the planner wants of an instance's volumes; a failure is told and noted, so that it can decide again."""

import time

from controller.agent import metrics
from controller.agent.acting.hands import Hands
from controller.agent.decide.actions import MakeVolumes, RemoveVolumes
from controller.agent.decide.observation import Desired, VolumeTrouble
from controller.agent.decide.volumes.wanted import VolumeFailure
from controller.agent.observe import Notes
from controller.api.reasons import Reason


class VolumeActions:
    """Makes and removes the volumes of one instance."""

    def __init__(self, hands: Hands, notes: Notes) -> None:
        self._volumes, self._events, self._notes = hands.volumes, hands.events, notes

    async def carry_out(self, desired: Desired, action: MakeVolumes | RemoveVolumes) -> None:
        """Do it; no later action of the row depends on it.

        Raises:
            RuntimeFailure: when the runtime could not be asked, of an image that is to be held or let go.
        """
        if isinstance(action, MakeVolumes):
            await self._make(desired, action)
        else:
            await self._remove(desired, action)

    async def _make(self, desired: Desired, action: MakeVolumes) -> None:
        """An Event for each that fails, in the kubelet's words, and one note for all."""
        try:
            failed = await self._volumes.make(desired.uid, action.volumes)
        except VolumeFailure as exc:
            failed = {volume.name: str(exc) for volume in action.volumes}
        told = [f'MountVolume.SetUp failed for volume "{name}" : {why}' for name, why in failed.items()]
        for message in told:
            metrics.FAILURES.labels(Reason.FAILED_MOUNT).inc()
            self._events.record(desired.instance, Reason.FAILED_MOUNT, message, warning=True)
        self._note("; ".join(told), removing=False)

    async def _remove(self, desired: Desired, action: RemoveVolumes) -> None:
        try:
            await self._volumes.remove(desired.uid, action.ids)
        except VolumeFailure as exc:
            self._events.record(desired.instance, Reason.FAILED, f"volumes: {exc}", warning=True)
            self._note(str(exc), removing=True)
        else:
            self._note("", removing=True)

    def _note(self, message: str, *, removing: bool) -> None:
        """A failed try, or that it has been done."""
        before = self._notes.volumes
        count = before.count + 1 if before is not None and before.removing == removing else 1
        self._notes.volumes = VolumeTrouble(message, time.time(), count, removing=removing) if message else None
