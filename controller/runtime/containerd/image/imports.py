"""Importing archives with containerd's transfer service, which unpacks the file itself, also by gzip and zstd.

containerd names what it imports by annotations that it takes as they are. So it imports without names: the archive's index gets
one for as long as the call lasts, its entries are read, and names are given to what is whole then. All of it is held by a lease
meanwhile; when the import fails, index and lease go, and containerd collects at once what had come, also what had come in part:
the next import would go on with that, whatever file it is of.
"""

import asyncio
from collections.abc import Sequence
from typing import IO, Final

from controller.runtime import archives
from controller.runtime.archives import Named
from controller.runtime.containerd import methods
from controller.runtime.containerd.api import images_pb2, leases_pb2
from controller.runtime.containerd.api.images_pb2 import Image
from controller.runtime.containerd.api.transfer_types_pb2 import Data, ImageImportStream, WindowUpdate
from controller.runtime.containerd.api.types_pb2 import Descriptor
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.image.content import ContentReader
from controller.runtime.containerd.image.images import Images, LocalImage
from controller.runtime.containerd.image.import_failures import import_failure
from controller.runtime.containerd.image.passing import passing, passing_labels
from controller.runtime.containerd.image.progress import Progressed
from controller.runtime.containerd.image.pull import unpacked_store
from controller.runtime.containerd.image.streams import Stream, opened
from controller.runtime.containerd.image.synced import SyncedImages
from controller.runtime.containerd.image.transfer import SETTLE_SECONDS, Silent, Transfer
from controller.runtime.containerd.leases import lease
from controller.runtime.platforms import NOTHING, node_platform, runs
from controller.runtime.port import ImageFailure, NotFound, PlatformMissing, PullProgress, PullStalled, RuntimeFailure

LEASE_SECONDS: Final = 24 * 3600.0
"""How long what an import has brought stays at most, should its maker have been killed."""

_READ: Final = 1 << 20
"""Bytes that are read of a file at once."""

_SENT: Final = 32 << 10
"""Bytes of a message, as containerd's own client has it: of its window of 64 kB another part can be under way."""


class Importer:
    """Imports archives into one namespace."""

    def __init__(self, channel: Channel, images: Images, synced: SyncedImages, snapshotter: str, silence: float) -> None:
        """Take the settings.

        Args:
            channel: the connection.
            images: those that are on the node.
            synced: brings what is unpacked to the disk, before anything gets a name.
            snapshotter: what to unpack with.
            silence: seconds without any progress after which an import is given up.
        """
        self._channel = channel
        self._images = images
        self._synced = synced
        self._snapshotter = snapshotter
        self._silence = silence
        self._contents = ContentReader(channel)

    async def load(self, path: str, name: str, progress: Progressed | None) -> tuple[LocalImage, ...]:
        """Import an archive.

        Args:
            path: of the file.
            name: normalised, for the one image that is in it; empty: as they are called there.
            progress: is told the bytes of the file.

        Raises:
            ImageFailure: the one that fits; nothing of the archive is on the node then.
            Unavailable: when containerd went away.
        """
        await self._synced.drop_doubtful()
        async with lease(self._channel, LEASE_SECONDS, swept=True) as held, passing(self._channel) as index_name:
            try:
                await _Sending(self._channel, path, progress, self._silence, held).run(index_name, self._snapshotter)
                index = await self._channel.call(methods.GET_IMAGE, images_pb2.GetImageRequest(name=index_name))
                document, _ = await self._contents.document(index.image.target.digest, path)
            except ImageFailure:
                raise
            except RuntimeFailure as failure:
                raise await asyncio.to_thread(import_failure, failure, path, name) from failure
            await self._synced.to_disk(f"archive {path}")
            found = archives.images_of(document.get("manifests", ()), name, node_platform(), path)
            return await self._named(found, path, name)

    async def _named(self, found: Sequence[Named], path: str, name: str) -> tuple[LocalImage, ...]:
        """Give names to images, when all of them are whole."""
        records = [Image(name=one.name, target=_target(one)) for one in found]
        for record in records:
            await self._check(record, path, name)
        for record in records:
            await self._images.set_name(record.name, record.target)
        return tuple([await self._images.get(record.name) for record in records])

    async def _check(self, record: Image, path: str, name: str) -> None:
        try:
            platform = (await self._contents.contents(record.target, record.name)).platform
            if platform == NOTHING or runs(platform, node_platform()):
                await self._images.complete(record)
                return
        except NotFound as failure:
            raise await asyncio.to_thread(import_failure, failure, path, name) from failure
        except ImageFailure as failure:
            raise type(failure)(f"archive {path}: {failure}") from failure
        raise PlatformMissing(
            f"archive {path}: image {record.name} has nothing for this node's platform {node_platform()}; it has {platform}"
        )


def _target(named: Named) -> Descriptor:
    entry = named.entry
    return Descriptor(media_type=entry.get("mediaType", ""), digest=entry.get("digest", ""), size=entry.get("size", 0))


class _Sending:
    """One file on its way into containerd."""

    def __init__(self, channel: Channel, path: str, progress: Progressed | None, silence: float, held: str) -> None:
        self._channel = channel
        self._path = path
        self._progress = progress
        self._silence = silence
        self._lease = held
        self._sent = False
        """All of the file has gone."""
        self._leased = 0
        self._transfer = Transfer(channel, self._patience, take=lambda message: True, looked=self._looked)  # noqa: ARG005

    async def run(self, name: str, snapshotter: str) -> None:
        """Send it; the index that is in it gets a name.

        Raises:
            ImageFailure: when it cannot be read, or nothing goes on.
            RuntimeFailure: as containerd tells it.
        """
        with await asyncio.to_thread(archives.open_archive, self._path) as file:
            async with opened(self._channel, "import") as stream:
                sending = asyncio.create_task(self._send(file, stream))
                try:
                    await self._import(stream, name, snapshotter)
                except RuntimeFailure:
                    if sending.done() and (failed := sending.exception()):
                        raise failed from None  # what containerd says of a file that ends in its middle
                    raise
                finally:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)

    async def _import(self, stream: Stream, name: str, snapshotter: str) -> None:
        store = unpacked_store(name, snapshotter, passing_labels())
        try:
            await self._transfer.run(ImageImportStream(stream=stream.name), store, lease=self._lease)
        except Silent as silent:
            raise PullStalled(
                f"archive {self._path}: "
                + (
                    f"unpacking has not gone on for {silent.seconds:g} s: is the node's disk overloaded?"
                    if self._sent
                    else f"containerd has taken nothing more of it for {silent.seconds:g} s"
                )
            ) from silent

    async def _send(self, file: IO[bytes], stream: Stream) -> None:
        """Send as much as containerd has room for, until it has all or wants no more."""
        try:
            total = await asyncio.to_thread(file.seek, 0, 2)
            await asyncio.to_thread(file.seek, 0)
            done = room = 0
            while data := await asyncio.to_thread(file.read, _READ):
                rest = memoryview(data)
                while rest:
                    if not room:
                        message = await stream.read()
                        if message is None:
                            return
                        room = WindowUpdate.FromString(message.value).update
                    part = rest[: min(room, _SENT)]
                    if not await stream.write(Data(data=bytes(part))):
                        return
                    room -= len(part)
                    rest = rest[len(part) :]
                    self._transfer.moved()
                done += len(data)
                if self._progress:
                    self._progress(PullProgress(done, total))
            self._sent = True
        except OSError as exc:
            raise ImageFailure(f"archive {self._path} cannot be read: {exc.strerror}") from exc
        finally:
            await stream.end()

    def _patience(self) -> float:
        return SETTLE_SECONDS if self._sent else self._silence

    async def _looked(self) -> bool:
        """Whether anything came into being since the last look: while it unpacks, containerd tells nothing."""
        if not self._sent:
            return False
        request = leases_pb2.ListResourcesRequest(id=self._lease)
        before, self._leased = self._leased, len((await self._channel.call(methods.LIST_LEASED, request)).resources)
        return self._leased != before
