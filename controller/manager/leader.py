"""Leader election with a Lease (coordination.k8s.io/v1): of several managers, one works.

The election of the Python client is not used: a refused connection ends it, and it has no deadline of its own. As in
client-go, the holder renews well before the Lease runs out, others take it over only after they have themselves seen it
unchanged for its whole duration (so that clocks need not agree), and every write is tied to the version that was read.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from controller.kube.client import Client
from controller.kube.errors import ApiAlreadyExists, ApiConflict, ApiFailure, ApiNotFound
from controller.kube.resources import LEASES

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 15
RENEW_DEADLINE_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 2.0
"""Duration, renewal deadline and pause as client-go's defaults."""


@dataclass(frozen=True, slots=True)
class Held:
    """A Lease as read, and since when it has been seen unchanged (monotonic)."""

    holder: str
    renewed: str
    duration: float
    transitions: int
    resource_version: str
    since: float


def read(obj: dict[str, Any], before: Held | None, now: float) -> Held:
    """The Lease as read; the time of its last change is kept when it is the same as before."""
    spec = obj.get("spec") or {}
    holder, renewed = str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")
    same = before is not None and (before.holder, before.renewed) == (holder, renewed)
    return Held(
        holder=holder,
        renewed=renewed,
        duration=float(spec.get("leaseDurationSeconds") or LEASE_SECONDS),
        transitions=int(spec.get("leaseTransitions") or 0),
        resource_version=str(obj["metadata"]["resourceVersion"]),
        since=before.since if before is not None and same else now,
    )


def may_take(held: Held, identity: str, now: float) -> bool:
    """Whether the Lease is free, ours, or was left by its holder."""
    return not held.holder or held.holder == identity or now - held.since >= held.duration


class Leader:
    """One candidate."""

    def __init__(self, client: Client, name: str, namespace: str, identity: str) -> None:
        self._client, self._name, self._namespace, self._identity = client, name, namespace, identity
        self._held: Held | None = None

    async def acquire(self) -> bool:
        """Wait until this candidate leads; then True."""
        while True:
            try:
                if await self._try():
                    log.info("%s leads (lease %s/%s)", self._identity, self._namespace, self._name)
                    return True
            except ApiFailure as exc:
                log.warning("leader election: %s", exc)
            await asyncio.sleep(RETRY_SECONDS)

    async def keep(self) -> None:
        """Renew for as long as this candidate leads; returns when it does not, or cannot be sure, any more."""
        renewed = time.monotonic()
        while time.monotonic() - renewed < RENEW_DEADLINE_SECONDS:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                async with asyncio.timeout(renewed + RENEW_DEADLINE_SECONDS - time.monotonic()):
                    if not await self._try():
                        break
            except (ApiFailure, TimeoutError) as exc:
                log.warning("leader election: not renewed: %r", exc)
                continue
            renewed = time.monotonic()
        log.warning("%s leads no more", self._identity)

    async def release(self) -> None:
        """Give the Lease up, so that another manager need not wait for it to run out."""
        held = self._held
        if held is None or held.holder != self._identity:
            return
        try:
            await self._write(held, {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()})
        except ApiFailure as exc:
            log.info("leader election: the lease runs out by itself: %s", exc)

    async def _try(self) -> bool:
        try:
            found = await self._client.get(LEASES, self._name, self._namespace)
        except ApiNotFound:
            return await self._create()
        self._held = held = read(found, self._held, time.monotonic())
        if not may_take(held, self._identity, time.monotonic()):
            return False
        spec = {"holderIdentity": self._identity, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": _now()}
        if held.holder != self._identity:
            spec |= {"acquireTime": _now(), "leaseTransitions": held.transitions + 1}
        try:
            await self._write(held, spec)
        except ApiConflict:  # another candidate was faster
            return False
        return True

    async def _create(self) -> bool:
        body = {
            "apiVersion": LEASES.api_version,
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": _now(),
                "renewTime": _now(),
                "leaseTransitions": 0,
            },
        }
        try:
            self._held = read(await self._client.create(LEASES, body, self._namespace), None, time.monotonic())
        except ApiAlreadyExists:
            return False
        return True

    async def _write(self, held: Held, spec: dict[str, Any]) -> None:
        body = {"metadata": {"resourceVersion": held.resource_version}, "spec": spec}
        answer = await self._client.patch(LEASES, self._name, body, self._namespace)
        self._held = read(answer, held, time.monotonic())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
