"""Calls to the kernel that Python does not have, or not before 3.12, and the table of mounts.

All raise OSError when they fail, as those of `os` do. They act on the thread that calls, and in its mount namespace.
"""

import ctypes
import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 0x40000

_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8

CLONE_FS: Final = 0x200
CLONE_NEWNS: Final = 0x20000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWNET: Final = 0x40000000

_OPENAT2: Final = 437
"""Its number is the same on every architecture."""

BENEATH: Final = 0x08 | 0x02
"""RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS: neither `..`, nor a link, nor one of /proc leads out of the folder."""

_MOUNTS: Final = "/proc/thread-self/mountinfo"
"""/proc/self is the first thread's, which may be in another namespace."""

_PLAIN: Final = re.compile(r"[\w.~-]+")
"""A name that the table has as it is."""

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A line of the table of mounts (proc_pid_mountinfo(5))."""

    id: int
    device: int
    """As `st_dev` of what is on it."""
    path: str
    kind: str
    """Type of its file system."""
    source: str
    shared: bool
    """It is in a peer group: what is mounted below it is mounted at its peers, too."""
    slave: bool
    """It gets what is mounted below another one."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Begin the text of an OSError that is raised meanwhile with what was being done; its number stays."""
    try:
        yield
    except OSError as exc:
        raise OSError(exc.errno, f"{what}: {exc.strerror}") from exc


def call(name: str, *arguments: object, path: str | None = None) -> int:
    """Call a function of the C library by its name; it fails by a negative result, and `path` is told then."""
    result = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(result)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system, or what is at one place at another one, too."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    call("mount", *arguments, path=target)


def mount_unswapped(source: str, target: str, flags: int = 0, data: str = "") -> None:
    """Mount a tmpfs that is never swapped, where the kernel has a word for that (6.4, tmpfs(5)); else one that may be."""
    try:
        mount(source, target, "tmpfs", flags, ",".join(filter(None, (data, "noswap"))))
    except OSError:
        mount(source, target, "tmpfs", flags, data)


def unshare(kinds: int) -> None:
    """Move the calling thread into new namespaces of these kinds, or let it share no more what they name (unshare(2))."""
    call("unshare", kinds)


def enter(namespace: int, kind: int) -> None:
    """Move the calling thread into the namespace that a descriptor is open on (setns(2))."""
    call("setns", namespace, kind)


def open_beneath(folder: int, path: str, flags: int) -> int:
    """Open a path below an open folder, whatever links lie on the way; they are followed only as far as they stay below it.

    Raises:
        OSError: `EXDEV` when the path leads out of it; else as open(2).
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, BENEATH)
    arguments = (_OPENAT2, folder, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    while True:
        with suppress(BlockingIOError):  # EAGAIN: something was renamed meanwhile, so that it could not be sure
            return call("syscall", *arguments, path=path)


def mount_points(word: str = "") -> list[MountPoint]:
    """The table of mounts, parents before children; of those alone that the word occurs in, as the table has it."""
    with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as lines:  # noqa: PTH123 - as the constant says
        return [_parsed(line) for line in lines if word in line]


def below(folder: str, points: Iterable[MountPoint]) -> list[MountPoint]:
    """Those on a folder or below it."""
    return [point for point in points if f"{point.path}/".startswith(f"{folder}/")]


def unmount_below(folder: str) -> None:
    """Unmount all that is mounted on a folder or below it.

    Each mount leaves its peer group first: somebody may have mounted a part of the node here, and what is unmounted below one
    of its peers would be unmounted on the node, too.

    Raises:
        OSError: when something stays mounted.
    """
    word = os.path.basename(folder)  # noqa: PTH119 - plain calls throughout
    if not _PLAIN.fullmatch(word):
        word = ""
    found = below(folder, mount_points(word))
    for point in found:
        mount("none", point.path, flags=_MS_PRIVATE)
    for point in reversed(found):
        unmount(point.path)
    left = below(folder, mount_points(word))
    if left:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), left[0].path)


def unmount(path: str, *, detach: bool = True) -> bool:
    """Take what was last mounted on a path out of sight at once; who still uses it keeps it.

    Args:
        path: nothing mounted there is success, as is nothing there.
        detach: if not, it fails while somebody uses what is mounted.

    Returns:
        Whether something was mounted there.
    """
    try:
        call("umount2", os.fsencode(path), _UMOUNT_NOFOLLOW | (_MNT_DETACH if detach else 0), path=path)
    except OSError as exc:
        if exc.errno not in {errno.EINVAL, errno.ENOENT}:
            raise
        return False
    return True


def mount_of(path: str) -> MountPoint | None:
    """The mount that a path is on."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/thread-self/fdinfo/{descriptor}", encoding="ascii") as lines:  # noqa: PTH123 - as above
            number = next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))
    finally:
        os.close(descriptor)
    return next((point for point in mount_points() if point.id == number), None)


def _parsed(line: str) -> MountPoint:
    before, _, after = line.partition(" - ")
    fields = before.split()
    path = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
    device = os.makedev(*map(int, fields[2].split(":")))
    kind, source = after.split(" ")[:2]  # the source may be empty
    tags = [tag.partition(":")[0] for tag in fields[6:]]
    return MountPoint(int(fields[0]), device, path, kind, source, "shared" in tags, "master" in tags)
