"""Writing images into an archive, from containerd's content.

Not by its transfer service, which can write archives as well: of the stream on which it sends one it does not tell the end, so
that nobody knows whether the last bytes have come. What is read here is compared with its digest on the way.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from controller.runtime.archives import ArchiveWriter, blob_name, docker_images, index_of
from controller.runtime.containerd import methods
from controller.runtime.containerd.api.content_pb2 import ReadContentRequest
from controller.runtime.containerd.api.types_pb2 import Descriptor
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.image.content import ContentReader
from controller.runtime.containerd.image.images import Images
from controller.runtime.containerd.image.parts import Parts, parts_of
from controller.runtime.port import ImageDamaged, NotFound
from controller.runtime.reference import Reference

_READ: Final = 8 << 20
"""Bytes that are asked for at once, each time with a deadline of their own."""


class Exporter:
    """Exports images of one namespace."""

    def __init__(self, channel: Channel, images: Images) -> None:
        self._channel = channel
        self._images = images
        self._contents = ContentReader(channel)

    async def save(self, references: Sequence[Reference], path: str) -> None:
        """Write an archive.

        Args:
            references: the images' names, each once.
            path: of the file.

        Raises:
            NotFound: when an image, or a part of it, is not on the node.
            ImageFailure: `DiskFull`, `ImageDamaged`; when the file cannot be written.
            Unavailable: when containerd went away.
        """
        found = [await self._look(reference) for reference in references]
        named = [(reference, _entry(target)) for reference, (target, _) in zip(references, found, strict=True)]
        manifests = [
            (reference, (await self._contents.document(parts.manifest.digest, str(reference)))[0])
            for reference, (_, parts) in zip(references, found, strict=True)
        ]
        with ExitStack() as stack:
            archive = await asyncio.to_thread(stack.enter_context, ArchiveWriter(path))
            await asyncio.to_thread(archive.put, "oci-layout", {"imageLayoutVersion": "1.0.0"})
            await asyncio.to_thread(archive.put, "index.json", index_of(named))
            await asyncio.to_thread(archive.put, "manifest.json", docker_images(manifests))
            for digest, size in sorted({digest: size for _, parts in found for digest, size in parts.here.items()}.items()):
                await self._copy(digest, size, archive, path)
            await asyncio.to_thread(archive.finish)

    async def _look(self, reference: Reference) -> tuple[Descriptor, Parts]:
        name = str(reference)
        target = (await self._images.get(name)).record.target
        try:
            return target, await parts_of(self._channel, self._contents, target, name)
        except NotFound as failure:
            raise NotFound(f"image {name} is not on this node as a whole: {failure}") from failure

    async def _copy(self, digest: str, size: int, archive: ArchiveWriter, path: str) -> None:
        hashed = hashlib.new(digest.partition(":")[0])
        await asyncio.to_thread(archive.begin, blob_name(digest), size)
        for offset in range(0, size, _READ):
            request = ReadContentRequest(digest=digest, offset=offset, size=min(_READ, size - offset))
            async for part in self._channel.stream(methods.READ_CONTENT, request):
                hashed.update(part.data)
                await asyncio.to_thread(archive.write, part.data)
        if hashed.hexdigest() != digest.partition(":")[2]:
            raise ImageDamaged(f"archive {path} is not written: on this node {digest} is not what its digest says")


def _entry(target: Descriptor) -> dict[str, Any]:
    return {"mediaType": target.media_type, "digest": target.digest, "size": target.size}
