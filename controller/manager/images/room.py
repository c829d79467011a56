"""The way in: what the API server tells goes in here, and what is to be done about it comes out of one queue."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from controller.kube.client import Client
from controller.kube.errors import ApiFailure
from controller.manager import metrics
from controller.manager.cache import Cache
from controller.manager.decide.values import Key
from controller.manager.images.cache import ImageCache
from controller.manager.images.images import ImageReconciler
from controller.manager.images.nodes import NodeListings
from controller.manager.queue import WorkQueue

log = logging.getLogger(__name__)

NODE: Final = ""
"""In place of a namespace: the key of a node, which has none."""

WORKERS: Final = 4
"""Images and nodes that are reconciled at once: apart from workloads, which never wait for them."""

Object = Mapping[str, Any]


class ImageRoom:
    """ContainerImages and NodeImages of the cluster."""

    def __init__(self, client: Client, cache: Cache, hold_seconds: float, stale: Callable[[], str] = lambda: "") -> None:
        """`stale` says which installed definitions differ from this manager's own, empty when none does."""
        self.cache = ImageCache()
        self.queue: WorkQueue[Key] = WorkQueue(self._reconcile, expected=(ApiFailure,), workers=WORKERS)
        self._images = ImageReconciler(client, cache, self.cache, self._wake_node, hold_seconds, stale)
        self._nodes = NodeListings(client, cache, self.cache)

    # --- what the API server tells

    def image(self, kind: str, obj: Object) -> None:
        """A ContainerImage came, changed or went."""
        meta = obj["metadata"]
        key = Key(meta["namespace"], meta["name"])
        if kind == "DELETED":
            self.cache.drop_image(key, meta["uid"])
            self.queue.add(key)
        elif self.cache.put_image(obj):
            self.queue.add(key)

    def listing(self, kind: str, obj: Object) -> None:
        """A NodeImages did."""
        meta = obj["metadata"]
        name, before = meta["name"], self.cache.held.get(meta["name"])
        changed = self.cache.drop_held(name, meta["uid"]) if kind == "DELETED" else self.cache.put_held(obj)
        if changed is None:
            return
        after = self.cache.held.get(name)
        if before is None or after is None or before.entries != after.entries:
            self._wake_node(name)
        self._wake(changed)

    def node(self, name: str) -> None:
        """A RuntimeNode came, changed or went; for the images themselves that is said by `wake_all`."""
        self._wake_node(name)

    def wake_all(self) -> None:
        """Have every image looked at."""
        self._wake(frozenset(self.cache.images))

    # --- what is done about it

    def _wake(self, keys: frozenset[Key]) -> None:
        for key in keys:
            self.queue.add(key)

    def _wake_node(self, name: str) -> None:
        self.queue.add(Key(NODE, name))

    async def _reconcile(self, key: Key) -> float | None:
        kind = "node-images" if key.namespace == NODE else "image"
        metrics.RECONCILES.labels(kind).inc()
        with metrics.FAILURES.labels(kind).count_exceptions(), metrics.SECONDS.time():
            if key.namespace != NODE:
                return await self._images.reconcile(key)
            self._wake(await self._nodes.reconcile(key.name))
            return None
