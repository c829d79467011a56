"""What processes use, from /proc (proc(5))."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tools.lab import procfs

TICKS = os.sysconf("SC_CLK_TCK")
SHIM = "containerd-shim-runc-v2"


def cpu_seconds(stat: str) -> tuple[float, float]:
    """CPU time of a process and of its children that have ended and been waited for, from its /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    user, system, child_user, child_system = (int(field) for field in fields[11:15])
    return (user + system) / TICKS, (child_user + child_system) / TICKS


def process_cpu(pid: int) -> float:
    """CPU time of a process with its ended children; 0 when it is gone."""
    return sum(_cpu(pid))


def rss_megabytes(pid: int) -> float:
    """Resident memory (VmRSS), in 10^6 bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(kibibytes) * 1024 / 1e6


class Usage:
    """CPU time of everything that takes part, at one moment: seconds by name of the process."""

    def __init__(self, processes: Mapping[str, Callable[[], int]], containerd: str) -> None:
        """Remember what to look at.

        Args:
            processes: the pid of each process by name, asked for at every look, as a process may be started anew.
            containerd: address of the containerd whose shims count.
        """
        self._processes = processes
        self._containerd = containerd

    def look(self) -> dict[str, float]:
        """The CPU time so far. `kubectl` is what this process has started, `benchmark` itself."""
        own, children = _cpu(os.getpid())
        used = {name: process_cpu(pid()) for name, pid in self._processes.items()}
        return used | {"shims": self._shims(), "kubectl": children, "benchmark": own}

    def _shims(self) -> float:
        """Shims, the OCI runtimes that they have run, and the processes of containers.

        A container's process is counted because it began as the OCI runtime's init.
        """
        children: dict[int, list[int]] = defaultdict(list)
        found = []
        for pid in procfs.process_ids():
            children[procfs.parent(pid)].append(pid)
            arguments = procfs.command(pid)
            if arguments and Path(arguments[0]).name == SHIM and self._containerd in arguments:
                found.append(pid)
        return sum(process_cpu(pid) for pid in _with_descendants(found, children))


def machine_cpu() -> float:
    """CPU time that the whole machine has used so far, in seconds; not idle, not waiting for a disk."""
    user, nice, system, _idle, _wait, *interrupts = (int(field) for field in Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(interrupts)) / TICKS


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """The CPU time between two looks."""
    return {name: after[name] - before[name] for name in after}


def percent_of_core(pids: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Look at processes for a while: the share of a core that each uses, in percent."""
    begun = time.monotonic()
    before = {name: process_cpu(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    passed = time.monotonic() - begun
    return {name: (process_cpu(pid) - before[name]) / passed * 100 for name, pid in pids.items()}


def _cpu(pid: int) -> tuple[float, float]:
    try:
        return cpu_seconds(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0


def _with_descendants(roots: Iterable[int], children: Mapping[int, list[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found
