"""Paths inside volumes: what a subPath leads to is opened without leaving the volume, and bound to a place of the agent's own.

A container writes into its volumes, so nothing in them can be believed between a look and its use: names are resolved by the
kernel in one call (openat2(2) with RESOLVE_BENEATH), and from then on there is a descriptor and no name.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from controller import kernel

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def bind(root: str, path: str, target: str) -> None:
    """Bind what a path below a volume leads to, so that it is found at the target whatever becomes of the path.

    What is not there is made, as folders, with the mode of the volume itself. What is bound at the target already is replaced.

    Raises:
        OSError: `EXDEV` when the path leads out of the volume.
    """
    volume = os.open(root, _FOLDER)
    try:
        found = _opened(volume, path)
        try:
            kernel.unmount(target)
            _make_target(target, folder=stat.S_ISDIR(os.fstat(found).st_mode))
            kernel.mount(f"/proc/thread-self/fd/{found}", target, flags=kernel.MS_BIND)
        finally:
            os.close(found)
    finally:
        os.close(volume)


def _opened(volume: int, path: str) -> int:
    """A descriptor of what is there, made first if it is not."""
    with suppress(FileNotFoundError):
        return kernel.open_beneath(volume, path, os.O_PATH)
    _make_folders(volume, [part for part in path.split("/") if part not in {"", "."}])
    return kernel.open_beneath(volume, path, os.O_PATH)


def _make_folders(volume: int, parts: Sequence[str]) -> None:
    """Make what is missing of a path, each part in the folder before it, which is opened without leaving the volume."""
    mode = stat.S_IMODE(os.fstat(volume).st_mode)
    for count in range(len(parts)):
        parent = kernel.open_beneath(volume, "/".join(parts[:count]) or ".", _FOLDER)
        try:
            with suppress(FileExistsError):
                os.mkdir(parts[count], mode, dir_fd=parent)
        finally:
            os.close(parent)


def _make_target(target: str, *, folder: bool) -> None:
    """An empty folder or file to mount on; of the other kind, it is replaced."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(target).st_mode) == folder:
            return
        os.rmdir(target) if not folder else os.unlink(target)  # noqa: PTH106, PTH108 - plain calls, as all of these
    make_all(target if folder else os.path.dirname(target), 0o700)  # noqa: PTH120
    if not folder:
        os.close(os.open(target, os.O_CREAT | os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def make_all(folder: str, mode: int) -> None:
    """Make a folder and those above it that are not there, all with that mode; `os.makedirs` gives it to the last one alone.

    Raises:
        OSError: when one cannot be made.
    """
    try:
        os.mkdir(folder, mode)  # noqa: PTH102 - the umask of this thread is 0
    except FileNotFoundError:
        make_all(os.path.dirname(folder), mode)  # noqa: PTH120
        make_all(folder, mode)
    except FileExistsError:
        return


def leads_out(failure: OSError) -> bool:
    """Whether it was refused because the path leads out of the volume, by links or through too many of them."""
    return failure.errno in {errno.EXDEV, errno.ELOOP}
