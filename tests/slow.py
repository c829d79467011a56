"""A registry that sends slowly: a relay in front of a real one."""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK = 16 * 1024


class SlowRegistry:
    """Relays TCP connections to a registry, and what comes back at no more than so many bytes a second each."""

    def __init__(self, upstream: str, bytes_per_second: int) -> None:
        name, _, port = upstream.partition(":")
        self._upstream = (name, int(port))
        self._rate = bytes_per_second
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for each in self._sockets:
            with suppress(OSError):  # its other end was quicker
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was shut down
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream, 10)
                self._sockets += [client, server]
                self._run(self._relay, client, server, 0)
                self._run(self._relay, server, client, self._rate)

    def _relay(self, source: socket.socket, target: socket.socket, rate: int) -> None:
        with suppress(OSError):  # either end hung up
            source.settimeout(60)
            while data := source.recv(CHUNK):
                target.sendall(data)
                if rate:
                    time.sleep(len(data) / rate)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
