"""The node's sign of life: a Lease renewed every few seconds, and the RuntimeNode's status, written only when it changes."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from controller.agent import metrics
from controller.api import conditions, labels
from controller.api.base import API_VERSION
from controller.api.labels import NODE_LEASE_NAMESPACE
from controller.api.node import NodeStatus, RuntimeNode
from controller.kube.client import Client
from controller.kube.errors import ApiAlreadyExists, ApiConflict, ApiFailure, ApiNotFound
from controller.kube.patch import delta
from controller.kube.resources import LEASES, NODES

log = logging.getLogger(__name__)

RENEW_SECONDS: Final = 10.0
LEASE_RENEWALS: Final = 4
"""Renewal, and how many of them its duration covers, as the kubelet's (kubernetes.io, "Node heartbeats")."""

Judge = Callable[[float], Awaitable[NodeStatus]]
"""Gives the node's status of this moment."""


class Heartbeat:
    """Renews the Lease, every `renew_seconds`, and keeps the RuntimeNode current."""

    def __init__(self, client: Client, node: str, judge: Judge, renew_seconds: float = RENEW_SECONDS) -> None:
        self._client, self._node, self._judge, self._renew_seconds = client, node, judge, renew_seconds
        self._sent: dict[str, Any] | None = None
        self._generation = 0
        self.uid = ""
        """Of the RuntimeNode; empty before the first beat."""
        self._leased = False
        self._woken = asyncio.Event()
        self.beaten = asyncio.Event()
        """Set after the first successful beat."""

    def seen(self, obj: dict[str, Any]) -> None:
        """Take in the RuntimeNode as the API server shows it.

        While this agent was not heard, the manager wrote that the node is not ready: the next beat puts that right. A changed
        spec is acknowledged at once: until then those who wait for the node take its status for an old one.
        """
        self.uid = str(obj["metadata"].get("uid") or "")
        known, self._generation = self._generation, int(obj["metadata"].get("generation") or 0)
        if self._sent is not None:
            self._sent = dict(obj.get("status") or {})
            if self._generation != known:
                self.wake()

    def lost(self) -> None:
        """Somebody deleted the RuntimeNode: register anew."""
        self._sent = None
        self.wake()

    def wake(self) -> None:
        """Beat now: something about the node changed that people should see before the next beat."""
        self._woken.set()

    async def run(self) -> None:
        """Beat for ever, from the first `wake` on, when there is something to tell. A failed beat is repeated sooner."""
        await self._woken.wait()
        while True:
            self._woken.clear()
            try:
                await self._register()
                await self._renew()
                await self._tell()
                self.beaten.set()
                metrics.HEARTBEAT_AT.set_to_current_time()
                pause = self._renew_seconds
            except ApiFailure as exc:
                level = logging.WARNING if isinstance(exc, ApiNotFound) and not self.beaten.is_set() else logging.DEBUG
                log.log(level, "heartbeat: %s", exc)
                pause = 1.0 if not self.beaten.is_set() else self._renew_seconds / 4
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _register(self) -> None:
        """Make the RuntimeNode once; afterwards only its status is written."""
        if self._sent is not None:
            return
        body = {
            "apiVersion": API_VERSION,
            "kind": RuntimeNode.KIND,
            "metadata": {"name": self._node, "labels": _labels(self._node, (await self._judge(time.time())))},
            "spec": {},
        }
        try:
            found = await self._client.create(NODES, body)
        except ApiAlreadyExists:
            found = await self._client.get(NODES, self._node)
            missing = {k: v for k, v in body["metadata"]["labels"].items() if k not in found["metadata"].get("labels", {})}  # type: ignore[index]
            if missing:
                found = await self._client.patch(NODES, self._node, {"metadata": {"labels": missing}})
        self.seen(found)
        self._sent = dict(found.get("status") or {})

    async def _renew(self) -> None:
        renewed = {"renewTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")}
        if self._leased:
            try:
                await self._client.patch(LEASES, self._node, {"spec": renewed}, NODE_LEASE_NAMESPACE)
            except ApiNotFound:
                self._leased = False
            else:
                return
        spec = {"holderIdentity": self._node, "leaseDurationSeconds": int(LEASE_RENEWALS * self._renew_seconds), **renewed}
        body = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": {"name": self._node}, "spec": spec}
        try:
            await self._client.create(LEASES, body, NODE_LEASE_NAMESPACE)
        except (ApiAlreadyExists, ApiConflict):
            await self._client.patch(LEASES, self._node, {"spec": spec}, NODE_LEASE_NAMESPACE)
        self._leased = True

    async def _tell(self) -> None:
        if self._sent is None:
            return
        now = time.time()
        judged = await self._judge(now)
        old = NodeStatus.model_validate(self._sent)
        generation = self._generation
        told = tuple(c.model_copy(update={"observed_generation": generation}) for c in judged.conditions)
        status = judged.model_copy(
            update={"observed_generation": generation, "conditions": conditions.merge(old.conditions, told)}
        ).to_json()
        change = delta(self._sent, status)
        if not change:
            return
        try:
            await self._client.patch(NODES, self._node, {"status": change}, subresource="status")
        except ApiNotFound:  # somebody deleted it: register anew
            self._sent = None
            raise
        self._sent = status


def _labels(node: str, status: NodeStatus) -> dict[str, str]:
    return {
        labels.HOSTNAME: node,
        labels.OS: status.platform.os,
        labels.ARCH: status.platform.architecture,
    }
