"""Folders in memory, for what must never reach a disk: below one folder that is on a tmpfs, or is made one.

In most systems /run is a tmpfs already. Where it is not, one is mounted, and taken away again when nothing is left in it.
Files in it outlive an agent, and not the node's next boot.
"""

import contextlib
import logging
from pathlib import Path
from typing import Final

from controller import kernel

log = logging.getLogger(__name__)

_SOURCE: Final = "moorage"
"""What the tmpfs is called in mountinfo: another mount at that place, such as a pod's own, is nobody's business here."""


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
    kinds = {point.kind for point in kernel.mount_points() if point.device == device}
    return bool(kinds) and kinds <= {"tmpfs", "ramfs"}


def _ours(folder: Path) -> bool:
    """Whether the tmpfs that was mounted there is what is seen there: of mounts at one place, that is the last."""
    at = [(point.kind, point.source) for point in kernel.mount_points() if point.path == str(folder)]
    return at[-1:] == [("tmpfs", _SOURCE)]


def _mount(folder: Path) -> None:
    """Where the kernel cannot keep it from being swapped, whoever swaps should encrypt."""
    with kernel.doing(f"mounting a tmpfs on {folder}"):
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount_unswapped(_SOURCE, str(folder), flags, "mode=0700")


def _unmount(folder: Path) -> None:
    try:
        kernel.unmount(str(folder), detach=False)
    except OSError as exc:
        log.warning("the tmpfs on %s stays: %s", folder, exc.strerror)
