"""Shims that containerd has lost: it was killed after starting one and before noting it, and does not look for it again.

Such a shim serves nothing and would wait for ever. It is told by its socket: containerd keeps the address of each shim that it
knows in the bundles of the containers that the shim serves (`bootstrap.json`, before that `address`). Whatever cannot be read
makes nothing a lost shim. All shims are begun in the same way, whatever they run (containerd, core/runtime/v2/README.md): in a
bundle, and told containerd's address and namespace.
"""

import itertools
import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_DELETED: Final = " (deleted)"


@dataclass(frozen=True, slots=True)
class Process:
    """A process, by its pid and its start in clock ticks, which together are never given twice."""

    pid: int
    started: str


def lost_shims(address: str, namespace: str, programs: Collection[str]) -> frozenset[Process]:
    """The shims of a containerd's namespace that have no process to serve and that containerd does not know.

    Args:
        address: of containerd's socket.
        namespace: of containerd.
        programs: names of the programs that are shims.
    """
    shims, parents = [], set()
    for pid in (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()):
        with suppress(OSError):
            parents.add(_stat(pid)[1])
            if _is_shim(pid, address, namespace, programs):
                shims.append(pid)
    idle = [pid for pid in shims if str(pid) not in parents]
    found = set()
    for pid in idle:
        with suppress(OSError):
            sockets = _listens_at(pid)
            if sockets and not any(s in known for s in sockets for known in _known_addresses(_bundles(pid))):
                found.add(Process(pid, _stat(pid)[19]))
    return frozenset(found)


def end(process: Process) -> bool:
    """Kill a lost shim and remove its socket; whether it was still there."""
    try:
        if _stat(process.pid)[19] != process.started:
            return False
        sockets = _listens_at(process.pid)
        os.kill(process.pid, signal.SIGKILL)
    except (OSError, ProcessLookupError):
        return False
    for path in sockets:
        Path(path).unlink(missing_ok=True)
    return True


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (proc_pid_stat(5)): [1] is the parent, [19] the start."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _is_shim(pid: int, address: str, namespace: str, programs: Collection[str]) -> bool:
    words = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    options = dict(itertools.pairwise(words))
    mine = options.get("-address") == address and options.get("-namespace") == namespace
    return mine and Path(words[0]).name in programs


def _listens_at(pid: int) -> list[str]:
    """Paths of the unix sockets that a process has open."""
    inodes = set()
    for descriptor in (_PROC / str(pid) / "fd").iterdir():
        with suppress(FileNotFoundError):
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    lines = (_PROC / str(pid) / "net" / "unix").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sorted({f[7] for f in fields if len(f) > 7 and f[6] in inodes})


def _bundles(pid: int) -> Path:
    """The folder of all bundles: a shim stands in the one of its first container."""
    return Path(str((_PROC / str(pid) / "cwd").readlink()).removesuffix(_DELETED)).parent


def _known_addresses(bundles: Path) -> Iterator[str]:
    for bundle in bundles.iterdir():
        for name in ("bootstrap.json", "address"):
            with suppress(FileNotFoundError, NotADirectoryError):
                yield (bundle / name).read_text()
