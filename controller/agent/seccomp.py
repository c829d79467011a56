"""The node's seccomp profiles: the one place where the agent reads files that a spec names (`localhostProfile`).

The folder is the node administrator's; the names come from anybody who may create an instance. So a path is walked one part at
a time, each opened relative to the one before: `..` and links are refused, and nothing but a regular file of it is read.
"""

import errno
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Final

FOLDER: Final = "seccomp"
"""Below the agent's state folder."""

MOST_BYTES: Final = 1 << 20
"""Of a profile; Docker's default one has 13 kB."""

_FOLDER_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ProfileError(OSError):
    """A profile cannot be read now. It may be there later, so that a try later makes sense."""


def read_profile(folder: Path, name: str) -> str:
    """The content of a profile.

    Args:
        folder: the node's folder of profiles.
        name: path below it, as written in `localhostProfile`.

    Raises:
        ProfileError: when it is not there, is no regular file, is too large, or its path leads out of the folder.
    """
    parts = name.split("/")
    if not all(parts) or ".." in parts or "\0" in name:
        raise _error(folder, name, "is no path below that folder")
    try:
        data = _read(folder, parts)
    except OSError as exc:
        hint = " (links are not followed)" if exc.errno in {errno.ELOOP, errno.ENOTDIR} else ""
        raise _error(folder, name, f"cannot be read: {exc.strerror}{hint}") from exc
    if data is None:
        raise _error(folder, name, "is no regular file")
    if len(data) > MOST_BYTES:
        raise _error(folder, name, f"is larger than {MOST_BYTES} bytes")
    return data.decode(errors="replace")


def _error(folder: Path, name: str, what: str) -> ProfileError:
    return ProfileError(f"seccompProfile.localhostProfile: {name!r} of this node's folder {folder} {what}")


def _read(folder: Path, parts: list[str]) -> bytes | None:
    """The file's content, one byte more than the most at most; None when it is no regular file."""
    with ExitStack() as stack:
        current = os.open(folder, _FOLDER_FLAGS)
        stack.callback(os.close, current)
        for part in parts[:-1]:
            current = os.open(part, _FOLDER_FLAGS, dir_fd=current)
            stack.callback(os.close, current)
        file = stack.enter_context(os.fdopen(os.open(parts[-1], _FILE_FLAGS, dir_fd=current), "rb"))
        return file.read(MOST_BYTES + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
