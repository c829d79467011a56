"""hostPath volumes: whether at a path of the node is what the spec says; some kinds are made when nothing is there.

Source: core/v1 `HostPathType`; the words of failures are those of the kubelet's hostPath plugin.
"""

import os
import stat
from collections.abc import Callable
from typing import Final

from controller.agent.decide.volumes.wanted import VolumeFailure
from controller.agent.volumes.paths import make_all

_IS: Final[dict[str, tuple[Callable[[int], bool], str]]] = {
    "Directory": (stat.S_ISDIR, "directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "FileOrCreate": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket file"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


def check(path: str, kind: str) -> None:
    """See to it that there is what is asked for; of nothing but a path, nothing is asked.

    Raises:
        VolumeFailure: when there is something else, or nothing.
        OSError: when it cannot be looked at, or made.
    """
    if not kind:
        return
    if kind == "DirectoryOrCreate":
        make_folder(path)
    elif kind == "FileOrCreate":
        _make_file(path)
    right, name = _IS[kind]
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - plain calls, as all of these
    except (FileNotFoundError, NotADirectoryError):
        mode = 0
    if not right(mode):
        raise VolumeFailure(f"hostPath type check failed: {path} is not a {name}")


def make_folder(path: str) -> None:
    """Make a folder, and those above it, if there is nothing; a link that leads nowhere counts as something.

    Raises:
        OSError: when it cannot be made.
    """
    if not os.path.lexists(path):
        make_all(path.rstrip("/"), 0o755)


def _make_file(path: str) -> None:
    """Make an empty file if there is nothing; the folder must be there."""
    if not os.path.lexists(path):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
