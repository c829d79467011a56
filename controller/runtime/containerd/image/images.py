"""Images that are on the node."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import images_pb2
from controller.runtime.containerd.api.images_pb2 import Image
from controller.runtime.containerd.api.types_pb2 import Descriptor
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.image.content import ContentReader, Contents
from controller.runtime.containerd.image.passing import is_passing
from controller.runtime.port import (
    AlreadyExists,
    ImageConfig,
    ImageFailure,
    ImageName,
    ImageState,
    InvalidReference,
    NotFound,
)
from controller.runtime.reference import Reference

DAMAGED: Final = "moorage.dev/damaged"
"""Label of a name that nothing is made from: digests of the layers, each with those below it, that are damaged as unpacked."""

UNSYNCED: Final = "moorage.dev/unsynced"
"""Label of a name whose image may not be on the disk: id of the boot in which it was fetched, or when it was lost."""


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image that can be run."""

    record: Image
    """What containerd keeps of its name."""
    contents: Contents

    @property
    def name(self) -> str:
        """Normalised reference."""
        return self.record.name

    @property
    def digest(self) -> str:
        """Of what the name points at."""
        return self.record.target.digest

    def state(self) -> ImageState:
        """In the port's words."""
        held = self.contents
        return ImageState(
            self.name,
            self.digest,
            held.size,
            held.config,
            since=_since(self.record),
            platform=str(held.platform),
            created_at=held.created_at,
            layers=held.layers,
        )


class Images:
    """Images of one namespace."""

    def __init__(self, channel: Channel, snapshots: Snapshots) -> None:
        self._channel = channel
        self._snapshots = snapshots
        self._contents = ContentReader(channel)
        self._unpacked: dict[str, int] = {}
        """When the layers were unpacked that are known to be on the disk, by their chain id."""

    async def get(self, name: str) -> LocalImage:
        """An image by its normalised name. Raises `NotFound` when it, or a part of it, is not on the node."""
        return await self.complete(await self.record(name))

    async def list(self) -> tuple[ImageState, ...]:
        """All images that can be run; those that are not complete, or not for this node, are left out."""
        found = []
        for image in await self.records():
            try:
                local = await self.complete(image)
            except (NotFound, ImageFailure):
                continue
            found.append(replace(local.state(), config=ImageConfig()))
        return tuple(found)

    async def names(self) -> tuple[ImageName, ...]:
        """All names, whether what they point at can be run or not."""
        return tuple(ImageName(image.name, image.target.digest, _since(image)) for image in await self.records())

    async def tag(self, name: str, target: Reference) -> LocalImage:
        """Give an image another name. Raises as `get`; `InvalidReference` when the other name is one of another digest."""
        image = (await self.get(name)).record
        if target.digest and target.digest != image.target.digest:
            raise InvalidReference(f"{target} cannot be a name of {name}, whose digest is {image.target.digest}")
        await self.set_name(str(target), image.target)
        return await self.get(str(target))

    async def set_name(self, name: str, target: Descriptor) -> None:
        """Let a name point at this from now on. Nothing is written when it does already."""
        image = Image(name=name, target=target)
        try:
            await self._channel.call(methods.CREATE_IMAGE, images_pb2.CreateImageRequest(image=image))
        except AlreadyExists:
            known = await self.record(name)
            if known.target.digest != target.digest or UNSYNCED in known.labels:
                changed = FieldMask(paths=["target", f"labels.{UNSYNCED}", f"labels.{DAMAGED}"])  # they are of the one before
                request = images_pb2.UpdateImageRequest(image=image, update_mask=changed)
                await self._channel.call(methods.UPDATE_IMAGE, request)

    async def remove(self, name: str, *, wait: bool = False) -> None:
        """Remove a name; absent is success. `wait`: until containerd has collected what nothing needs any more."""
        request = images_pb2.DeleteImageRequest(name=name, sync=wait)
        with suppress(NotFound):
            await self._channel.call(methods.DELETE_IMAGE, request, seconds=methods.COLLECT if wait else methods.WRITE)

    async def record(self, name: str) -> Image:
        """What containerd keeps of a name, whether it is complete or not. Raises `NotFound`."""
        try:
            return (await self._channel.call(methods.GET_IMAGE, images_pb2.GetImageRequest(name=name))).image
        except NotFound as failure:
            raise NotFound(f"image {name} is not on this node") from failure

    async def chain_id(self, image: Image) -> str:
        """Name of the snapshot with all layers of an image; empty when that cannot be told."""
        try:
            return (await self._contents.contents(image.target, image.name)).chain_id
        except (NotFound, ImageFailure):
            return ""

    async def unpacked_at(self, chain_id: str) -> int:
        """When these layers were unpacked, in nanoseconds since the epoch; 0 when they are not, or there are none."""
        return await self._snapshots.made_at(chain_id) if chain_id else 0

    def trusts(self, chain_id: str, at: int) -> bool:
        """Whether these layers, as they were unpacked then, are on the disk: another pull of them changes nothing of that."""
        return at > 0 and self._unpacked.get(chain_id) == at

    def trust(self, chain_id: str, at: int) -> None:
        """These layers, as they were unpacked then, are on the disk now."""
        self._unpacked[chain_id] = at

    async def records(self) -> Sequence[Image]:
        """What containerd keeps of all names that are not only passing."""
        answer = await self._channel.call(methods.LIST_IMAGES, images_pb2.ListImagesRequest())
        return [image for image in answer.images if not is_passing(image.name)]

    async def set_label(self, name: str, label: str, value: str) -> None:
        """Write a label of a name; an empty value removes it. Raises `NotFound`."""
        # It is not written; but containerd 2.4 falls over a request without one.
        image = Image(name=name, labels={label: value}, target=Descriptor())
        request = images_pb2.UpdateImageRequest(image=image, update_mask=FieldMask(paths=[f"labels.{label}"]))
        await self._channel.call(methods.UPDATE_IMAGE, request)

    def forget(self, digest: str) -> None:
        """Read anew, next time, what the image of this digest consists of, and look whether any is unpacked."""
        self._contents.forget(digest)
        self._unpacked.clear()

    def forget_unpacked(self, chain_id: str) -> None:
        """Look again, next time, whether an image is unpacked: its snapshot was found missing."""
        self._unpacked.pop(chain_id, None)

    async def complete(self, image: Image) -> LocalImage:
        """An image is complete when its layers are unpacked and on the disk: only then a container can be made from it.

        Raises:
            NotFound: when it is not.
            ImageFailure: when it is not made as images are, or not for this node.
        """
        if DAMAGED in image.labels:
            raise NotFound(f"image {image.name} is on this node, but damaged")
        contents = await self._contents.contents(image.target, image.name)
        layers = contents.chain_id
        if UNSYNCED in image.labels or layers not in self._unpacked:
            at = await self.unpacked_at(layers)
            if UNSYNCED in image.labels and not self.trusts(layers, at):
                raise NotFound(f"image {image.name} is on this node, but a loss of power may still take a part of it")
            if layers and not at:
                raise NotFound(f"image {image.name} is on this node, but not unpacked")
            self.trust(layers, at)
        return LocalImage(image, contents)


def _since(image: Image) -> float:
    return image.updated_at.ToNanoseconds() / 1e9
