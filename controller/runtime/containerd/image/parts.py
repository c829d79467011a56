"""What of an image is on the node: an image for several platforms is there only as far as this node needs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.runtime.containerd import methods
from controller.runtime.containerd.api.content_pb2 import InfoRequest
from controller.runtime.containerd.api.types_pb2 import Descriptor
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.image.content import ContentReader
from controller.runtime.documents import INDEXES
from controller.runtime.platforms import choose, node_platform
from controller.runtime.port import NotFound


@dataclass(slots=True)
class Parts:
    """An image's parts."""

    here: dict[str, int] = field(default_factory=dict)
    """Those that are on the node, their bytes by digest; of a manifest all or nothing."""
    manifest: Descriptor = field(default_factory=Descriptor)
    """The manifest for this node."""
    complete: bool = True
    """Nothing lacks that the image refers to."""


async def parts_of(channel: Channel, contents: ContentReader, target: Descriptor, name: str) -> Parts:
    """Look what is there of an image that this node can run.

    Args:
        channel: the connection.
        contents: reads what images consist of.
        target: what the image's name points at.
        name: the image's name, for messages.

    Raises:
        NotFound: when a part that this node needs is not there.
        ImageFailure: when it is not made as images are.
    """
    parts = Parts()
    await _Look(channel, contents, name, parts).take(target, needed=True)
    return parts


@dataclass(frozen=True, slots=True)
class _Look:
    channel: Channel
    contents: ContentReader
    name: str
    parts: Parts

    async def take(self, target: Descriptor, *, needed: bool) -> None:
        """Take in an index or a manifest, and all below; `needed`: of what lacks, `NotFound` is raised."""
        try:
            document, size = await self.contents.document(target.digest, self.name)
            below = document.get("manifests", ()) if target.media_type in INDEXES else ()
            held = {target.digest: size} if target.media_type in INDEXES else await self._blobs(document, target, size)
        except NotFound:
            if needed:
                raise
            self.parts.complete = False
            return
        self.parts.here |= held
        if needed and not below:
            self.parts.manifest = target
        own = choose(below, node_platform()) if needed else None
        for entry in below:
            await self.take(_descriptor(entry), needed=entry is own)

    async def _blobs(self, manifest: Mapping[str, Any], target: Descriptor, size: int) -> dict[str, int]:
        held = {target.digest: size}
        for blob in (manifest["config"], *manifest["layers"]):
            await self.channel.call(methods.CONTENT_INFO, InfoRequest(digest=blob["digest"]))
            held[blob["digest"]] = blob["size"]
        return held


def _descriptor(entry: Mapping[str, Any]) -> Descriptor:
    return Descriptor(media_type=entry.get("mediaType", ""), digest=entry["digest"], size=entry["size"])
