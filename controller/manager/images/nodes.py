"""One node: its NodeImages says what it is asked for, and nothing else is written when nothing else is asked."""

import logging
from typing import Any

from controller.api.base import API_VERSION
from controller.api.node import RuntimeNode
from controller.api.nodeimages import NodeImage, NodeImages
from controller.kube.client import Client
from controller.kube.errors import ApiAlreadyExists, ApiConflict, ApiNotFound
from controller.kube.resources import NODE_IMAGES
from controller.manager import metrics
from controller.manager.cache import Cache
from controller.manager.decide.images.listing import listing
from controller.manager.decide.values import Key, Node
from controller.manager.images.cache import ImageCache

log = logging.getLogger(__name__)


class NodeListings:
    """Reconciles the NodeImages of nodes by name."""

    def __init__(self, client: Client, cache: Cache, images: ImageCache) -> None:
        self._client, self._cache, self._images = client, cache, images

    async def reconcile(self, name: str) -> frozenset[Key]:
        """Bring one node's NodeImages up to date; the images for which that changed something.

        A node that is gone takes its own with it, by its ownerReference.

        Raises:
            ApiFailure: when the API server did not take a write for now.
        """
        turns = self._images.turns(name)
        node = self._cache.nodes.get(name)
        if node is None:
            self._images.written(name, turns)
            self._images.forget(name)
            return frozenset(turns)
        held = self._images.held.get(name)
        before = self._images.asked(name)
        wanted = listing(node, before, self._images.images.get, turns, self._images.pushers)
        if held is None:
            changed = await self._create(node, wanted)
        elif wanted != tuple(before[key] for key in sorted(before)):
            changed = await self._patch(node, held.uid, wanted)
        else:
            changed = frozenset()
        self._images.written(name, turns)
        return changed | frozenset(turns)

    async def _create(self, node: Node, wanted: tuple[NodeImage, ...]) -> frozenset[Key]:
        owner = {"apiVersion": API_VERSION, "kind": RuntimeNode.KIND, "name": node.name, "uid": node.uid, "controller": True}
        meta = {"name": node.name, "ownerReferences": [owner]}
        body = {"apiVersion": API_VERSION, "kind": NodeImages.KIND, "metadata": meta, "spec": _spec(wanted)}
        try:
            made = await self._client.create(NODE_IMAGES, body)
        except ApiAlreadyExists:  # and the event that says so, or that it went, is under way
            return frozenset()
        metrics.WRITES.labels("node-images").inc()
        return self._images.put_held(made) or frozenset()

    async def _patch(self, node: Node, uid: str, wanted: tuple[NodeImage, ...]) -> frozenset[Key]:
        try:
            answer = await self._client.patch(NODE_IMAGES, node.name, {"metadata": {"uid": uid}, "spec": _spec(wanted)})
        except (ApiNotFound, ApiConflict) as exc:  # that object is gone, and the event that says so is under way
            log.debug("node images %s: %s", node.name, exc)
            return frozenset()
        metrics.WRITES.labels("node-images").inc()
        return self._images.put_held(answer) or frozenset()


def _spec(wanted: tuple[NodeImage, ...]) -> dict[str, Any]:
    return {"images": [entry.to_json() for entry in wanted]}
