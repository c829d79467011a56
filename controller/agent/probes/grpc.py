"""The gRPC Health Checking Protocol, as much of it as a probe needs, on a connection that is already there.

One call on one HTTP/2 connection: the settings are answered, one request is sent, and the message of its answer is read. What
the answer's headers say is not decoded: an answer without a message is a failure, whatever its status is. So a probe works in
any network namespace, which a gRPC library's own connections cannot be put into.

Source: github.com/grpc/grpc (doc/health-checking.md, doc/PROTOCOL-HTTP2.md), RFC 9113 (HTTP/2), RFC 7541 (HPACK).
"""

import asyncio
import struct
from typing import Final

from controller import __version__
from controller.agent.probes.outcome import Outcome
from controller.network.dial import Dialer

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
_ACK: Final = 0x1
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4
_STREAM: Final = 1
_MOST_FRAME: Final = 16384
"""Largest frame that a peer may send unless it is told otherwise, and more than any answer takes."""

_STATUSES: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_SERVING: Final = 1


class GrpcFailure(Exception):  # noqa: N818 - as the runtime's tree of words for what went wrong
    """The call did not work; `str()` of it says why."""


async def probe(dialer: Dialer, host: str, port: int, service: str, namespace: str = "") -> Outcome:
    """Ask for the health of a service; SERVING is success. The caller sets the deadline."""
    try:
        status = await check(dialer, host, port, service, namespace)
    except (OSError, GrpcFailure) as exc:
        return Outcome(ok=False, said=f"gRPC health check at {host}:{port}: {str(exc) or type(exc).__name__}")
    if status == _SERVING:
        return Outcome(ok=True)
    word = _STATUSES[status] if 0 <= status < len(_STATUSES) else str(status)
    return Outcome(ok=False, said=f'service unhealthy (responded with "{word}")')


async def check(dialer: Dialer, host: str, port: int, service: str, namespace: str = "") -> int:
    """The number of a `ServingStatus`.

    Raises:
        OSError: when there is no connection.
        GrpcFailure: when the call does not succeed.
    """
    link = await dialer.connect(host, port, namespace)
    try:
        reader, writer = await asyncio.open_connection(sock=link)
    except BaseException:
        link.close()
        raise
    try:
        writer.write(_PREFACE + _frame(_SETTINGS, 0, 0) + _call(f"{host}:{port}", service))
        message = await _message(reader, writer)
    except asyncio.IncompleteReadError as exc:
        raise GrpcFailure("the server closed the connection: is it one for gRPC?") from exc
    finally:
        writer.transport.abort()  # a close would wait for a server that reads nothing
    return _status(message)


async def _message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Read frames until the stream has ended; the one message that came."""
    data = bytearray()
    while True:
        kind, flags, stream, payload = await _read(reader)
        match kind:
            case _ if kind == _SETTINGS and not flags & _ACK:
                writer.write(_frame(_SETTINGS, _ACK, 0))
                await writer.drain()
            case _ if kind == _PING and not flags & _ACK:
                writer.write(_frame(_PING, _ACK, 0, payload))
                await writer.drain()
            case _ if kind == _GOAWAY or (kind == _RESET and stream == _STREAM):
                raise GrpcFailure("the server refused the call")
            case _ if kind == _DATA and stream == _STREAM:
                data += payload
        if len(data) > _MOST_FRAME:
            raise GrpcFailure("the answer cannot be read")
        if stream == _STREAM and kind in {_DATA, _HEADERS} and flags & _END_STREAM:
            break
    if len(data) < 5:
        raise GrpcFailure(
            "the server answered without a status: it does not implement grpc.health.v1.Health, or does not know the service"
        )
    compressed, length = struct.unpack_from(">BI", data)
    if compressed or len(data) != 5 + length:
        raise GrpcFailure("the answer cannot be read")
    return bytes(data[5:])


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    """One frame: its type, its flags, its stream, its payload."""
    head = await reader.readexactly(9)
    length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
    if length > _MOST_FRAME:
        raise GrpcFailure("the server does not speak HTTP/2 without TLS")
    return kind, flags, int.from_bytes(head[5:]) & 0x7FFFFFFF, await reader.readexactly(length)


def _call(authority: str, service: str) -> bytes:
    """The request: its headers, and a `HealthCheckRequest`."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
        "user-agent": f"kube-probe/moorage-{__version__}",
    }
    block = b"".join(b"\x00" + _string(name) + _string(value) for name, value in headers.items())
    name = service.encode()
    request = b"\x0a" + _varint(len(name)) + name if name else b""
    message = struct.pack(">BI", 0, len(request)) + request
    return _frame(_HEADERS, _END_HEADERS, _STREAM, block) + _frame(_DATA, _END_STREAM, _STREAM, message)


def _status(message: bytes) -> int:
    """Field 1 of a `HealthCheckResponse`; absent, it is 0."""
    if not message:
        return 0
    if message[0] != 0x08 or len(message) < 2:
        raise GrpcFailure("the answer cannot be read")
    return message[1] if message[1] < 0x80 else -1


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _string(text: str) -> bytes:
    """A string literal of HPACK, as it is; its length is a number with a prefix of seven bits."""
    data = text.encode()
    if len(data) < 127:
        return bytes((len(data),)) + data
    return b"\x7f" + _varint(len(data) - 127) + data


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first, as protobuf and HPACK both have it."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
