"""How much is in a folder that containers write to meanwhile: as du(1) counts it.

What counts is what is allocated on the disk, also for folders; a file with several names counts once, and what is mounted below
(another file system) not at all. Links are never followed. A kubelet counts just so (package `volume/util/fs`).

Whoever writes there may nest folders deeper than a path or a stack can be, and move them away: so the walk goes down and up by
descriptors, of which it holds two, checks on its way up where it has come to, and follows no name twice.
"""

import math
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK: Final = 512
"""Unit of `st_blocks`, whatever the file system's own is (stat(2))."""

Id = tuple[int, int]


class Usage:
    """One measurement."""

    def __init__(self, most: int, seconds: float = math.inf) -> None:
        """`most` is the number of bytes beyond which nothing more needs to be known; `seconds`, how long it may take."""
        self.bytes = 0
        self._most, self._seconds = most, seconds
        self._until = time.monotonic() + seconds
        self._known: set[Id] = set()
        """Files with several names that were counted."""

    @property
    def beyond(self) -> bool:
        """Whether there is more than that."""
        return self.bytes > self._most

    def measure(self, path: str) -> None:
        """Add what is in a folder. What goes or moves away meanwhile is passed over.

        Raises:
            FileNotFoundError: when the folder is not there.
            TimeoutError: when it takes too long.
            OSError: when it cannot be read.
        """
        with _opened(path) as root:
            self._count(os.fstat(root))
            self._walk(root)

    def _walk(self, root: int) -> None:
        """Into each folder in turn; `trail` are those that lead to the present one, with what is left to be seen in each."""
        here = os.dup(root)
        try:
            device = os.fstat(here).st_dev
            trail = [(_id(here), self._listed(here, device))]
            while trail and not self.beyond:
                _, names = trail[-1]
                if names:
                    deeper = self._entered(here, names.pop(), device)
                    if deeper >= 0:
                        os.close(here)
                        here = deeper
                        trail.append((_id(here), self._listed(here, device)))
                    continue
                trail.pop()
                if not trail:
                    return
                above = self._above(here, trail[-1][0])
                if above < 0:  # it went, or was moved to somewhere else: go on with what is left at the top
                    del trail[1:]
                    above = os.dup(root)
                os.close(here)
                here = above
        finally:
            os.close(here)

    def _above(self, here: int, expected: Id) -> int:
        """A descriptor of the folder that the present one is in; -1 when that is not the expected one any more."""
        try:
            found = os.open("..", _FOLDER, dir_fd=here)
        except FileNotFoundError:
            return -1
        if _id(found) == expected:
            return found
        os.close(found)
        return -1

    def _entered(self, here: int, name: str, device: int) -> int:
        """A descriptor of a folder in the present one; -1 when it is none any more."""
        try:
            found = os.open(name, _FOLDER, dir_fd=here)
        except (FileNotFoundError, NotADirectoryError):
            return -1
        if os.fstat(found).st_dev == device:
            return found
        os.close(found)
        return -1

    def _listed(self, here: int, device: int) -> list[str]:
        """Count what is in a folder; the names of the folders in it."""
        folders = []
        with os.scandir(here) as entries:
            for entry in entries:
                with suppress(OSError):  # it went, or what is mounted there does not answer any more
                    found = entry.stat(follow_symlinks=False)
                    if found.st_dev != device:
                        continue
                    self._count(found)
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.name)
                if self.beyond:
                    break
                if time.monotonic() > self._until:
                    raise TimeoutError(f"it could not be looked through within {self._seconds:g} s")
        return folders

    def _count(self, found: os.stat_result) -> None:
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            own = found.st_dev, found.st_ino
            if own in self._known:
                return
            self._known.add(own)
        self.bytes += found.st_blocks * _BLOCK


def exceeds(path: str, limit: int, seconds: float = math.inf) -> bool:
    """Whether there is more than that many bytes in a folder.

    Raises:
        OSError: as `Usage.measure`.
    """
    usage = Usage(limit, seconds)
    usage.measure(path)
    return usage.beyond


def _id(descriptor: int) -> Id:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


@contextmanager
def _opened(path: str) -> Iterator[int]:
    found = os.open(path, _FOLDER)
    try:
        yield found
    finally:
        os.close(found)
