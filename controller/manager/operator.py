"""Kopf wiring of the manager, thin: every change goes into the cache, and wakes the keys that it may matter to."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from controller.api.labels import NODE_LEASE_NAMESPACE
from controller.kube import definitions
from controller.kube.client import Client
from controller.kube.connection import Connection
from controller.kube.informer import Informer, Watch
from controller.kube.resources import (
    CONTAINER_IMAGES,
    DEFINITIONS,
    INSTANCES,
    LEASES,
    NODE_IMAGES,
    NODES,
    RUNTIME_CLASSES,
    WORKLOADS,
)
from controller.manager.cache import Cache
from controller.manager.decide.values import Key, seconds
from controller.manager.images.room import ImageRoom
from controller.manager.nodes import NodeReconciler
from controller.manager.queue import WorkQueue
from controller.manager.reconciler import Reconciler

log = logging.getLogger(__name__)

NODE: Final = ""
"""In place of a namespace: the key of a node, which has none."""

Object = Mapping[str, Any]

DEFINITION: Final = definitions.watch(WORKLOADS)
"""Of the definitions, one is watched; whether another has changed, each sweep asks."""

WATCHES: Final = (
    DEFINITION,
    Watch(NODES),
    Watch(LEASES, field_selector=f"metadata.namespace={NODE_LEASE_NAMESPACE}"),
    Watch(RUNTIME_CLASSES),
    Watch(INSTANCES),
    Watch(WORKLOADS),
    Watch(NODE_IMAGES),
    Watch(CONTAINER_IMAGES),
)
"""What the manager watches, in the order in which a fresh cache is filled: what people write last, when all else is known."""


class ManagerOperator:
    """Feeds the cache and the queue from the API server."""

    def __init__(
        self,
        cache: Cache,
        queue: WorkQueue[Key],
        reconciler: Reconciler,
        nodes: NodeReconciler,
        images: ImageRoom,
        definition_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._definition_changed = definition_changed
        self._cache, self._queue, self._reconciler, self._nodes = cache, queue, reconciler, nodes
        self._images = images
        cache.room_made = self._wake_unplaced
        self._take: dict[str, Callable[[str, Object], None]] = {
            WORKLOADS.plural: self._workload,
            INSTANCES.plural: self._instance,
            NODES.plural: self._node,
            LEASES.plural: self._lease,
            RUNTIME_CLASSES.plural: self._class,
            NODE_IMAGES.plural: images.listing,
            CONTAINER_IMAGES.plural: images.image,
            DEFINITIONS.plural: lambda _kind, _definition: self._definition_changed(),
        }
        self.renewed_at = time.monotonic()
        """Monotonic time of the last renewal of any node's heartbeat."""

    async def fill(self, connection: Connection, client: Client) -> Informer:
        """List everything once, so that no decision is made on half of the truth; then the informer goes on from there.

        Raises:
            ApiFailure: when the API server does not answer, or does not know our kinds yet.
        """
        informer = Informer(connection, client, WATCHES, self.deliver, self.synced, half="manager")
        for watch in WATCHES:
            for obj in await client.list(watch.resource, field_selector=watch.field_selector):
                self.deliver(watch, "ADDED", obj)
                informer.known(watch, obj)
        return informer

    def deliver(self, watch: Watch, kind: str, obj: Object) -> None:
        """Take in one change."""
        try:
            self._take[watch.resource.plural](kind, obj)
        except ValidationError as exc:
            meta = obj["metadata"]
            log.warning("%s %s is not understood and left alone: %s", watch.resource.plural, meta.get("name"), exc)

    def synced(self, watch: Watch, exists: frozenset[str]) -> None:  # noqa: ARG002 - what exists is of no concern here
        """A sweep has come by."""
        if watch == DEFINITION:
            self._definition_changed()

    def wake_all(self) -> None:
        """Have every workload and every image looked at: something about a node changed."""
        for key in self._cache.workloads:
            self._queue.add(key)
        self._images.wake_all()

    def _wake_unplaced(self, but: Key | None) -> None:
        for waiting in self._reconciler.unplaced:
            if waiting != but:
                self._queue.add(waiting)

    def _workload(self, kind: str, obj: Object) -> None:
        meta = obj["metadata"]
        key = Key(meta["namespace"], meta["name"])
        if kind == "DELETED":
            self._cache.drop_workload(key, meta["uid"])
            self._queue.add(key)
        elif self._cache.put_workload(obj):
            self._queue.add(key)

    def _instance(self, kind: str, obj: Object) -> None:
        meta = obj["metadata"]
        key = Key(meta["namespace"], meta["name"])
        instance = self._cache.drop_instance(key, meta["uid"]) if kind == "DELETED" else self._cache.put_instance(obj)
        if instance is None:
            return
        if instance.owner_key is not None:
            self._queue.add(instance.owner_key)
        if instance.node not in self._cache.nodes:
            self._queue.add(Key(NODE, instance.node))

    def _node(self, kind: str, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if kind == "DELETED":
            self._cache.drop_node(name, obj["metadata"]["uid"])
        elif not self._cache.put_node(obj, time.monotonic()):
            return
        self._queue.add(Key(NODE, name))
        self._images.node(name)
        self.wake_all()

    def _class(self, kind: str, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if kind == "DELETED":
            self._cache.drop_class(name, obj["metadata"]["uid"])
        elif not self._cache.put_class(obj):
            return
        for key, workload in self._cache.workloads.items():
            if workload.spec.template.spec.runtime_class_name == name:
                self._queue.add(key)

    def _lease(self, kind: str, obj: Object) -> None:
        if kind == "DELETED":
            return  # silence follows, or a new one
        name, renew = obj["metadata"]["name"], (obj.get("spec") or {}).get("renewTime")
        self.renewed_at = time.monotonic()
        self._cache.heartbeats.renewed(name, renew, time.time() - seconds(renew), time.monotonic())
        if name in self._cache.nodes and not self._nodes.is_alive(name):
            self._queue.add(Key(NODE, name))
