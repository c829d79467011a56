"""Remove everything that belongs to a state folder: `down(state)`."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools.lab import procfs
from tools.lab.claims import RUN, remove_run_folder
from tools.lab.leftovers import Leftovers, sweep
from tools.lab.process import MARKER

END_SECONDS = 20.0
"""How long processes and cgroups may take to vanish."""

MNT_DETACH = 2
"""umount2(2): take the mount out of the tree now, and free it when the last user is gone."""

RUNTIME_FOLDERS = (Path("/run/containerd/runc"), Path("/run/containerd/fifo"), Path("/run/containerd"))
"""Made by the first container of the machine; removed when empty, and no other lab is there that might be using them."""


def down(state: Path, *, cgroup_parents: Iterable[str] = (), keep_logs: bool = False) -> Leftovers:
    """End and remove all that belongs to `state`, and look again; returns what is left, which should be nothing.

    It may be called at any time and any number of times, also when whatever made the folder was killed half way.

    The order, and why:

    1. Processes, in the order makers, shims, containers, with SIGKILL, since all their state is thrown away. The list is
       taken again until it is empty, as a shim that was just being started has a turn in which it is not seen.
    2. Mounts, newest first. Before the files, lest a removal reaches through a mount.
    3. Cgroups, innermost first: the kernel takes back only empty ones, so after the processes.
    4. Network namespaces: the name is a mount and a file; the namespace itself ended with its last process.
    5. Files outside of the folder, then the folder itself, which holds the notes by which the others are found.

    Args:
        state: the folder given to the components, or a parent of such folders.
        cgroup_parents: cgroups that belong to it besides the claimed ones.
        keep_logs: leave `logs` folders, for a reader after a test; the rest goes.
    """
    state = state.resolve()
    parents = tuple(cgroup_parents)
    found = _end_processes(state, parents)
    for point in found.mounts:
        _unmount(point)
    _remove_cgroups(found.cgroups)
    for network in found.networks:
        _unmount(network)
        network.unlink(missing_ok=True)
        _remove_empty(network.parent)
    for path in found.files:
        if path.is_relative_to(RUN):
            remove_run_folder(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
            _remove_empty(path.parent)
    if not RUN.exists():
        for folder in RUNTIME_FOLDERS:
            _remove_empty(folder)
    left = sweep(state, cgroup_parents=parents)
    if left.mounts or left.processes or not (state / MARKER).exists():
        return left
    _remove_folder(state, keep_logs=keep_logs)
    return sweep(state, cgroup_parents=parents)


def _end_processes(state: Path, cgroup_parents: Sequence[str]) -> Leftovers:
    """Kill until a look finds no process more, or the deadline passes; returns that last look."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        found = sweep(state, cgroup_parents=cgroup_parents)
        if not found.processes or time.monotonic() > deadline:
            return found
        for process in found.processes:
            process.signal(signal.SIGKILL)
        for process in found.processes:
            process.wait(max(0.0, deadline - time.monotonic()))


def _unmount(point: Path) -> None:
    """Take a mount out of the tree; what still uses it keeps it alive, and is found as a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2(os.fsencode(point), MNT_DETACH)


def _remove_cgroups(folders: Sequence[Path]) -> None:
    """Remove cgroups, innermost first, and their parents as far as they are empty.

    A cgroup stays busy for a moment after its last process has been reaped, and the kernel reports no event for that in v1.
    """
    deadline = time.monotonic() + END_SECONDS
    for folder in folders:
        while not _remove_empty(folder) and folder.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    tops = {mount.point for mount in procfs.mounts() if mount.kind in {"cgroup", "cgroup2"}}
    parents = {parent for folder in folders for parent in folder.parents if tops & set(parent.parents)}
    for parent in sorted(parents, key=lambda path: -len(path.parts)):
        _remove_empty(parent)


def _remove_empty(folder: Path) -> bool:
    """Remove a folder unless something is in it or uses it; True when it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _remove_folder(state: Path, *, keep_logs: bool) -> None:
    """Remove the state folder, or all that is in it but the logs; the marker goes last, so that a second try is possible."""
    for entry in list(state.iterdir()):
        if entry.name == MARKER or (keep_logs and entry.name == "logs"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not keep_logs:
        (state / MARKER).unlink()
        _remove_empty(state)
