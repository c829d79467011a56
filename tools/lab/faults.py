"""A registry that misbehaves: a proxy in front of a real one, which counts what it serves and does wrong what it is told to.

    with FaultyRegistry(registry.host) as faulty:
        await runtime.pull(f"{faulty.host}/busybox:1")        # passes everything through
        print(faulty.served("/blobs/"))                       # bytes of bodies that were sent for blobs

        faulty.faults = [Fault("GET .*/blobs/", cut_after=100_000, times=1)]       # a connection that breaks, once
        faulty.faults = [Fault("/manifests/", status=429, headers={"Retry-After": "1"})]
        faulty.faults = [Fault("GET .*/blobs/", corrupt=True)]                     # lies about a digest
        faulty.faults = [Fault("GET .*/blobs/", stall_after=0)]                    # takes the request and says nothing
        faulty.faults = [Fault(ranges=False)]                                      # knows no ranges
        faulty.bytes_per_second = 1_000_000                                        # over all connections together

A request is "METHOD path"; the first fault whose `on` is found in it (a regular expression) hits, unless it has hit `times`
requests already. Faults may be changed while it runs, also under the requests that are under way: those see the new pace, and
`release()` lets go of what stalls. With `tls` (tools/lab/authority.py) it speaks HTTPS.

Each connection carries one request. What was sent may not all have been received when a connection breaks: the kernel buffers
some MB of it for a reader that is slower. Whoever counts what is fetched twice sets a pace that the reader can keep up with:
then `served` is off by some 100 kB at most for each connection.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

CHUNK = 64 * 1024
BUFFER = 64 * 1024
HEAD_BYTES = 64 * 1024


@dataclass
class Fault:
    """What goes wrong, and with which requests."""

    on: str = ""
    """Regular expression, searched in "METHOD path"; empty: every request."""
    times: int | None = None
    """How many requests it hits; None: all."""
    status: int = 0
    """Answered in place of the registry; 0: the registry answers."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of that answer."""
    body: bytes = b""
    """Of that answer."""
    cut_after: int | None = None
    """Bytes of the body after which the connection is reset."""
    stall_after: int | None = None
    """Bytes of the body after which nothing more is sent; 0: not even the answer's head."""
    corrupt: bool = False
    """The first byte of the body is another one."""
    ranges: bool = True
    """False: a wish for a part is passed over, and the whole is sent."""
    hits: int = 0
    """How many requests it has hit."""

    def takes(self, request: str) -> bool:
        """Whether it hits this request; then it has."""
        if (self.times is not None and self.hits >= self.times) or not re.search(self.on, request):
            return False
        self.hits += 1
        return True


@dataclass
class Request:
    """A request as it was served."""

    method: str
    path: str
    range: str = ""
    """Its header of that name."""
    status: int = 0
    sent: int = 0
    """Bytes of the body that were sent."""
    at: float = 0.0
    """When it came, in seconds since the epoch."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class FaultyRegistry:
    """Runs in a thread of its own, so that it serves tests with and without an event loop."""

    def __init__(self, upstream: str, *, tls: ssl.SSLContext | None = None, port: int = 0, bytes_per_second: int = 0) -> None:
        """Prepare it.

        Args:
            upstream: address and port of the real registry, which speaks plain HTTP.
            tls: speak TLS with this certificate.
            port: where to listen on 127.0.0.1; 0: any that is free.
            bytes_per_second: over all connections together; 0: as fast as it goes.
        """
        name, _, number = upstream.partition(":")
        self._upstream, self._tls, self._port = (name, int(number)), tls, port
        self.bytes_per_second = bytes_per_second
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.host = ""
        """Address and port, once it runs."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty registry")
        self._connections: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()
        self._next = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.host = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def served(self, pattern: str = "") -> int:
        """Bytes of bodies that were sent for requests ("METHOD path") in which a pattern is found."""
        return sum(request.sent for request in tuple(self.requests) if re.search(pattern, str(request)))

    def asked(self, pattern: str = "") -> list[Request]:
        """The requests in which a pattern is found, the first first."""
        return [request for request in tuple(self.requests) if re.search(pattern, str(request))]

    def forget(self) -> None:
        """Begin to count anew."""
        self.requests = []

    def release(self) -> None:
        """Break the connections that stall."""
        self._loop.call_soon_threadsafe(self._released.set)

    def cut(self) -> None:
        """Break every connection, as a router does that is switched off and on."""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._connections])

    # --- in the thread

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", self._port, ssl=self._tls, limit=HEAD_BYTES)

    async def _end(self) -> None:
        self._server.close()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:  # also of a connection that is just being taken
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # a transport closes its socket in the loop's next turn

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writer.transport.set_write_buffer_limits(BUFFER)
        try:
            await self._serve(reader, writer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the other side hung up, or did not want to speak TLS
        except asyncio.CancelledError:
            _reset(writer)
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:] if line)}
        request = Request(method, path, headers.get("range", ""), at=time.time())
        self.requests.append(request)
        fault = next((f for f in tuple(self.faults) if f.takes(str(request))), Fault())
        if fault.stall_after == 0:
            await self._stall()
        if fault.status:
            await self._answer(request, fault, writer)
            return
        if not fault.ranges:
            headers.pop("range", None)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        from_registry, to_registry = await asyncio.open_connection(*self._upstream, limit=HEAD_BYTES)
        try:
            lines = [f"{n}: {v}" for n, v in headers.items() if n != "connection"]
            to_registry.write("\r\n".join([head[0], *lines, "connection: close", "", ""]).encode("latin-1") + body)
            await self._relay(request, fault, from_registry, writer)
        finally:
            to_registry.transport.abort()

    async def _answer(self, request: Request, fault: Fault, writer: asyncio.StreamWriter) -> None:
        request.status = fault.status
        body = b"" if request.method == "HEAD" else fault.body
        headers = {**fault.headers, "Content-Length": str(len(fault.body)), "Connection": "close"}
        head = [f"HTTP/1.1 {fault.status} {_REASONS.get(fault.status, 'As told')}", *(f"{n}: {v}" for n, v in headers.items())]
        request.sent += len(body)
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    async def _relay(self, request: Request, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        request.status = int(head.split(b" ", 2)[1])
        writer.write(head)
        limit = min((n for n in (fault.cut_after, fault.stall_after) if n is not None), default=None)
        first = fault.corrupt
        while limit is None or request.sent < limit:
            data = await reader.read(CHUNK if limit is None else min(CHUNK, limit - request.sent))
            if not data:
                return
            if first:
                data, first = bytes([data[0] ^ 1]) + data[1:], False
            await self._pace(len(data))
            request.sent += len(data)  # before: whoever has all of it finds it counted
            writer.write(data)
            await writer.drain()
        if fault.stall_after is not None:
            await self._stall()
        _reset(writer)

    async def _stall(self) -> None:
        self._released.clear()
        await self._released.wait()
        raise ConnectionResetError("it was let go of")

    async def _pace(self, size: int) -> None:
        """Wait for the turn of so many bytes."""
        if not self.bytes_per_second:
            return
        now = self._loop.time()
        self._next = max(self._next, now) + size / self.bytes_per_second
        await asyncio.sleep(self._next - now)


_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset, and not in order: what was announced does not come."""
    with suppress(OSError):
        link: socket.socket = writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
