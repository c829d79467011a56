"""What an image's content says: which manifest is for this node, its config, its layers."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.runtime.containerd import methods
from controller.runtime.containerd.api.content_pb2 import ReadContentRequest
from controller.runtime.containerd.api.types_pb2 import Descriptor
from controller.runtime.containerd.channel import Channel
from controller.runtime.documents import INDEXES, created_at, image_config
from controller.runtime.platforms import NOTHING, Platform, choose, node_platform, offers, platform_of
from controller.runtime.port import ImageConfig, ImageFailure, PlatformMissing

_MOST_BYTES: Final = 8 << 20
"""A manifest or config larger than this is no such thing."""

_REMEMBERED: Final = 1024
"""Contents kept in memory; one is less than 2 kB."""

_DEPTH: Final = 3
"""How far an index may lead to another."""


@dataclass(frozen=True, slots=True)
class Contents:
    """An image as far as this node is concerned."""

    config: ImageConfig
    chain_id: str
    """Name of the committed snapshot with all its layers (OCI image-spec, config.md#layer-chainid)."""
    size: int
    """Bytes of index, manifest, config and compressed layers."""
    layers: tuple[str, ...] = ()
    """Digests of the compressed layers, the lowest first."""
    platform: Platform = NOTHING
    """What it is for."""
    created_at: float | None = None


class ContentReader:
    """Reads what images consist of. Content never changes under its digest, so what was read once is remembered."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._known: OrderedDict[str, Contents] = OrderedDict()

    async def contents(self, target: Descriptor, name: str) -> Contents:
        """Read the contents of an image.

        Args:
            target: what the image's name points at.
            name: the image's name, for messages.

        Raises:
            NotFound: when a part of it is not on the node.
            PlatformMissing: when it has nothing for this node.
            ImageFailure: when it is not made as images are.
        """
        known = self._known.get(target.digest)
        if known is None:
            known = self._known[target.digest] = await self._read_image(target, name)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    def forget(self, digest: str) -> None:
        """Read what a name points at anew, next time: a part of it was found damaged."""
        self._known.pop(digest, None)

    async def platforms(self, digest: str, name: str) -> tuple[Platform, ...]:
        """The platforms that an index offers. Raises as `contents`."""
        document, _ = await self.document(digest, name)
        return offers(document.get("manifests", ()))

    async def _read_image(self, target: Descriptor, name: str) -> Contents:
        size, digest, media_type = 0, target.digest, target.media_type
        for _ in range(_DEPTH):
            document, read = await self.document(digest, name)
            size += read
            if media_type not in INDEXES:
                return await self._read_manifest(document, size, name)
            chosen = choose(document.get("manifests", ()), node_platform())
            if chosen is None:
                raise PlatformMissing(
                    f"image {name} has nothing for this node's platform {node_platform()}; it has "
                    f"{listed(offers(document.get('manifests', ())))}"
                )
            digest, media_type = chosen["digest"], chosen.get("mediaType", "")
        raise ImageFailure(f"image {name}: its index leads to index after index")

    async def _read_manifest(self, manifest: Mapping[str, Any], size: int, name: str) -> Contents:
        try:
            config, read = await self.document(manifest["config"]["digest"], name)
            return Contents(
                image_config(config),
                chain_id(config["rootfs"]["diff_ids"]),
                size + read + sum(layer["size"] for layer in manifest["layers"]),
                tuple(layer["digest"] for layer in manifest["layers"]),
                platform_of(config),
                created_at(config.get("created")),
            )
        except (KeyError, TypeError) as error:
            raise ImageFailure(f"image {name}: its manifest or config lacks {error}") from error

    async def document(self, digest: str, name: str) -> tuple[dict[str, Any], int]:
        """An index, manifest or config, and its bytes. Raises as `contents`."""
        data = bytearray()
        async for part in self._channel.stream(methods.READ_CONTENT, ReadContentRequest(digest=digest)):
            data += part.data
            if len(data) > _MOST_BYTES:
                raise ImageFailure(f"image {name}: {digest} is too large for a manifest or config")
        try:
            document = json.loads(data)
        except ValueError as error:
            raise ImageFailure(f"image {name}: {digest} is not JSON") from error
        if not isinstance(document, dict):
            raise ImageFailure(f"image {name}: {digest} is not a JSON object")
        return document, len(data)


def listed(platforms: Sequence[Platform]) -> str:
    """Platforms in words."""
    return ", ".join(map(str, platforms)) or "none"


def chain_id(diff_ids: Sequence[str]) -> str:
    """The name of layers on top of each other (OCI image-spec, config.md#layer-chainid)."""
    chain = ""
    for diff_id in diff_ids:
        chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}" if chain else diff_id
    return chain
