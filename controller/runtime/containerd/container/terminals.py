"""The log of a container with a terminal: the shim copies to it, and has to append.

Without a terminal the shim opens the log in append mode, so that a log which is truncated (that is how logs are rotated) goes
on at its new end. With one it opens it for writing alone, and after a truncation would go on where it was, behind a hole of as
many bytes as it had written before. The mode belongs to the open file that it has (fcntl(2), F_SETFL), so it is set there,
once, by a duplicate of its descriptor (pidfd_getfd(2), Linux 5.6): before the command runs, and so before anything is written.
Nobody is between the terminal and the file, then or later.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from controller import kernel
from controller.runtime.port import RuntimeFailure

_PIDFD_GETFD: Final = 438
"""Its number is the same on every architecture."""


def append_only(log_path: str, pid: int) -> None:
    """Make the shim of a process append to a log that it has open for a terminal.

    Args:
        log_path: the log.
        pid: the container's first process, whose parent the shim is.

    Raises:
        RuntimeFailure: when that cannot be done; the command must not run then.
    """
    try:
        shim = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        log = os.stat(log_path)  # noqa: PTH116 - compared with others by what both are
        with _process(shim) as process:
            found = [_append(process, number) for number in _open_files(shim, log)]
    except OSError as exc:
        raise RuntimeFailure(f"the log of its terminal cannot be put into append mode: {exc.strerror}") from exc
    if not any(found):
        raise RuntimeFailure("the log of its terminal cannot be put into append mode: its shim does not write it")


def _open_files(pid: int, wanted: os.stat_result) -> Iterator[int]:
    """Descriptors of a process that are open on a file."""
    for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - names are all that is needed
        with suppress(FileNotFoundError):  # it has been closed
            if os.path.samestat(os.stat(f"/proc/{pid}/fd/{name}"), wanted):  # noqa: PTH116
                yield int(name)


@contextmanager
def _process(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _append(process: int, number: int) -> bool:
    """Whether this one is open for writing; if so, it appends from now on."""
    copy = kernel.call("syscall", _PIDFD_GETFD, process, number, 0)
    try:
        flags = fcntl.fcntl(copy, fcntl.F_GETFL)
        if flags & os.O_PATH or flags & os.O_ACCMODE != os.O_WRONLY:
            return False
        fcntl.fcntl(copy, fcntl.F_SETFL, flags | os.O_APPEND)
    finally:
        os.close(copy)
    return True
