"""Images that are on the node."""

from contextlib import suppress
from dataclasses import dataclass

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import images_pb2
from controller.runtime.containerd.api.images_pb2 import Image
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.image.content import ContentReader, Contents
from controller.runtime.port import ImageFailure, ImageState, NotFound


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image that can be run."""

    name: str
    digest: str
    contents: Contents

    def state(self) -> ImageState:
        """In the port's words."""
        return ImageState(self.name, self.digest, self.contents.size, self.contents.config)


class Images:
    """Images of one namespace."""

    def __init__(self, channel: Channel, snapshots: Snapshots) -> None:
        self._channel = channel
        self._snapshots = snapshots
        self._contents = ContentReader(channel)
        self._unpacked: set[str] = set()

    async def get(self, name: str) -> LocalImage:
        """An image by its normalised name. Raises `NotFound` when it, or a part of it, is not on the node."""
        try:
            image = (await self._channel.call(methods.GET_IMAGE, images_pb2.GetImageRequest(name=name))).image
        except NotFound as failure:
            raise NotFound(f"image {name} is not on this node") from failure
        return await self._complete(image)

    async def list(self) -> tuple[ImageState, ...]:
        """All images that can be run; those that are not complete, or not for this node, are left out."""
        answer = await self._channel.call(methods.LIST_IMAGES, images_pb2.ListImagesRequest())
        found = []
        for image in answer.images:
            try:
                local = await self._complete(image)
            except (NotFound, ImageFailure):
                continue
            found.append(ImageState(local.name, local.digest, local.contents.size))
        return tuple(found)

    async def remove(self, name: str, *, wait: bool = False) -> None:
        """Remove a name; absent is success. `wait`: until containerd has collected what nothing needs any more."""
        request = images_pb2.DeleteImageRequest(name=name, sync=wait)
        with suppress(NotFound):
            await self._channel.call(methods.DELETE_IMAGE, request, seconds=methods.COLLECT if wait else methods.WRITE)

    def forget_unpacked(self, chain_id: str) -> None:
        """Look again, next time, whether an image is unpacked: its snapshot was found missing."""
        self._unpacked.discard(chain_id)

    async def _complete(self, image: Image) -> LocalImage:
        """An image is complete when its layers are unpacked: only then a container can be made from it."""
        contents = await self._contents.contents(image.target, image.name)
        if contents.chain_id not in self._unpacked:
            if contents.chain_id and not await self._snapshots.exists(contents.chain_id):
                raise NotFound(f"image {image.name} is on this node, but not unpacked")
            self._unpacked.add(contents.chain_id)
        return LocalImage(image.name, image.target.digest, contents)
