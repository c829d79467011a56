"""Ending containers: their preStop handlers, their signals, and removing what is left of them."""

import logging
import time
from collections.abc import Callable

from controller.agent.acting.hands import Hands
from controller.agent.decide.actions import KillContainer, MarkSuspended, RemoveContainer, RunPreStop, StopContainer
from controller.agent.decide.observation import Desired
from controller.agent.observe import Notes
from controller.api import labels
from controller.api.reasons import Reason
from controller.runtime.port import InvalidConfig, NotFound

log = logging.getLogger(__name__)


class StopActions:
    """Stops and removes the containers of one instance."""

    def __init__(self, hands: Hands, notes: Notes, wake: Callable[[], None]) -> None:
        self._hands, self._notes, self._wake = hands, notes, wake

    async def carry_out(
        self, desired: Desired, action: RunPreStop | StopContainer | KillContainer | MarkSuspended | RemoveContainer
    ) -> None:
        """Do it; no later action of the row depends on it.

        Raises:
            RuntimeFailure: when the runtime could not be asked, or cannot do it.
        """
        match action:
            case RunPreStop():
                self._pre_stop(desired, action)
            case StopContainer() | KillContainer():
                await self._signal(desired, action)
            case MarkSuspended():
                await self._mark(action)
            case RemoveContainer():
                await self._hands.runtime.remove(action.container_id)
                self._hands.view.drop(action.container_id)

    def _pre_stop(self, desired: Desired, action: RunPreStop) -> None:
        """Begin the handler, and look again when it has ended."""
        found = next((c for c in self._hands.view.of(desired.uid) if c.id == action.container_id), None)
        if found is None:
            return
        hooks = self._notes.hooks

        def done() -> None:
            hooks[action.container_id] = True
            self._wake()

        self._stopping(desired, action)
        hooks[action.container_id] = False
        self._hands.probes.pre_stop(desired.instance, found, action.handler, action.grace, done)

    async def _signal(self, desired: Desired, action: StopContainer | KillContainer) -> None:
        hands = self._hands
        signal = action.signal if isinstance(action, StopContainer) else "SIGKILL"
        try:
            await hands.runtime.signal(action.container_id, signal)
        except NotFound:
            await hands.view.refresh(action.container_id)
            return
        except InvalidConfig as exc:
            if isinstance(action, KillContainer):
                raise
            log.warning("container %s cannot be asked to stop, it is killed later: %s", action.container_id, exc)
        if isinstance(action, StopContainer):
            self._notes.signalled[action.container_id] = time.time()
            self._stopping(desired, action)
        else:
            self._notes.killed[action.container_id] = time.time()

    def _stopping(self, desired: Desired, action: RunPreStop | StopContainer) -> None:
        """The grace period begins, if it has not done so already."""
        if action.container_id in self._notes.stopping:
            return
        self._notes.stopping[action.container_id] = time.time()
        message = f"Stopping container {action.container}: {action.why}"
        self._hands.events.record(desired.instance, Reason.KILLING, message)

    async def _mark(self, action: MarkSuspended) -> None:
        try:
            await self._hands.runtime.set_labels(action.container_id, {labels.SUSPENDED: "true" if action.suspended else ""})
        finally:
            await self._hands.view.refresh(action.container_id)
