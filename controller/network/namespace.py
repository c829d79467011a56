"""One network namespace, kept by a file that it is mounted on, as ip-netns(8) does it; no process has to hold it.

Everything here blocks, for milliseconds as a rule. Needs root, and a folder whose mounts the container runtime sees: in a pod,
one that is mounted with Bidirectional propagation.
"""

import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Final

from controller import kernel

_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_IFREQ: Final = struct.Struct("16sh22x")
"""struct ifreq with its flags, netdevice(7)."""

_OWN: Final = "/proc/thread-self/ns/net"


def is_namespace(path: str) -> bool:
    """Whether a network namespace is mounted on the file.

    Raises:
        FileNotFoundError: when there is no such file.
    """
    return os.stat(path).st_dev == os.stat(_OWN).st_dev  # noqa: PTH116 - at each look at an instance


def create(path: str, pids: Sequence[int] = ()) -> bool:
    """Mount a network namespace on a file: that of the first process that is not in ours, else a new one with loopback up.

    A file that is there without a namespace is used; one with a namespace is left as it is.

    Returns:
        Whether it is a new one.

    Raises:
        OSError: with the step that failed as its text.
    """
    folder = os.path.dirname(path)  # noqa: PTH120 - plain calls throughout
    os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400))
    if is_namespace(path):
        return False
    for pid in pids:
        source = f"/proc/{pid}/ns/net"
        try:
            if os.stat(source).st_ino != os.stat(_OWN).st_ino:  # noqa: PTH116
                _mount(source, path)
                return False
        except FileNotFoundError:  # it has ended meanwhile
            continue
    _in_a_thread(lambda: _make(path))
    return True


def remove(path: str) -> None:
    """Unmount and remove the file; that there is none is success. What still runs in the namespace keeps it alive.

    Raises:
        OSError: when it cannot be unmounted or removed.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        with kernel.doing(f"unmounting {path}"):
            while kernel.unmount(path):
                pass  # until nothing is mounted on it any more
        os.unlink(path)  # noqa: PTH108


def _make(path: str) -> None:
    """In a thread of its own: leave for a new network namespace, and mount it, since it would end with the thread."""
    with kernel.doing(f"making a network namespace for {path}"):
        kernel.unshare(kernel.CLONE_NEWNET)
    _loopback_up()
    _mount(_OWN, path)


def _loopback_up() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)) as link:
        asked = _IFREQ.pack(b"lo", 0)
        _, flags = _IFREQ.unpack(fcntl.ioctl(link, _SIOCGIFFLAGS, asked))
        fcntl.ioctl(link, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", flags | _IFF_UP))


def _mount(source: str, path: str) -> None:
    with kernel.doing(f"mounting a network namespace on {path}"):
        kernel.mount(source, path, flags=kernel.MS_BIND)


def _in_a_thread(work: Callable[[], None]) -> None:
    """Run something in a thread that ends with it, and is never used for anything else: it is left in another namespace."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except OSError as exc:
            failures.append(exc)

    thread = threading.Thread(target=run, name="network namespace", daemon=True)
    thread.start()
    thread.join()
    for failure in failures:
        raise failure
