"""What the node itself tells about a container where containerd does not: files, /proc and cgroups.

Everything here is a look at a local file that takes microseconds; what cannot be read is None or False, never an error.
"""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_CGROUPS: Final = Path("/sys/fs/cgroup")


@cache
def boot_id() -> str:
    """The id of the node's present boot (random(4))."""
    return _BOOT_ID.read_text().strip()


def mark_started(log_path: str) -> None:
    """Note beside the log that the command is about to run: an empty file, whose time is the time of the start.

    The log itself proves nothing: the shim makes it well before the command runs, and may be interrupted between the two.
    """
    mark = _mark(log_path)
    try:
        descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except FileNotFoundError:
        mark.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
    os.close(descriptor)


def unmark_started(log_path: str) -> None:
    """The command did not run after all."""
    _mark(log_path).unlink(missing_ok=True)


def was_started(log_path: str) -> bool:
    """Whether the start was noted."""
    return _mark(log_path).exists()


def _mark(log_path: str) -> Path:
    path = Path(log_path)
    return path.with_name(f".{path.name}.started")


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

    The note beside the log comes first, since it says the same before and after the end of the process, of the agent and of the
    node. Without a log, it is the start of the process, as long as that lives (`pid` is not 0).
    """
    if log_path:
        with suppress(OSError):
            return _mark(log_path).stat().st_mtime
    return process_start(pid) if pid else None


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
