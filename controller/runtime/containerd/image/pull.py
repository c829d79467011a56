"""Pulling images with containerd's transfer service, which resolves, fetches and unpacks.

A pull may take as long as it likes while anything comes. After some silence it is tried once more by connections of its own
making, since a connection can be dead without either end knowing; only what stays silent then, too, has stalled. A slow line
is not taken for a dead one: what came of a layer is seen in pieces of 1 MiB, but when a try ends, all of it is written.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from controller.runtime.containerd.api import transfer_types_pb2
from controller.runtime.containerd.api.types_pb2 import Platform
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.image.content import ContentReader, listed
from controller.runtime.containerd.image.failures import INGEST, image_failure, not_found
from controller.runtime.containerd.image.hosts import fault
from controller.runtime.containerd.image.kept import KEEP_SECONDS, KeptParts, LeaseEnded
from controller.runtime.containerd.image.progress import Progressed, Tally, Told
from controller.runtime.containerd.image.registry import default_scheme, registry
from controller.runtime.containerd.image.repository import has_repository
from controller.runtime.containerd.image.synced import unsynced_now
from controller.runtime.containerd.image.transfer import SETTLE_SECONDS, Silent, Transfer
from controller.runtime.platforms import node_platform
from controller.runtime.port import (
    Credential,
    DiskFull,
    ImageDamaged,
    ImageFailure,
    ImageNotFound,
    PlatformMissing,
    PullStalled,
    RuntimeFailure,
)
from controller.runtime.reference import Reference

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be fetched."""

    reference: Reference
    """Where from, and the name that it has on the node then."""
    credential: Credential | None = None
    """What the registry is shown when it asks."""
    digest: str = ""
    """Of the image, whatever the tag means by now; empty: what it means."""
    unpack: bool = True
    """If not, all layers are fetched; with it, those that are unpacked already are passed over."""

    @property
    def name(self) -> str:
        """The image's name on the node."""
        return str(self.reference)

    @property
    def exact(self) -> Reference:
        """What the registry is asked for."""
        return replace(self.reference, digest=self.digest) if self.digest else self.reference


class Puller:
    """Pulls images of one namespace."""

    def __init__(self, channel: Channel, snapshotter: str, hosts_dir: str, silence: float) -> None:
        """Take the settings.

        Args:
            channel: the connection.
            snapshotter: what to unpack with.
            hosts_dir: folder with a hosts.toml for each registry that needs one (containerd's docs/hosts.md).
            silence: seconds without any progress after which a pull is given up.
        """
        self._channel = channel
        self._snapshotter = snapshotter
        self._hosts_dir = hosts_dir
        self._silence = silence
        self._kept = KeptParts(channel)
        self._contents = ContentReader(channel)
        self._under_way: list[str] = []
        self._resolved: dict[str, str] = {}
        """What the names stand for whose last pull failed, as far as the registry told."""

    async def pull(self, order: Order, progress: Progressed | None) -> None:
        """Fetch and unpack an image; what a failed try has fetched is kept for the next one.

        Raises:
            ImageFailure: the one that fits.
            Unavailable: when containerd went away.
        """
        with self._busy(order.name):
            lease, continued = await self._kept.hold(order.name)
            tally = Tally(await self._kept.ingested() if continued else {})
            try:
                await self._fetch(order, lease, tally, progress)
            except RuntimeFailure as failure:
                self._resolved[order.name] = tally.index
                await self._after(order.name, failure, tally, continued=continued)
                raise
            await self._release(order.name)

    def resolved(self, name: str) -> str:
        """Digest of what a name stands for whose pull has just failed; empty when the registry did not tell."""
        return self._resolved.pop(name, "")

    async def tidy(self) -> None:
        """End what was kept for pulls that nobody has begun anew for a day."""
        await self.discard(KEEP_SECONDS, wait=False)

    async def discard(self, age: float, *, wait: bool = True) -> int:
        """End what was kept, for so many seconds or longer, for pulls that are not under way; how many there were.

        `wait`: return when that room is free.
        """
        return await self._kept.end_older(age, frozenset(self._under_way), wait=wait)

    @contextmanager
    def _busy(self, reference: str) -> Iterator[None]:
        self._under_way.append(reference)
        try:
            yield
        finally:
            self._under_way.remove(reference)

    async def _release(self, reference: str, *, wait: bool = False) -> None:
        """Keep nothing any more, unless another pull of the same image still needs it.

        `wait`: what is told next is how much room there is, and what came of this image is not to be counted in.
        """
        if self._under_way.count(reference) == 1:
            await self._kept.release(reference, wait=wait)

    async def _after(self, reference: str, failure: RuntimeFailure, tally: Tally, *, continued: bool) -> None:
        """Keep what is of use to the next try, and nothing else. That it cannot be done now is not told: the failure is."""
        try:
            if isinstance(failure, ImageDamaged) and (named := INGEST.search(str(failure.__cause__))):
                await self._kept.discard(named["ref"])
            of_use = tally.layers or continued
            if isinstance(failure, DiskFull | PlatformMissing) or not of_use:
                await self._release(reference, wait=isinstance(failure, DiskFull))
        except RuntimeFailure as exc:
            log.debug("what was fetched of %s stays as it is: %s", reference, exc)

    async def _fetch(self, order: Order, lease: str, tally: Tally, progress: Progressed | None) -> None:
        """Try, and once more after a silence, for as long as that brings anything."""
        while True:
            moves = tally.moves
            try:
                await self._try(order, lease, tally, progress)
            except LeaseEnded:
                await self._kept.hold(order.name)  # another process has pulled the same image meanwhile
            except PullStalled as stalled:
                if tally.moves == moves or tally.complete:
                    raise PullStalled(f"registry {order.reference.domain}, image {order.name}: {stalled}") from stalled
                log.info("pulling %s: nothing came for %.0f s, trying by new connections", order.name, self._silence / 2)
            else:
                return

    async def _try(self, order: Order, lease: str, tally: Tally, progress: Progressed | None) -> None:
        def patience() -> float:
            return SETTLE_SECONDS if tally.complete else self._silence / 2

        transfer = Transfer(self._channel, patience, take=Told(tally, progress).take)
        try:
            async with registry(self._channel, order.exact, order.credential, self._hosts_dir) as source:
                store = unpacked_store(order.name, self._snapshotter, unsynced_now())
                if not order.unpack:
                    del store.unpacks[:]
                await transfer.run(source, store, lease=lease)
        except Silent as silent:
            raise PullStalled(
                f"unpacking has not gone on for {silent.seconds:g} s: is the node's disk overloaded?"
                if tally.complete
                else f"nothing was received for {self._silence:g} s: what is there already is kept"
            ) from silent
        except RuntimeFailure as failure:
            raise await self._explained(failure, order, tally) from failure

    async def _explained(self, failure: RuntimeFailure, order: Order, tally: Tally) -> RuntimeFailure:
        """What a failure means, with what is wrong with the registry's configuration, which may be its cause."""
        if LeaseEnded.is_meant(failure):
            return LeaseEnded(str(failure))
        meant = await self._meant(failure, order, tally)
        wrong = await asyncio.to_thread(fault, self._hosts_dir, order.reference.domain)
        return type(meant)(f"{meant}; {wrong}") if wrong and isinstance(meant, ImageFailure) else meant

    async def _meant(self, failure: RuntimeFailure, order: Order, tally: Tally) -> RuntimeFailure:
        """What a failure means, with what only further questions tell."""
        asked = order.reference  # without the digest of an image that may be on the node: it is nobody's who was not let in
        meant = image_failure(failure, asked, shown=order.credential is not None)
        if isinstance(meant, PlatformMissing):
            with suppress(RuntimeFailure):
                offered = await self._contents.platforms(tally.index, order.name)
                return PlatformMissing(f"{meant}; it has {listed(offered)}")
        if isinstance(meant, ImageNotFound) and not tally.index:
            return not_found(asked, await has_repository(asked, default_scheme(asked.domain), self._hosts_dir))
        return meant


def unpacked_store(name: str, snapshotter: str, labels: Mapping[str, str] | None = None) -> transfer_types_pb2.ImageStore:
    """Where an image goes by a name: to the node, with what this node needs of it, unpacked."""
    own = node_platform()
    platform = Platform(os=own.os, architecture=own.architecture, variant=own.variant)
    unpack = transfer_types_pb2.UnpackConfiguration(platform=platform, snapshotter=snapshotter)
    return transfer_types_pb2.ImageStore(name=name, labels=labels, platforms=[platform], unpacks=[unpack])
