"""Images on the disk, and not only in the kernel's memory, before they count as present.

containerd brings blobs and its database to the disk, but not what it unpacks: after a loss of power, files of an image may be
empty that it says is unpacked. So the name of what is fetched gets a label with the id of the boot, the snapshotter's file
system is synced, and the label goes. With it an image is not on the node, unless its layers were synced before. One without it
is taken for whole, whoever has brought it.

What an earlier boot has unpacked and nobody synced belongs to no unlabelled image: to pulls that a loss of power interrupted.
It is removed before anything is pulled, since containerd would not unpack it again. So is what was unpacked before a sync that
failed: the kernel tells once of what it could not write, and the next sync would find nothing wrong (syncfs(2)).
"""

import asyncio
import errno
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from controller import kernel
from controller.runtime.containerd.about import snapshotter_roots
from controller.runtime.containerd.api import snapshots_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.evidence import boot_id
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.image.images import UNSYNCED, Images
from controller.runtime.containerd.image.layers import Layers, on_top_of
from controller.runtime.port import DiskFull, ImageFailure, NotFound, PullStalled, RuntimeFailure

log = logging.getLogger(__name__)

_LOST: Final = "lost-"
"""How the label begins of what the disk has failed to take; the time of that follows, in seconds since the epoch."""

SYNC_SECONDS: Final = 600.0
"""How long a disk may take; as unpacking, which writes as much."""


def unsynced_now() -> Mapping[str, str]:
    """The label of what is fetched now."""
    return {UNSYNCED: boot_id()}


class SyncedImages:
    """Brings images of one namespace to the disk."""

    def __init__(self, channel: Channel, snapshots: Snapshots, images: Images) -> None:
        self._channel, self._snapshots, self._images = channel, snapshots, images
        self._booted_at = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        self._layers = Layers(channel, snapshots)
        self._lost_at = 0.0
        """When the disk has last failed to take what was unpacked, in seconds since the epoch."""
        self._looked_for: float | None = None
        """Which such failure was the last one when what is doubtful was removed; None: it was not yet."""
        self._turn = asyncio.Lock()
        """Who looks removes nothing that a pull after another look has just unpacked."""
        self._busy: list[str] = []

    @contextmanager
    def busy(self, name: str) -> Iterator[float]:
        """While the block runs, this image is seen to by it, and not by `tidy`; yields when it began."""
        self._busy.append(name)
        try:
            yield time.time()
        finally:
            self._busy.remove(name)

    async def settle(self, name: str, since: float = 0.0) -> None:
        """Bring what was unpacked to the disk; then the image counts as present.

        Args:
            name: of the image.
            since: when it was begun to unpack. What the disk has lost after that may be of this image, whoever was told of it.

        Raises:
            ImageFailure: when the disk does not take it.
        """
        layers = await self._images.chain_id(await self._images.record(name))
        at = await self._images.unpacked_at(layers)
        if not self._images.trusts(layers, at):
            try:
                await self.to_disk(f"image {name}")
            finally:
                if lost := self._lost_at > since:
                    await self._images.set_label(name, UNSYNCED, f"{_LOST}{self._lost_at}")
            if lost:
                raise ImageFailure(
                    f"image {name} may lack a part on the node's disk, which has failed to take what was unpacked"
                )
            self._images.trust(layers, at)  # before the label goes: another pull of the same image may set it anew at any time
        await self._images.set_label(name, UNSYNCED, "")

    async def to_disk(self, what: str) -> None:
        """Bring all that was unpacked so far to the disk. Raises `ImageFailure`, which names `what`."""
        root = (await snapshotter_roots(self._channel)).get(self._snapshots.snapshotter, "")
        began = time.monotonic()
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                await asyncio.to_thread(sync, root)
        except TimeoutError as exc:
            raise PullStalled(f"{what} is not on the disk after {SYNC_SECONDS:g} s: is the node's disk overloaded?") from exc
        except OSError as exc:
            self._lost_at = time.time()
            kind = DiskFull if exc.errno in {errno.ENOSPC, errno.EDQUOT} else ImageFailure
            raise kind(f"{what} cannot be brought to the node's disk: {exc.strerror}") from exc
        log.info("%s is on the disk: that took %.3f s", what, time.monotonic() - began)

    async def tidy(self) -> None:
        """See to images that a process before this one was killed over. Those of an earlier boot have to be pulled again."""
        for image in await self._images.records():
            if image.labels.get(UNSYNCED) == boot_id() and image.name not in self._busy:
                with suppress(NotFound, ImageFailure):
                    await self.settle(image.name)

    async def drop_doubtful(self) -> None:
        """Remove what was unpacked before this boot, or before a sync failed, and is part of no image that was synced.

        Once, and after each such failure.
        """
        async with self._turn:
            lost = self._lost_at
            if self._looked_for == lost:
                return
            found = await self._snapshots.list()
            images = await self._images.records()
            tops = [await self._images.chain_id(image) for image in images if UNSYNCED not in image.labels]
            before = max(self._booted_at, lost, *(lost_at(image.labels.get(UNSYNCED, "")) for image in images))
            try:
                await self._layers.remove(doubtful(found, tops, before))
            except RuntimeFailure as exc:
                log.warning("what was unpacked, but may not be on the disk, cannot be removed: %s", exc)
            self._looked_for = lost


def sync(root: str) -> None:
    """Bring all of a file system to its disk (syncfs(2)); of all there are, where it cannot be seen from here (sync(2)).

    Raises:
        OSError: when the disk does not take it.
    """
    if not root or not Path(root).is_dir():
        os.sync()
        return
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        kernel.call("syncfs", folder)
    finally:
        os.close(folder)


def lost_at(label: str) -> float:
    """When the disk has failed to take an image, in seconds since the epoch, by the image's label; 0 when it has not."""
    with suppress(ValueError):
        return float(label.removeprefix(_LOST)) if label.startswith(_LOST) else 0.0
    return 0.0


def doubtful(found: Mapping[str, snapshots_pb2.Info], tops: list[str], before: float) -> tuple[str, ...]:
    """What was unpacked before a time and is part of no image with one of these tops; each before what it lies on.

    What has anything on it that is not as doubtful itself is left out: somebody uses it.
    """
    trusted: set[str] = set()
    for top in tops:
        while top in found and top not in trusted:
            trusted.add(top)
            top = found[top].parent  # noqa: PLW2901 - a walk
    old = {
        key
        for key, info in found.items()
        if info.kind == snapshots_pb2.COMMITTED and key not in trusted and info.created_at.ToNanoseconds() < before * 1e9
    }
    return tuple(key for key in on_top_of(old, found) if set(on_top_of([key], found)) <= old)
