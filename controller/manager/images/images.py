"""One ContainerImage: whose turn it is, and what is told of it."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from controller.api.conditions import READY, find
from controller.api.image import ImageStatus
from controller.kube.client import Client
from controller.kube.errors import ApiConflict, ApiNotFound
from controller.kube.patch import delta
from controller.kube.resources import CONTAINER_IMAGES
from controller.manager import metrics
from controller.manager.cache import Cache
from controller.manager.decide.images import turns
from controller.manager.decide.images.pushes import assign
from controller.manager.decide.images.status import Facts, deadline, summarize
from controller.manager.decide.images.values import Image, Place
from controller.manager.decide.values import Key
from controller.manager.images.cache import ImageCache
from controller.manager.remembered import Memory, first_seen

log = logging.getLogger(__name__)

Wake = Callable[[str], None]


class ImageReconciler:
    """Reconciles images by key."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        images: ImageCache,
        wake_node: Wake,
        hold_seconds: float,
        stale: Callable[[], str] = lambda: "",
    ) -> None:
        """Prepare it.

        Args:
            client: for the status.
            cache: the nodes.
            images: images, and what nodes are asked for.
            wake_node: called with each node that is to be asked for something else.
            hold_seconds: how long a status that only tells of progress is held back.
            stale: which installed definitions differ from this manager's own, empty when none does.
        """
        self._client, self._cache, self._images = client, cache, images
        self._wake_node, self._hold, self._stale = wake_node, hold_seconds, stale
        self._memories: dict[Key, Memory] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Bring one image forward; the seconds until time alone changes something, or None.

        Raises:
            ApiFailure: when the API server did not take the status for now.
        """
        image = self._images.images.get(key)
        if image is None or image.deleting:
            self._memories.pop(key, None)
            for name in self._images.nodes_asked(key):
                self._wake_node(name)
            return None
        mono, now = time.monotonic(), time.time()
        nodes = turns.named(image, self._cache.judged(mono, now).values())
        for name in turns.give(image, [self._images.place(node, image) for node in nodes]):
            self._images.give(name, image)
        self._wake_changed(image, {node.name for node in nodes})
        places = [self._images.place(node, image) for node in nodes]
        memory = self._remember(image)
        facts = Facts(image, places, now, memory.first_seen, self._stale())
        told_in = await self._report(facts, memory)
        known = self._images.images.get(key)
        if known is None or (known.uid, known.generation) != (image.uid, image.generation):
            return 0.0
        self._have_pushed(known, places)
        at = deadline(facts)
        ahead = at - now + 0.01 if at is not None and at > now else None
        return min((seconds for seconds in (told_in, ahead) if seconds is not None), default=None)

    def _wake_changed(self, image: Image, named: set[str]) -> None:
        """Have those nodes looked at that are asked for something else than they were."""
        for name in self._images.nodes_asked(image.key):
            held = self._images.held.get(name)
            asked = held.entries.get(image.key) if held is not None else None
            push = asked.push if asked is not None else ()
            due = asked is None or (asked.revision == image.revision and asked != image.entry(push))
            if due or name not in named or image.key in self._images.turns(name):
                self._wake_node(name)

    def _have_pushed(self, image: Image, places: Sequence[Place]) -> None:
        """Decide who pushes what, after the status: what that tells as pushed, nobody is asked for any more."""
        pusher = self._images.pushers[image.key] = assign(image, places)
        for place in places:
            if place.entry is not None and place.entry.push != pusher.of(place.node.name):
                self._wake_node(place.node.name)

    def _remember(self, image: Image) -> Memory:
        memory = self._memories.get(image.key)
        if memory is None or not memory.is_of(image.uid, image.generation):
            since = first_seen(memory, image.status.conditions, image.generation)
            memory = self._memories[image.key] = Memory(image.uid, image.generation, since)
        return memory

    async def _report(self, facts: Facts, memory: Memory) -> float | None:
        """Write the status when it changed; seconds until a held one is due."""
        new = summarize(facts)
        change = delta(facts.image.told, new.to_json())
        if not change:
            memory.held_since = None
            return None
        if held := memory.held(new.conditions, lambda: self._hold):
            return held
        await self._write(facts.image, change, new)
        return None

    async def _write(self, image: Image, change: dict[str, Any], new: ImageStatus) -> None:
        body = {"metadata": {"uid": image.uid}, "status": change}
        try:
            answer = await self._client.patch(CONTAINER_IMAGES, image.key.name, body, image.key.namespace, subresource="status")
        except (ApiNotFound, ApiConflict):  # it, or exactly this one of its name, is gone
            self._images.drop_image(image.key, image.uid)
            return
        self._images.put_image(answer)
        metrics.WRITES.labels("image-status").inc()
        ready = find(new.conditions, READY)
        if ready is not None:
            log.info("image %s/%s: %s %s %s", *image.key, new.ready, ready.reason, ready.message)
