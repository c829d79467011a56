"""Connections from the node's network, or from inside an instance's.

A socket belongs to the network namespace of the thread that makes it, for as long as it lives, whoever uses it afterwards. So
one thread, which does nothing else, moves into a namespace to make a socket there, and everything else is done in the event
loop.
"""

import asyncio
import errno
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from controller import kernel

_OWN: Final = "/proc/self/ns/net"
"""The network namespace of the process's first thread, which never leaves it."""


class Dialer:
    """Makes connections."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network namespace")
        self._names = ThreadPoolExecutor(2, thread_name_prefix="names")
        """Threads that wait for name servers, and nobody else does for them."""

    async def connect(self, host: str, port: int, namespace: str = "") -> socket.socket:
        """Open a TCP connection; the caller closes the socket, and sets the deadline.

        Args:
            host: address, or a name as the node resolves it.
            port: its port.
            namespace: path of the network namespace to connect from; empty: the node's own.

        Raises:
            OSError: when it cannot be made.
        """
        loop = asyncio.get_running_loop()
        family, address = await self._resolved(host, port)
        if namespace:
            made = await loop.run_in_executor(self._thread, _make, family, namespace)
        else:
            made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            made.setblocking(False)
            await loop.sock_connect(made, address)
        except OSError as exc:
            made.close()
            raise OSError(exc.errno, os.strerror(exc.errno or 0)) from exc
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        """End the threads."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._names.shutdown(wait=False, cancel_futures=True)

    async def _resolved(self, host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
        try:
            for family in (socket.AF_INET, socket.AF_INET6):
                with suppress(OSError):
                    socket.inet_pton(family, host)
                    return family, (host, port)
            found = await asyncio.get_running_loop().run_in_executor(self._names, _look_up, host, port)
        except ValueError as exc:  # an empty or too long label (UnicodeError), a null character
            raise OSError(errno.EINVAL, f"{host!r} is no host name") from exc
        return found[0][0], (str(found[0][4][0]), port)


def _look_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _make(family: socket.AddressFamily, namespace: str) -> socket.socket:
    """In the thread, which comes back afterwards: a namespace that a thread is in would not end."""
    own, other = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC), -1
    try:
        other = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        _enter(other, namespace)
        try:
            return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        finally:
            _enter(own, _OWN)
    finally:
        os.close(own)
        if other >= 0:
            os.close(other)


def _enter(descriptor: int, path: str) -> None:
    with kernel.doing(f"entering the network namespace {path}"):
        kernel.enter(descriptor, kernel.CLONE_NEWNET)
