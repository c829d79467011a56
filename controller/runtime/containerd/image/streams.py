"""Streams that a transfer refers to by name: of its progress, of credentials, of the bytes of an archive.

A stream is opened before the transfer and lasts as long as the block that opened it. Source: containerd's core/streaming.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from controller.runtime.containerd import methods
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.errors import translate
from controller.runtime.port import Unavailable


class Stream:
    """An open stream."""

    def __init__(self, name: str, call: "grpc.aio.StreamStreamCall[Any, Any]") -> None:
        self.name = name
        self._call = call

    async def read(self) -> Any | None:
        """The next message; None at the end. A stream that breaks has ended: why is told by the transfer, which fails too."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError:
            return None
        return message if isinstance(message, Any) else None

    async def write(self, message: Message) -> bool:
        """Send a message; returns False when nobody takes any more."""
        try:
            await self._call.write(pack(message))
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            return False
        return True

    async def end(self) -> None:
        """Tell that no more messages come, if anybody still reads them."""
        with suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            await self._call.done_writing()


@asynccontextmanager
async def opened(channel: Channel, purpose: str) -> AsyncIterator[Stream]:
    """A stream for as long as the block runs. Raises `Unavailable` when containerd opens none.

    Args:
        channel: the connection.
        purpose: a word for its name.
    """
    call = channel.duplex(methods.STREAM)
    stream = Stream(f"moorage-{purpose}-{secrets.token_hex(8)}", call)
    try:
        try:
            await call.write(pack(methods.STREAM_INIT(id=stream.name)))
            confirmed = await call.read()  # containerd confirms that the stream can be referred to
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        if not isinstance(confirmed, Any):
            raise Unavailable("containerd ended a stream as soon as it was opened")
        yield stream
    finally:
        call.cancel()


def pack(message: Message) -> Any:
    """Pack a message: containerd takes the bare full name as type URL, without a host."""
    return Any(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())
