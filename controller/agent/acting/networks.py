"""Carrying out what the planner wants of an instance's network; a failure is told and noted, so that it can decide again."""

import logging
import time
from dataclasses import replace

from controller.agent import metrics
from controller.agent.acting.hands import Hands
from controller.agent.decide.actions import CreateNetwork, RemoveNetwork
from controller.agent.decide.observation import Desired, NetworkTrouble
from controller.agent.observe import Notes
from controller.api.reasons import Reason
from controller.network.port import NetworkFailure
from controller.runtime.port import InvalidConfig

log = logging.getLogger(__name__)


class NetworkActions:
    """Makes and removes the network of one instance."""

    def __init__(self, hands: Hands, notes: Notes) -> None:
        self._hands, self._notes = hands, notes

    async def carry_out(self, desired: Desired, action: CreateNetwork | RemoveNetwork) -> None:
        """Do it; no later action of the row depends on it."""
        removing = isinstance(action, RemoveNetwork)
        try:
            if isinstance(action, CreateNetwork):
                await self._make(desired, action)
            else:
                await self._hands.networks.remove(desired.uid)
        except NetworkFailure as exc:
            self._failed(desired, exc, removing=removing)
        else:
            self._notes.network = None

    async def _make(self, desired: Desired, action: CreateNetwork) -> None:
        hands, instance = self._hands, desired.instance
        asked = action.request
        if asked.attached:
            try:
                asked = replace(asked, dns=hands.files.resolver(instance))
            except OSError as exc:
                raise NetworkFailure(f"the node's resolver cannot be read: {exc}") from exc
        await hands.networks.create(desired.uid, asked, action.pids)
        try:
            hands.files.refresh(instance, hands.networks.addresses(desired.uid))
        except (OSError, InvalidConfig) as exc:
            log.warning("the running containers of %s are not told of their address: %s", action.request.owner, exc)

    def _failed(self, desired: Desired, failure: NetworkFailure, *, removing: bool) -> None:
        before = self._notes.network
        count = before.count + 1 if before is not None and before.removing == removing else 1
        self._notes.network = NetworkTrouble(str(failure), time.time(), count, removing=removing)
        reason = Reason.FAILED if removing else Reason.NETWORK_SETUP_FAILED
        if not removing:
            metrics.FAILURES.labels(reason).inc()
        self._hands.events.record(desired.instance, reason, f"network: {failure}", warning=True)
