"""The connection to containerd: built in one place, and the one place that calls through it.

Every call gets containerd's namespace as metadata, a deadline, and its errors in the words of the port. Calls fail at once
while containerd is away (no waiting for it to be ready), and the connection comes back within a second of containerd itself:
gRPC's own waits between two tries grow to two minutes, which suits the internet and not a socket on the same machine.

HTTP/2 keepalive is left off: containerd's server has grpc-go's default policy, which closes connections that ping more often
than every five minutes. A peer that is stuck shows by the deadline of each call; the event stream, which may be silent for
long, is watched end to end instead (see events.py).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from controller.runtime.containerd.errors import translate
from controller.runtime.containerd.methods import Duplex, Streamed, Unary
from controller.runtime.port import Unavailable

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)

MESSAGE_BYTES: Final = 16 << 20
"""Largest message, as containerd's own client has it; a list of a thousand containers takes about 15 MB."""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 * MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # The socket's path is no host name; containerd ignores it.
    ("grpc.default_authority", "localhost"),
)


class Channel:
    """A connection in one of containerd's namespaces."""

    def __init__(self, address: str, namespace: str) -> None:
        """Prepare it; nothing is connected before the first call, which must be made in the loop of all others.

        Args:
            address: path of containerd's socket.
            namespace: containerd's own kind of namespace, which keeps users of one containerd apart.
        """
        self.address = address
        self.namespace = namespace
        self._metadata = (("containerd-namespace", namespace),)
        self._channel: grpc.aio.Channel | None = None
        self._callables: dict[str, Any] = {}
        self._closed = False

    async def call(self, method: Unary[Q, R], request: Q, *, lease: str = "", seconds: float = 0.0) -> R:
        """Call an RPC with one answer.

        Args:
            method: the RPC.
            request: its argument.
            lease: id of the lease that shall hold what the call makes.
            seconds: deadline, in place of the method's own.

        Raises:
            RuntimeFailure: the one of the port's tree that fits.
        """
        invoke = self._callables.get(method.path) or self._open(method)
        metadata = (*self._metadata, ("containerd-lease", lease)) if lease else self._metadata
        try:
            answer: R = await invoke(request, metadata=metadata, timeout=seconds or method.seconds)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        return answer

    async def stream(self, method: Streamed[Q, R], request: Q) -> AsyncIterator[R]:
        """Call an RPC with a stream of answers; ends when the server ends it. Errors as for `call`."""
        answers = self.subscribe(method, request)
        try:
            async for answer in answers:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        finally:
            answers.cancel()

    def subscribe(self, method: Streamed[Q, R], request: Q) -> "grpc.aio.UnaryStreamCall[Q, R]":
        """Call an RPC with a stream of answers, to be read and cancelled by the caller. Errors are gRPC's own."""
        invoke = self._callables.get(method.path) or self._open(method)
        call: grpc.aio.UnaryStreamCall[Q, R] = invoke(request, metadata=self._metadata, timeout=method.seconds)
        return call

    def duplex(self, method: Duplex[Q, R]) -> "grpc.aio.StreamStreamCall[Q, R]":
        """Open an RPC with streams in both directions. Errors are gRPC's own."""
        invoke = self._callables.get(method.path) or self._open(method)
        call: grpc.aio.StreamStreamCall[Q, R] = invoke(metadata=self._metadata, timeout=method.seconds)
        return call

    def _open(self, method: Unary[Q, R] | Streamed[Q, R] | Duplex[Q, R]) -> Any:
        if self._closed:
            raise Unavailable("the connection to containerd is closed")
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(f"unix://{self.address}", options=_OPTIONS)
        kinds: dict[type, Any] = {
            Unary: self._channel.unary_unary,
            Streamed: self._channel.unary_stream,
            Duplex: self._channel.stream_stream,
        }
        invoke = kinds[type(method)](
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.answer.FromString,
        )
        self._callables[method.path] = invoke
        return invoke

    async def close(self) -> None:
        """Close the connection; calls that are under way end with an error."""
        self._closed = True
        self._callables.clear()
        channel, self._channel = self._channel, None
        if channel is not None:
            await asyncio.shield(channel.close())
