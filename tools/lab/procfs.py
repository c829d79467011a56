"""What the kernel tells about processes and mounts, read from /proc (proc(5))."""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, order=True)
class ProcessId:
    """A process and the moment it started, so that a reused number is never taken for it."""

    pid: int
    started: int
    """Clock ticks after boot: field 22 of /proc/PID/stat."""

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The live process `pid`; None when there is none or it is a zombie.

        A zombie with more than one thread is still alive: its first thread ended, others are on their way out.
        """
        fields = _stat(pid)
        if fields is None or (fields[0] in "ZX" and int(fields[17]) <= 1):
            return None
        return cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """True while this very process runs."""
        return ProcessId.of(self.pid) == self

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False when the process is gone."""
        descriptor = self._open()
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the process, a child of ours or not; False when it still runs after `seconds`."""
        descriptor = self._open()
        if descriptor is None:
            return True
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            return bool(poller.poll(seconds * 1000))
        finally:
            os.close(descriptor)

    def _open(self) -> int | None:
        """A pidfd of this very process: once it is open, the number cannot come to mean another one."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if not self.alive:
            os.close(descriptor)
            return None
        return descriptor


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo."""

    point: Path
    root: str
    kind: str
    options: str
    """The options of the file system itself, for an overlay its upper and lower folders."""


def process_ids() -> Iterator[int]:
    """The numbers of all processes of this machine."""
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def parent(pid: int) -> int:
    """The parent of a process; 0 when it is gone or has none."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def command(pid: int) -> list[str]:
    """The arguments of a process; empty when it is gone or a kernel thread."""
    return [os.fsdecode(part) for part in _read(pid, "cmdline").split(b"\0") if part]


def environment(pid: int, name: str) -> str | None:
    """One variable of the environment a process was started with."""
    prefix = os.fsencode(name) + b"="
    for entry in _read(pid, "environ").split(b"\0"):
        if entry.startswith(prefix):
            return os.fsdecode(entry.removeprefix(prefix))
    return None


def cgroups(pid: int) -> set[str]:
    """The cgroups of a process in all hierarchies, as paths from their roots."""
    lines = os.fsdecode(_read(pid, "cgroup")).splitlines()
    return {line.split(":", 2)[2] for line in lines}


def mounts(pid: int | str = "self") -> list[Mount]:
    """The mounts that a process sees, in the order in which they were made."""
    found = []
    for line in os.fsdecode(_read(pid, "mountinfo")).splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        found.append(Mount(Path(_unescape(fields[4])), _unescape(fields[3]), kind[0], _unescape(kind[-1])))
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on; the second, the name, may hold spaces and brackets."""
    text = os.fsdecode(_read(pid, "stat"))
    return text.rpartition(")")[2].split() if text else None


def _read(pid: int | str, name: str) -> bytes:
    """A file of a process; empty when the process is gone (no such file, ESRCH in the midst) or a zombie (EINVAL)."""
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _unescape(text: str) -> str:
    """Undo the octal escapes with which mountinfo writes spaces, tabs, newlines and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)
