"""Holding containers that run to other resources; a failure is told and noted, so that the planner can decide again."""

import time

from controller.agent.acting.hands import Hands
from controller.agent.decide.actions import ResizeContainer
from controller.agent.decide.observation import Desired, ResizeTrouble
from controller.agent.decide.resources import applied, resources
from controller.agent.observe import Notes
from controller.api import labels
from controller.api.reasons import Reason
from controller.runtime.port import NotFound, RuntimeFailure, Unavailable


class ResizeActions:
    """Changes the resources of one instance's containers in place."""

    def __init__(self, hands: Hands, notes: Notes) -> None:
        self._hands, self._notes = hands, notes

    async def carry_out(self, desired: Desired, action: ResizeContainer) -> None:
        """Change what it is held to, then note that it is: if this ends in between, it is done once more.

        Raises:
            Unavailable: when the runtime could not be asked.
        """
        hands, name, wanted = self._hands, action.container.name, applied(action.container)
        try:
            await hands.runtime.update_resources(action.container_id, resources(action.container, hands.node))
            marks = {labels.RESOURCES: wanted, labels.SPEC_HASH: action.spec_hash}
            await hands.runtime.set_labels(action.container_id, marks)
        except NotFound:
            await hands.view.refresh(action.container_id)
            return
        except Unavailable:
            raise
        except RuntimeFailure as exc:
            self._failed(desired, action, wanted, exc)
            return
        self._notes.resizes.pop(action.container_id, None)
        await hands.view.refresh(action.container_id)
        hands.events.record(desired.instance, Reason.RESIZE_COMPLETED, f"Resized container {name}: {wanted or 'no limits'}")

    def _failed(self, desired: Desired, action: ResizeContainer, wanted: str, failure: RuntimeFailure) -> None:
        before = self._notes.resizes.get(action.container_id)
        count = before.count + 1 if before is not None and before.resources == wanted else 1
        self._notes.resizes[action.container_id] = ResizeTrouble(wanted, str(failure), time.time(), count)
        told = f"container {action.container.name}: {failure}"
        self._hands.events.record(desired.instance, Reason.RESIZE_ERROR, told, warning=True)
