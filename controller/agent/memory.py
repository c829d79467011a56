"""Folders in memory, for what must never reach a disk: below one folder that is on a tmpfs, or is made one.

In most systems /run is a tmpfs already. Where it is not, one is mounted, and taken away again when nothing is left in it.
Files in it outlive an agent, and not the node's next boot.
"""

import contextlib
import ctypes
import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_NOEXEC: Final = 8
_UMOUNT_NOFOLLOW: Final = 8
_SOURCE: Final = "moorage"
"""What the tmpfs is called in mountinfo: another mount at that place, such as a pod's own, is nobody's business here."""

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
            if _ours(self._folder) and not any(self._folder.iterdir()):
                _unmount(self._folder)
            self._folder.rmdir()


def in_memory(folder: Path) -> bool:
    """Whether what is written there is known to stay in memory: it is on a tmpfs (or ramfs).

    Raises:
        OSError: when the folder is not there.
    """
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = {filesystem[0] for mount, filesystem in _mounts() if mount[2] == wanted}
    return bool(kinds) and kinds <= {"tmpfs", "ramfs"}


def _ours(folder: Path) -> bool:
    """Whether the tmpfs that was mounted there is what is seen there."""
    at = [filesystem for mount, filesystem in _mounts() if mount[4] == str(folder)]
    return bool(at) and at[-1][:2] == ["tmpfs", _SOURCE]


def _mounts() -> list[tuple[list[str], list[str]]]:
    """Fields of mountinfo before and after its separator (proc_pid_mountinfo(5)). Of mounts at one place the last is seen."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [(mount.split(), filesystem.split()) for mount, _, filesystem in (line.partition(" - ") for line in lines)]


def _mount(folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    for options in _OPTIONS:
        if libc.mount(_SOURCE.encode(), os.fsencode(folder), b"tmpfs", flags, options.encode()) == 0:
            return
    number = ctypes.get_errno()
    raise OSError(number, f"mounting a tmpfs on {folder}: {os.strerror(number)}")


def _unmount(folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(folder), _UMOUNT_NOFOLLOW) != 0:
        log.warning("the tmpfs on %s stays: %s", folder, os.strerror(ctypes.get_errno()))
