"""What the node itself tells about a container where containerd does not: files, /proc and cgroups.

Everything here is a look at a local file that takes microseconds; what cannot be read is None or False, never an error.
"""

import ctypes
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_AT_FDCWD: Final = -100
_STATX_BTIME: Final = 0x800


@cache
def boot_id() -> str:
    """The id of the node's present boot (random(4))."""
    return _BOOT_ID.read_text().strip()


def exists(path: str) -> bool:
    """Whether there is a file."""
    return Path(path).exists()


def make_log(path: str) -> None:
    """Make an empty log file, for whoever does not make it."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))


def remove_empty_log(path: str) -> None:
    """Remove the log file of a process that never ran. One with something in it stays: it says more than it would be worth."""
    with suppress(OSError):
        if Path(path).stat().st_size == 0:
            Path(path).unlink()


def started_at(log_path: str, pid: int) -> float | None:
    """When a container was started, in seconds since the epoch; containerd does not keep it.

    The birth of the log file comes first, since it says the same before and after the end of the process, of the agent and of
    the node: the shim makes the file a few milliseconds before the process. Where the file system keeps no times of birth, or
    there is no log, it is the start of the process, as long as that lives (`pid` is not 0).
    """
    born = _birth(log_path) if log_path else None
    if born is None and pid:
        return process_start(pid)
    return born


def process_start(pid: int) -> float | None:
    """When a process was started, from its start in clock ticks since the boot (proc_pid_stat(5), field 22)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        ticks = int(stat.rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (OSError, StopIteration, IndexError, ValueError):
        return None
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def oom_killed(cgroup: str) -> bool:
    """Whether the kernel killed something in a cgroup for want of memory.

    The cgroup of a container stays until its task is deleted, so this can be asked long after the end, whoever was listening
    then.
    """
    if not cgroup:
        return False
    below = cgroup.lstrip("/")
    for path in (_CGROUPS / below / "memory.events", _CGROUPS / "memory" / below / "memory.oom_control"):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)
    return False


class _Timestamp(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_int64), ("nsec", ctypes.c_uint32), ("reserved", ctypes.c_int32))


class _Statx(ctypes.Structure):
    """`struct statx` (statx(2)) as far as the time of birth, and room for the rest."""

    _fields_ = (
        ("mask", ctypes.c_uint32),
        ("until_times", ctypes.c_uint8 * 60),
        ("atime", _Timestamp),
        ("btime", _Timestamp),
        ("rest", ctypes.c_uint8 * 160),
    )


def _birth(path: str) -> float | None:
    """When a file was made; Python's own stat does not tell."""
    statx = _libc_statx()
    if statx is None:
        return None
    found = _Statx()
    failed = statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, ctypes.byref(found))
    if failed or not found.mask & _STATX_BTIME:
        return None
    return float(found.btime.sec) + float(found.btime.nsec) / 1e9


@cache
def _libc_statx() -> "ctypes._NamedFuncPointer | None":
    """The C library's statx(2): glibc has it since 2.28, musl since 1.2.5."""
    return getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
