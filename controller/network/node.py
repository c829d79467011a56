"""Working among the node's own files from inside a container: a thread in the mount namespace of another process."""

import asyncio
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from controller import kernel

T = TypeVar("T")

FIRST: Final = "/proc/1"
"""The folder of the node's first process."""

_PEER: Final = struct.Struct("3i")
"""struct ucred, unix(7)."""


def behind(address: str) -> str:
    """The folder in /proc of the process that listens on a unix socket; the node's first one when it cannot be asked."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as link:
            link.settimeout(1)
            link.connect(address)
            pid, _, _ = _PEER.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    except OSError:
        return FIRST
    return f"/proc/{pid}" if pid else FIRST


async def among_the_files_of(process: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a thread that sees the files which a process sees; what it starts sees them, too.

    The thread leaves for the mount namespace and ends with its work, in an event loop of its own. Nothing else of this process
    is affected, and no program is needed for it, which an image may not have. It goes on when the caller is cancelled.

    Args:
        process: its folder in /proc.
        work: gives the coroutine; it must have a deadline.

    Raises:
        OSError: when the namespace cannot be entered, or there are as many threads as there may be.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def tell(value: T | None, error: BaseException | None) -> None:
        if result.cancelled():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type] # no error: it is a T, which may itself be None

    def run() -> None:
        value, error = None, None
        try:
            _enter(f"{process}/ns/mnt")
            value = asyncio.run(work())
        except BaseException as exc:  # noqa: BLE001 - raised again where it is awaited, or that would wait for ever
            error = exc
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, value, error)

    try:
        threading.Thread(target=run, name="among the node's files", daemon=True).start()
    except RuntimeError as exc:
        raise OSError(errno.EAGAIN, f"entering the node's mount namespace {process}/ns/mnt: {exc}") from exc
    return await result


def _enter(path: str) -> None:
    """Threads share root and working folder, and a mount namespace is only entered by one that shares neither."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with kernel.doing(f"entering the node's mount namespace {path}"):
            kernel.unshare(kernel.CLONE_FS)
            kernel.enter(descriptor, kernel.CLONE_NEWNS)
    finally:
        os.close(descriptor)
