"""The manager's hearing, checked end to end: heartbeats that are renewed every few seconds must arrive through the watch."""

import asyncio
import logging
import time
from datetime import datetime
from typing import Final

from controller.api.labels import NODE_LEASE_NAMESPACE
from controller.kube.client import Client
from controller.kube.errors import ApiFailure
from controller.kube.informer import INCURABLE_TIMES, Informer
from controller.kube.resources import LEASES
from controller.manager.operator import ManagerOperator

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 30.0
"""Pause between two looks at whether heartbeats still arrive."""

DEAF_SECONDS: Final = 45.0
"""Without any renewal arriving for this long, the API server is asked whether there were any."""


class Ears:
    """Restarts a watch that has gone deaf, and tells when that does not help."""

    def __init__(self, operator: ManagerOperator, informer: Informer, client: Client) -> None:
        self._operator, self._informer, self._client = operator, informer, client
        self._deaf = 0
        self._heard = operator.renewed_at

    def incurable(self) -> str:
        """Why this process can no longer hear the nodes, although the API server does; empty while it can."""
        if self._deaf < INCURABLE_TIMES:
            return ""
        return f"heartbeats are renewed but do not arrive, though watched anew {self._deaf} times"

    async def listen(self) -> None:
        """Check for ever."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check(time.monotonic(), time.time())

    async def check(self, mono: float, now: float) -> None:
        """Check once. An API server that does not answer proves nothing.

        Args:
            mono: this moment by the clock of `operator.renewed_at`.
            now: the same in seconds since the epoch.
        """
        if self._operator.renewed_at > self._heard:
            self._deaf = 0
        silent = mono - self._operator.renewed_at
        if silent < DEAF_SECONDS:
            return
        try:
            leases = await self._client.list(LEASES, NODE_LEASE_NAMESPACE)
        except ApiFailure as exc:
            log.debug("liveness: %s", exc)
            return
        heard_until = now - silent
        if any(_renewed(lease) > heard_until + CHECK_SECONDS for lease in leases):
            log.warning("heartbeats are renewed but have not arrived for %.0f s: watching anew", silent)
            self._informer.count_restart("deaf")
            self._deaf += 1
            self._heard = self._operator.renewed_at = mono
            self._informer.restart()


def _renewed(lease: dict[str, object]) -> float:
    spec = lease.get("spec")
    text = spec.get("renewTime") if isinstance(spec, dict) else None
    return datetime.fromisoformat(text).timestamp() if text else 0.0
