"""Reading all of an image that is on the node: blobs against their digests, layers against what they were unpacked to.

containerd computes a digest when a blob comes, and never again; of unpacked files it keeps none at all. So what a failing disk
or a loss of power has done to them shows in containers that do not start, and is found here.
"""

import asyncio
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.image import unpacked
from controller.runtime.containerd.image.blobs import Blobs, BlobStream
from controller.runtime.containerd.image.content import chain_id
from controller.runtime.containerd.image.images import Images
from controller.runtime.containerd.image.rootfs import layer_folders
from controller.runtime.platforms import choose, node_platform
from controller.runtime.port import Damage, DamageKind, NotFound, RuntimeFailure, Unavailable, Unsupported

R = TypeVar("R")

_MOST_BYTES: Final = 8 << 20
"""A manifest or config larger than this is no such thing."""

_DEPTH: Final = 3
"""How far an index may lead to another."""

MOST_FILES: Final = 20
"""Damaged files of one layer that are named; a layer that is lost has thousands."""


@dataclass(frozen=True, slots=True)
class Part:
    """A blob as another one names it."""

    digest: str
    size: int
    """Bytes; below 0 when that is not known."""
    kind: str
    """In words."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """A layer, and what it was unpacked to."""

    part: Part
    chain: str
    """Digest of all layers up to it."""
    folder: str = ""
    """With its files; empty when they cannot be looked at."""


class Verifier:
    """Reads the images of one namespace."""

    def __init__(self, channel: Channel, snapshots: Snapshots, images: Images) -> None:
        self._snapshots, self._images = snapshots, images
        self._blobs = Blobs(channel)

    async def verify(self, name: str) -> tuple[Damage, ...]:
        """See `Runtime.verify`; by the image's normalised name."""
        target = (await self._images.record(name)).target
        damage = await self.look(Part(target.digest, target.size, "index or manifest"))
        if damage and (await self._images.record(name)).target.digest != target.digest:
            return await self.verify(name)  # another has taken its place, and parts of this one may be gone for that
        return damage

    async def lacks_layers(self, name: str) -> bool:
        """Whether an image that can be run lacks a layer as it was fetched: it cannot be unpacked anew, or given to others."""
        layers = (await self._images.get(name)).contents.layers
        return not all([await self._blobs.exists(layer) for layer in layers])

    async def knows(self, digest: str) -> bool:
        """Whether containerd has a name for a blob, damaged as it may be."""
        return await self._blobs.exists(digest)

    async def look(self, target: Part) -> tuple[Damage, ...]:
        """All that is damaged of what a name points at.

        Raises:
            Unavailable: when containerd could not be asked.
        """
        part = target
        for _ in range(_DEPTH):
            document, damage = await self._document(part)
            if document is None:
                return damage
            if "manifests" not in document:
                return await self._manifest(document)
            chosen = choose(document["manifests"], node_platform())
            if chosen is None:
                return ()  # nothing of it is for this node
            part = Part(chosen["digest"], chosen.get("size", -1), "manifest")
        return ()

    async def _manifest(self, manifest: Mapping[str, Any]) -> tuple[Damage, ...]:
        if "config" not in manifest:
            return ()  # nothing that could be run
        config = manifest["config"]
        document, damage = await self._document(Part(config["digest"], config.get("size", -1), "config"))
        layers = [Part(layer["digest"], layer.get("size", -1), "layer") for layer in manifest.get("layers", ())]
        if document is None:
            for part in layers:
                damage += await self._layer(_Layer(part, ""))
            return damage
        diff_ids = (document.get("rootfs") or {}).get("diff_ids") or ()
        chains = [chain_id(diff_ids[: count + 1]) for count in range(len(diff_ids))]
        damage += await self._missing(chains)
        folders = await self._folders(chains) if not damage else [""] * len(layers)
        for part, chain, folder in zip(layers, chains, folders, strict=False):
            damage += await self._layer(_Layer(part, chain, folder))
        return damage

    async def _document(self, part: Part) -> tuple[dict[str, Any] | None, tuple[Damage, ...]]:
        """Index, manifest or config; None with what is wrong when it is damaged."""
        stream = self._blobs.stream(part.digest)

        def read() -> bytes:
            return io.BufferedReader(stream).read(_MOST_BYTES)

        try:
            data = await _in_thread(stream, read)
        except RuntimeFailure as failure:
            return None, (_unread(part, failure),)
        damage = _changed(part, stream)
        if damage:
            return None, damage
        with suppress(ValueError):
            document = json.loads(data)
            if isinstance(document, dict):
                return document, ()
        return None, (_damaged(part, "is no JSON object"),)

    async def _layer(self, layer: _Layer) -> tuple[Damage, ...]:
        """A blob; and, if it is whole, what it was unpacked to."""
        stream = self._blobs.stream(layer.part.digest)
        try:
            wrong = await _in_thread(stream, lambda: _compared(stream, layer.folder))
        except RuntimeFailure as failure:
            return (_unread(layer.part, failure),)
        damage = _changed(layer.part, stream)
        if layer.folder and not Path(layer.folder).is_dir():
            gone = f"the files of layer {layer.part.digest} are gone"
            return (*damage, Damage(DamageKind.SNAPSHOT, layer.chain, gone))
        if damage or not wrong:
            return damage
        told = [f"file /{path} {what}" for path, what in list(wrong.items())[:MOST_FILES]]
        if len(wrong) > MOST_FILES:
            told.append(f"{len(wrong) - MOST_FILES} more files are damaged")
        return tuple(Damage(DamageKind.FILE, layer.chain, f"{text} (layer {layer.part.digest})") for text in told)

    async def _missing(self, chains: Sequence[str]) -> tuple[Damage, ...]:
        """The lowest layer that is not unpacked; those above it cannot be then."""
        for number, chain in enumerate(chains, 1):
            if not await self._snapshots.made_at(chain):
                told = f"layer {number} of {len(chains)} is not unpacked"
                return (Damage(DamageKind.SNAPSHOT, chain, told),)
        return ()

    async def _folders(self, chains: Sequence[str]) -> Sequence[str]:
        """The folder of each layer; empty where there is none that could be looked at."""
        unknown = [""] * len(chains)
        if not chains:
            return unknown
        try:
            async with self._snapshots.view(chains[-1]) as mounts:
                folders = layer_folders(mounts)[::-1]
        except (Unsupported, NotFound):
            return unknown
        # Of some snapshotters one folder has all layers, and a pod may not see where these are (two levels above).
        visible = len(folders) == len(chains) and Path(folders[0]).parents[1].is_dir()
        return folders if visible else unknown


def _compared(stream: BlobStream, folder: str) -> Mapping[str, str]:
    """Read a layer to its end, and compare it with its files on the way; runs in a thread."""
    wrong: Mapping[str, str] = {}
    reader = io.BufferedReader(stream, 1 << 20)
    if folder and unpacked.comparable(reader):
        try:
            wrong = unpacked.differences(reader, folder)
        except unpacked.UNREADABLE:
            pass  # its digest tells
        except OSError as exc:
            wrong = {"": f"cannot be looked at: {exc.strerror}"}
    stream.drain()
    return wrong


async def _in_thread(stream: BlobStream, work: Callable[[], R]) -> R:
    try:
        return await asyncio.to_thread(work)
    finally:
        stream.give_up()


def _changed(part: Part, stream: BlobStream) -> tuple[Damage, ...]:
    if stream.digest == part.digest:
        return ()
    if 0 <= part.size != stream.size:
        return (_damaged(part, f"is {stream.size} bytes long in place of {part.size}"),)
    return (_damaged(part, "has another content than its digest says"),)


def _unread(part: Part, failure: RuntimeFailure) -> Damage:
    """What is wrong with a blob that cannot be read. Raises `Unavailable` when that says nothing of it."""
    if isinstance(failure, Unavailable):
        raise failure
    return _damaged(part, "is missing" if isinstance(failure, NotFound) else f"cannot be read: {failure}")


def _damaged(part: Part, what: str) -> Damage:
    return Damage(DamageKind.BLOB, part.digest, f"{part.kind} {part.digest} {what}")
