"""Folders in memory, for what must never reach a disk: below one folder that is on a tmpfs, or is made one.

In most systems /run is a tmpfs already. Where it is not, one is mounted, and taken away again when nothing is left in it.
Files in it outlive an agent, and not the node's next boot.
"""

import contextlib
import ctypes
import errno
import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_NOEXEC: Final = 8
_UMOUNT_NOFOLLOW: Final = 8
_OPTIONS: Final = ("mode=0700,noswap", "mode=0700")
"""Not to be swapped, where the kernel has that (6.4, tmpfs(5)); before, whoever swaps should encrypt."""


class Memory:
    """The folder, and what is in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where a subfolder is, or would be."""
        return self._folder / name

    def prepare(self, name: str) -> None:
        """See to it that a subfolder is there, and in memory.

        Raises:
            OSError: when it cannot be made so.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not in_memory(self._folder):
            _mount(self._folder)
        self.path(name).mkdir(mode=0o700, exist_ok=True)

    def tidy(self) -> None:
        """Take away subfolders that are empty, and what was mounted, if nothing is left in it."""
        with contextlib.suppress(OSError):
            for entry in tuple(self._folder.iterdir()):
                with contextlib.suppress(OSError):  # there is something in it
                    entry.rmdir()
            if self._folder.is_mount() and not any(self._folder.iterdir()):
                _unmount(self._folder)
            self._folder.rmdir()


def in_memory(folder: Path) -> bool:
    """Whether what is written there stays in memory: it is on a tmpfs (or ramfs).

    Raises:
        OSError: when the folder is not there, or nobody can tell.
    """
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, filesystem = line.partition(" - ")
        if mount.split()[2] == wanted:
            return filesystem.split()[0] in {"tmpfs", "ramfs"}
    raise OSError(errno.ENODEV, f"no mount is known that {folder} is on")


def _mount(folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    for options in _OPTIONS:
        if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, options.encode()) == 0:
            return
    number = ctypes.get_errno()
    raise OSError(number, f"mounting a tmpfs on {folder}: {os.strerror(number)}")


def _unmount(folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(folder), _UMOUNT_NOFOLLOW) != 0:
        log.warning("the tmpfs on %s stays: %s", folder, os.strerror(ctypes.get_errno()))
