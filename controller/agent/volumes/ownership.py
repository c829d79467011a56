"""fsGroup: whom the files of a volume belong to.

Source: kubernetes.io, "Configure a Security Context for a Pod or Container"; masks as in the kubelet's package `volume`.
"""

import os
import stat
from contextlib import suppress
from typing import Final

_WRITABLE: Final = 0o660
READABLE: Final = 0o440
"""What members of the group may do with the files of a volume that is read-only."""
_FOLDER: Final = stat.S_ISGID | 0o110
"""What is made in a folder belongs to the group, too, and members may enter it."""

_OPEN: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def give(folder: str, group: int, *, read_only: bool) -> None:
    """Give a folder and all that is in it to a group, with the rights of the owner. Links are given, and never followed.

    Containers may be at work in it: what goes away meanwhile is passed over.

    Raises:
        OSError: when it cannot be done.
    """
    mask = READABLE if read_only else _WRITABLE
    for _, folders, files, at in os.fwalk(folder, topdown=False, follow_symlinks=False):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                _give(name, group, mask, at)
    _give(folder, group, mask)


def _give(name: str, group: int, mask: int, at: int | None = None) -> None:
    found = os.open(name, _OPEN, dir_fd=at)
    try:
        mode = os.fstat(found).st_mode
        if stat.S_ISLNK(mode):
            os.chown(name, -1, group, dir_fd=at, follow_symlinks=False)
            return
        path = f"/proc/thread-self/fd/{found}"  # a descriptor by path alone is not taken by fchown(2) and fchmod(2)
        os.chown(path, -1, group)
        more = mask | _FOLDER if stat.S_ISDIR(mode) else mask
        os.chmod(path, stat.S_IMODE(mode) | more)  # noqa: PTH101 - beside chown, which pathlib does not have
    finally:
        os.close(found)
