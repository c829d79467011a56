"""Images whose files are held for volumes: a read-only view of the layers for each holder, by a lease that does not expire.

The lease comes first and goes last: what is interrupted in between is listed by it, and is gone on with or removed. The view
has the layers as its parents, so that they stay whatever becomes of the image's name.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import leases_pb2, snapshots_pb2
from controller.runtime.containerd.api.types_pb2 import Mount
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.image.images import Images
from controller.runtime.port import AlreadyExists, ImageFiles, NotFound, Unsupported

_PREFIX: Final = "image-volume."
"""How the names of these leases and views begin."""


class HeldImages:
    """Views of images of one namespace."""

    def __init__(self, channel: Channel, snapshots: Snapshots, images: Images) -> None:
        self._channel, self._snapshots, self._images = channel, snapshots, images

    async def hold(self, holder: str, name: str) -> ImageFiles:
        """See `Runtime.hold_image`; by the image's normalised name."""
        key = f"{_PREFIX}{holder}"
        try:
            mounts = await self._snapshots.mounts(key)
        except NotFound:
            mounts = await self._begin(holder, (await self._images.get(name)).contents.chain_id)
        if len(mounts) != 1:
            raise Unsupported(f"the files of an image cannot be mounted with snapshotter {self._snapshots.snapshotter}")
        return ImageFiles(mounts[0].type, mounts[0].source, tuple(mounts[0].options))

    async def _begin(self, holder: str, parent: str) -> Sequence[Mount]:
        key = f"{_PREFIX}{holder}"
        with suppress(AlreadyExists):  # then it is of a try that was interrupted
            await self._channel.call(methods.CREATE_LEASE, leases_pb2.CreateRequest(id=key))
        request = snapshots_pb2.ViewSnapshotRequest(snapshotter=self._snapshots.snapshotter, key=key, parent=parent)
        try:
            return (await self._channel.call(methods.VIEW, request, lease=key)).mounts
        except NotFound:
            self._images.forget_unpacked(parent)
            await self.release(holder)
            raise

    async def release(self, holder: str) -> None:
        """See `Runtime.release_image`."""
        key = f"{_PREFIX}{holder}"
        await self._snapshots.remove(key)
        try:
            await self._channel.call(methods.DELETE_LEASE, leases_pb2.DeleteRequest(id=key))
        except NotFound:
            return

    async def holders(self) -> frozenset[str]:
        """See `Runtime.image_holders`."""
        found = await self._channel.call(methods.LIST_LEASES, leases_pb2.ListRequest())
        return frozenset(one.id.removeprefix(_PREFIX) for one in found.leases if one.id.startswith(_PREFIX))
