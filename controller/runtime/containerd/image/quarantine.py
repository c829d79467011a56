"""Taking away what is damaged of an image, so that a pull fetches it anew: containerd fetches nothing that it has a name for.

A blob goes by its digest. What a layer was unpacked to goes with all that lies on top of it: layers of images, which are
unpacked again when these are pulled, and what ended containers have written, of which nothing is asked any more. What runs is
left alone; as long as it does, the damaged layer cannot go, and the image's name has a label that keeps it from being used.
All names in containerd's namespaces share what is fetched. So a blob that another namespace knows, too, stays as it is.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import content_pb2, snapshots_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.container.states import States
from controller.runtime.containerd.image.images import DAMAGED, Images
from controller.runtime.containerd.image.layers import Layers, on_top_of
from controller.runtime.containerd.leases import collect_garbage
from controller.runtime.port import Conflict, Damage, DamageKind, ImageDamaged, NotFound, Phase

_MOST_LAYERS: Final = 20
"""Layers that are named in the label, which has room for no more; with the lowest of them those above it go, too."""


class Quarantine:
    """Damaged images of one namespace."""

    def __init__(self, channel: Channel, snapshots: Snapshots, images: Images, states: States) -> None:
        self._channel, self._snapshots, self._images, self._states = channel, snapshots, images, states
        self._layers = Layers(channel, snapshots)
        self._turn = asyncio.Lock()
        """Whoever sees the label may pull at once, and must not lose what that brings."""

    async def begin(self, name: str, damage: Sequence[Damage]) -> None:
        """See `Runtime.quarantine`; by the image's normalised name."""
        async with self._turn:
            await self._take_away(name, damage)

    async def _take_away(self, name: str, damage: Sequence[Damage]) -> None:
        """The label comes first and goes last: what is interrupted in between, the next pull goes on with."""
        image = await self._images.record(name)
        layers = list(dict.fromkeys(one.digest for one in damage if one.what is not DamageKind.BLOB))
        if layers:
            await self._images.set_label(name, DAMAGED, " ".join(layers[:_MOST_LAYERS]))
        try:
            await self._delete(one.digest for one in damage if one.what is DamageKind.BLOB)
            await self._remove(layers)
        finally:
            await collect_garbage(self._channel)
            self._images.forget(image.target.digest)
        if layers:
            await self._images.set_label(name, DAMAGED, "")

    async def end(self, name: str) -> None:
        """An image is to be pulled: what could not be taken away of it before is taken away now.

        Raises:
            ImageDamaged: when it still cannot be.
        """
        try:
            async with self._turn:
                image = await self._images.record(name)
                layers = image.labels.get(DAMAGED, "").split()
                if layers:
                    await self._take_away(name, [Damage(DamageKind.SNAPSHOT, layer, "") for layer in layers])
        except NotFound:
            return
        except Conflict as failure:
            raise ImageDamaged(f"image {name} is damaged on this node, and cannot be fetched anew: {failure}") from failure

    async def discard(self, blobs: Iterable[str]) -> None:
        """Have these blobs, and what nobody needs without them, gone from the disk."""
        await self._delete(blobs)
        await collect_garbage(self._channel)

    async def _delete(self, blobs: Iterable[str]) -> None:
        """The files go when garbage is collected: until then a pull would take them for fetched."""
        for blob in set(blobs):
            with suppress(NotFound):
                await self._channel.call(methods.DELETE_CONTENT, content_pb2.DeleteContentRequest(digest=blob))

    async def _remove(self, layers: Sequence[str]) -> None:
        """Remove layers and all on top of them, unless something that runs is among that. Raises `Conflict`."""
        if not layers:
            return
        found = await self._snapshots.list()
        going = on_top_of(layers, found)
        ended = {state.id for state in await self._states.list() if state.phase is Phase.EXITED}
        users = [key for key in going if found[key].kind != snapshots_pb2.COMMITTED and key not in ended]
        if users:
            raise Conflict(f"what is damaged of it is used by {', '.join(sorted(users))}")
        await self._layers.remove(going)
