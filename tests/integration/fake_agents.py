"""Agents that run nothing: they report what they are told to, so that the manager can be tested by itself."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

from controller.api.base import API_VERSION
from controller.api.conditions import contract
from controller.api.labels import FINALIZER, HOSTNAME, NODE_LEASE_NAMESPACE
from controller.kube.client import Client
from controller.kube.connection import Connection
from controller.kube.errors import ApiAlreadyExists, ApiConflict, ApiNotFound
from controller.kube.informer import Informer, Watch
from controller.kube.resources import INSTANCES, LEASES, NODES

BEAT_SECONDS = 0.5

Object = dict[str, Any]
Verdict = tuple[bool, bool, str, str]
"""(ready, stalled, reason, message) of an instance."""


def healthy(obj: Object) -> Verdict:
    """What a container that starts says."""
    return (True, False, "Suspended" if obj["spec"].get("suspend") else "Running", "")


class FakeAgents:
    """The agents of some nodes. Each can be silenced; `judge` says what becomes of an instance, None to say nothing."""

    def __init__(self, connection: Connection, *nodes: str) -> None:
        self.client = Client(connection)
        self._informer = Informer(connection, self.client, (Watch(INSTANCES),), self._deliver)
        self._nodes = list(nodes)
        self._silent: set[str] = set()
        self._latest: dict[str, Object] = {}
        self._told: dict[str, tuple[int, Verdict]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: dict[str, asyncio.Lock] = {}
        self.judge: Callable[[Object], Verdict | None] = healthy

    async def __aenter__(self) -> Self:
        for name in self._nodes:
            await self._register(name)
        self._spawn(self._beat())
        await self._informer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._informer.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for name in self._nodes:
            await self._ignore_missing(self.client.delete(NODES, name))
            await self._ignore_missing(self.client.delete(LEASES, name, NODE_LEASE_NAMESPACE))
        await self.client.close()

    def silence(self, node: str) -> None:
        """The node dies: no heartbeat, no status, no finalizer is removed."""
        self._silent.add(node)

    def revive(self, node: str) -> None:
        """The node is back."""
        self._silent.discard(node)
        self.look_again()

    def look_again(self) -> None:
        """Judge every instance anew."""
        for uid in list(self._latest):
            self._spawn(self._act(uid))

    async def _register(self, name: str) -> None:
        body = {"apiVersion": API_VERSION, "kind": "RuntimeNode", "metadata": {"name": name, "labels": {HOSTNAME: name}}}
        await self.client.create(NODES, body)
        lease = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": {"name": name}}
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _now()}
        await self.client.create(LEASES, lease | {"spec": spec}, NODE_LEASE_NAMESPACE)

    async def _beat(self) -> None:
        while True:
            for name in self._nodes:
                if name not in self._silent:
                    await self.client.patch(LEASES, name, {"spec": {"renewTime": _now()}}, NODE_LEASE_NAMESPACE)
            await asyncio.sleep(BEAT_SECONDS)

    def _deliver(self, _: Watch, kind: str, obj: Object) -> None:
        uid = obj["metadata"]["uid"]
        if kind == "DELETED":
            self._latest.pop(uid, None)
        elif obj["spec"]["nodeName"] in self._nodes:
            self._latest[uid] = obj
            self._spawn(self._act(uid))

    async def _act(self, uid: str) -> None:
        async with self._locks.setdefault(uid, asyncio.Lock()):
            obj = self._latest.get(uid)
            if obj is None or obj["spec"]["nodeName"] in self._silent:
                return
            meta = obj["metadata"]
            if meta.get("deletionTimestamp"):
                body: Object = {"metadata": {"finalizers": [f for f in meta.get("finalizers", []) if f != FINALIZER] or None}}
                await self._ignore_missing(self.client.patch(INSTANCES, meta["name"], body, meta["namespace"]))
                return
            verdict = self.judge(obj)
            if verdict is None or self._told.get(uid) == (meta["generation"], verdict):
                return
            self._told[uid] = (meta["generation"], verdict)
            body = {"status": _status(obj, verdict)}
            await self._ignore_missing(self.client.patch(INSTANCES, meta["name"], body, meta["namespace"], "status"))

    async def _ignore_missing(self, call: Any) -> None:
        try:
            await call
        except (ApiNotFound, ApiConflict, ApiAlreadyExists):
            return

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _status(obj: Object, verdict: Verdict) -> Object:
    ready, stalled, reason, message = verdict
    generation = obj["metadata"]["generation"]
    told = contract(ready=ready, stalled=stalled, reason=reason, message=message, generation=generation, now=time.time())
    return {
        "observedGeneration": generation,
        "phase": "Running" if ready else "Pending",
        "conditions": [c.to_json() for c in told],
        "restarts": 0,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
