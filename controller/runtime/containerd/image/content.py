"""What an image's content says: which manifest is for this node, its config, its layers."""

import hashlib
import json
import platform
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.runtime.containerd import methods
from controller.runtime.containerd.api.content_pb2 import ReadContentRequest
from controller.runtime.containerd.api.types_pb2 import Descriptor, Platform
from controller.runtime.containerd.channel import Channel
from controller.runtime.port import ImageConfig, ImageFailure, PlatformMissing

_INDEXES: Final = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)

_MACHINES: Final = {
    "x86_64": Platform(os="linux", architecture="amd64"),
    "aarch64": Platform(os="linux", architecture="arm64", variant="v8"),
    "armv7l": Platform(os="linux", architecture="arm", variant="v7"),
    "armv6l": Platform(os="linux", architecture="arm", variant="v6"),
    "i686": Platform(os="linux", architecture="386"),
    "ppc64le": Platform(os="linux", architecture="ppc64le"),
    "riscv64": Platform(os="linux", architecture="riscv64"),
    "s390x": Platform(os="linux", architecture="s390x"),
    "loongarch64": Platform(os="linux", architecture="loong64"),
}
"""Names of the kernel (uname(2)) in Go's words."""

_MOST_BYTES: Final = 8 << 20
"""A manifest or config larger than this is no such thing."""

_REMEMBERED: Final = 1024
"""Contents kept in memory; one is less than 2 kB."""

_DEPTH: Final = 3
"""How far an index may lead to another."""


def node_platform() -> Platform:
    """The platform that images must be for."""
    machine = platform.machine()
    return _MACHINES.get(machine, Platform(os="linux", architecture=machine))


@dataclass(frozen=True, slots=True)
class Contents:
    """An image as far as this node is concerned."""

    config: ImageConfig
    chain_id: str
    """Name of the committed snapshot with all its layers (OCI image-spec, config.md#layer-chainid)."""
    size: int
    """Bytes of index, manifest, config and compressed layers."""


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

    async def platforms(self, digest: str, name: str) -> tuple[str, ...]:
        """The platforms that an index offers. Raises as `contents`."""
        document, _ = await self._read_json(digest, name)
        return offers(document.get("manifests", ()))

    async def _read_image(self, target: Descriptor, name: str) -> Contents:
        size, digest, media_type = 0, target.digest, target.media_type
        for _ in range(_DEPTH):
            document, read = await self._read_json(digest, name)
            size += read
            if media_type not in _INDEXES:
                return await self._read_manifest(document, size, name)
            chosen = choose(document.get("manifests", ()), node_platform())
            if chosen is None:
                offered = ", ".join(offers(document.get("manifests", ()))) or "none"
                raise PlatformMissing(
                    f"image {name} has nothing for this node's platform {named(node_platform())}; it has {offered}"
                )
            digest, media_type = chosen["digest"], chosen.get("mediaType", "")
        raise ImageFailure(f"image {name}: its index leads to index after index")

    async def _read_manifest(self, manifest: Mapping[str, Any], size: int, name: str) -> Contents:
        try:
            config, read = await self._read_json(manifest["config"]["digest"], name)
            size += read + sum(layer["size"] for layer in manifest["layers"])
            return Contents(image_config(config), chain_id(config["rootfs"]["diff_ids"]), size)
        except (KeyError, TypeError) as error:
            raise ImageFailure(f"image {name}: its manifest or config lacks {error}") from error

    async def _read_json(self, digest: str, name: str) -> tuple[dict[str, Any], int]:
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


def named(platform: Platform) -> str:
    """A platform in one word, as Docker writes it: `linux/arm64/v8`."""
    return "/".join(filter(None, (platform.os, platform.architecture, platform.variant)))


def offers(manifests: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The platforms of an index, each once; what is for none (an attestation) is left out."""
    found = [manifest.get("platform") or {} for manifest in manifests]
    words = ["/".join(str(p[key]) for key in ("os", "architecture", "variant") if p.get(key)) for p in found]
    return tuple(dict.fromkeys(word for word in words if word and word != "unknown/unknown"))


def choose(manifests: Sequence[Mapping[str, Any]], node: Platform) -> Mapping[str, Any] | None:
    """The entry of an index that fits a node best, as containerd chooses what it unpacks (platforms.Only)."""
    for architecture, variant in _acceptable(node):
        for manifest in manifests:
            offered = manifest.get("platform") or {}
            if offered.get("os") != node.os or offered.get("architecture") != architecture:
                continue
            if _normal(architecture, offered.get("variant", "")) == variant:
                return manifest
    return None


def _acceptable(node: Platform) -> list[tuple[str, str]]:
    """Architectures and variants that a node can run, the best first."""
    own = (node.architecture, _normal(node.architecture, node.variant))
    older = [("arm", f"v{number}") for number in (8, 7, 6, 5)]
    if node.architecture == "arm":
        return older[older.index(own) :]
    return [own, *older] if node.architecture == "arm64" else [own]


def _normal(architecture: str, variant: str) -> str:
    """Variants that mean the same as none given are the same (platforms.Normalize)."""
    if architecture == "arm":
        return variant or "v7"
    if (architecture, variant) in {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}:
        return ""
    return variant


def chain_id(diff_ids: Sequence[str]) -> str:
    """The name of layers on top of each other (OCI image-spec, config.md#layer-chainid)."""
    chain = ""
    for diff_id in diff_ids:
        chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}" if chain else diff_id
    return chain


def image_config(document: Mapping[str, Any]) -> ImageConfig:
    """The part of a config that says how to run it."""
    config = document.get("config") or {}
    return ImageConfig(
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        env=tuple(config.get("Env") or ()),
        working_dir=config.get("WorkingDir") or "",
        user=config.get("User") or "",
        stop_signal=config.get("StopSignal") or "",
    )
