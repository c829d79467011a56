"""Blobs of containerd's content store, read to their end: in the loop, or by a thread that digests them on the way.

A blob may be of any size, so it is read in pieces, each with a deadline of its own.
"""

import asyncio
import hashlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from controller.runtime.containerd import methods
from controller.runtime.containerd.api.content_pb2 import InfoRequest, ReadContentRequest
from controller.runtime.containerd.channel import Channel
from controller.runtime.port import NotFound

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE_BYTES: Final = 4 << 20


class Blobs:
    """Blobs of one namespace."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def exists(self, digest: str) -> bool:
        """Whether containerd knows of it; its file may be damaged all the same."""
        try:
            await self._channel.call(methods.CONTENT_INFO, InfoRequest(digest=digest))
        except NotFound:
            return False
        return True

    async def piece(self, digest: str, offset: int) -> bytes:
        """A piece of a blob; nothing at its end.

        Raises:
            NotFound: when there is no such blob.
            RuntimeFailure: when it cannot be read.
        """
        data = bytearray()
        request = ReadContentRequest(digest=digest, offset=offset, size=PIECE_BYTES)
        async for part in self._channel.stream(methods.READ_CONTENT, request):
            data += part.data
        return bytes(data)

    def stream(self, digest: str) -> "BlobStream":
        """A blob, to be read by a thread while the loop of this call turns."""
        loop = asyncio.get_running_loop()

        def piece(offset: int) -> bytes:
            return asyncio.run_coroutine_threadsafe(self.piece(digest, offset), loop).result()

        return BlobStream(digest, piece)


class BlobStream(io.RawIOBase):
    """A blob as a file that can be read once, front to back. Errors are those of `Blobs.piece`."""

    def __init__(self, digest: str, piece: Callable[[int], bytes]) -> None:
        super().__init__()
        self._algorithm = digest.partition(":")[0]
        self._hash = hashlib.new(self._algorithm)
        self._piece, self._data = piece, memoryview(b"")
        self._given_up = False
        self.size = 0
        """Bytes that were read of it so far, from containerd."""

    @property
    def digest(self) -> str:
        """Of those bytes."""
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read what there is; 0 at the end."""
        if not self._data:
            if self._given_up:
                raise BrokenPipeError("nobody waits for it any more")
            data = self._piece(self.size)
            self._hash.update(data)
            self.size += len(data)
            self._data = memoryview(data)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._data))
        target[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def drain(self) -> None:
        """Read the rest."""
        while self.readinto(bytearray(PIECE_BYTES)):
            pass

    def give_up(self) -> None:
        """Whoever waited for it does so no more: the thread that reads it ends."""
        self._given_up = True
