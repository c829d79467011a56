"""Find everything that belongs to a state folder: `sweep(state)`.

Nothing here asks containerd or any other component, so it works after a crash at any moment. What belongs to a state folder:

- processes: those with a pid file in it; those whose environment carries the lab's tag for it (components, shims, runc); shims
  that serve its containerd; processes whose root file system lies in it (containers); processes in its cgroups; and the
  children of all of them. Never this process and its ancestors, nor a shell that merely stands in the folder.
- mounts below it, pinned network namespaces among them;
- cgroups: the claimed ones, and those of the containers of its containerd;
- named network namespaces that were claimed;
- files elsewhere: its run folder with its sockets, and what runc keeps of its containers in /run/containerd/runc;
- the folder itself.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.lab import procfs
from tools.lab.claims import claims, run_folders
from tools.lab.process import MARKER, TAG, read_pid_file
from tools.lab.procfs import ProcessId

NETNS = Path("/run/netns")
RUNC_STATES = Path("/run/containerd/runc")
"""Where shims tell runc to keep its state unless a container's runtime options say otherwise."""

BUNDLES = "io.containerd.runtime.v2.task"
"""The folder in the state folder of a containerd that holds the bundle of each task: `<namespace>/<id>/config.json`."""

BUNDLE_FOLDERS = ("state", "*/state", "root/run/containerd", "*/root/run/containerd")
"""The state folders of containerds, on this machine and on nodes of their own, from a state folder or the one above."""


@dataclass(frozen=True)
class Leftovers:
    """What there is of one state folder at one moment."""

    state: Path
    processes: tuple[ProcessId, ...]
    mounts: tuple[Path, ...]
    cgroups: tuple[Path, ...]
    """Folders of the cgroup file systems, innermost first."""
    networks: tuple[Path, ...]
    files: tuple[Path, ...]
    """Files and folders outside of the state folder."""
    folder: bool
    """True when the state folder, made by the lab, holds more than logs."""

    def __bool__(self) -> bool:
        return bool(self.processes or self.mounts or self.cgroups or self.networks or self.files or self.folder)

    def describe(self) -> list[str]:
        """One line for each thing, for people."""
        lines = [f"process {process.pid}: {' '.join(procfs.command(process.pid))[:150]}" for process in self.processes]
        for kind, paths in (
            ("mount", self.mounts),
            ("cgroup", self.cgroups),
            ("network namespace", self.networks),
            ("file", self.files),
            ("folder", (self.state,) if self.folder else ()),
        ):
            lines += [f"{kind} {path}" for path in paths]
        return lines


def sweep(state: Path, *, cgroup_parents: Iterable[str] = ()) -> Leftovers:
    """Find all that belongs to `state`.

    Args:
        state: the folder given to the components, or a parent of such folders.
        cgroup_parents: cgroups that belong to it besides the claimed ones, as paths from the root of the hierarchies.
    """
    state = state.resolve()
    claimed = claims(state)
    parents = {*cgroup_parents, *(claim.name for claim in claimed if claim.kind == "cgroup"), *_bundle_cgroups(state)}
    cgroups = tuple(_cgroup_folders(parents))
    networks = (NETNS / claim.name for claim in claimed if claim.kind == "netns")
    return Leftovers(
        state=state,
        processes=tuple(_processes(state, cgroups)),
        mounts=tuple(mount.point for mount in reversed(procfs.mounts()) if mount.point.is_relative_to(state)),
        cgroups=cgroups,
        networks=tuple(path for path in networks if path.exists()),
        files=(*run_folders(state), *_runc_states(state)),
        folder=(state / MARKER).exists() and any(entry.name not in {MARKER, "logs"} for entry in state.iterdir()),
    )


def _processes(state: Path, cgroups: Iterable[Path]) -> list[ProcessId]:
    """The processes of `state`, those that make others first: components, then shims, then containers."""
    children: dict[int, list[int]] = defaultdict(list)
    noted = (read_pid_file(file) for file in _pid_files(state))
    roots = [process.pid for process in noted if process is not None and process.alive]
    for pid in procfs.process_ids():
        children[procfs.parent(pid)].append(pid)
        if _belongs(pid, state):
            roots.append(pid)
    roots += [int(line) for folder in cgroups for line in _lines(folder / "cgroup.procs")]
    spared = _own_line()
    found: dict[int, ProcessId] = {}
    waiting = roots[::-1]
    while waiting:
        pid = waiting.pop()
        process = ProcessId.of(pid)
        if pid in found or pid in spared or process is None:
            continue
        found[pid] = process
        waiting += children[pid]
    return sorted(found.values(), key=_rank)


def _belongs(pid: int, state: Path) -> bool:
    tag = procfs.environment(pid, TAG)
    if tag is not None and Path(tag).is_relative_to(state):
        return True
    root = next((mount for mount in procfs.mounts(pid) if mount.point == Path("/")), None)
    return root is not None and _mentions(f"{root.root},{root.options}", state)


def _mentions(text: str, state: Path) -> bool:
    """True when a path of `text` lies in the folder (`/a/lab10` does not lie in `/a/lab1`)."""
    return re.search(rf"{re.escape(str(state))}(?=[/,:]|$)", text) is not None


def _rank(process: ProcessId) -> tuple[int, int]:
    arguments = procfs.command(process.pid)
    program = Path(arguments[0]).name if arguments else ""
    tagged = procfs.environment(process.pid, TAG) is not None
    return (0 if tagged and not program.startswith("containerd-shim") else 1 if tagged else 2, process.started)


def _own_line() -> set[int]:
    """This process and its ancestors."""
    line = set()
    pid = os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        pid = procfs.parent(pid)
    return line


def _pid_files(state: Path) -> Iterator[Path]:
    yield from state.glob("run/*.pid")
    yield from state.glob("*/run/*.pid")


def _bundle_cgroups(state: Path) -> set[str]:
    """The cgroups of the containers that containerd has in `state`, from the OCI specs in their bundles."""
    found = set()
    bundles = f"{BUNDLES}/*/*/config.json"
    for bundle in (path for folder in BUNDLE_FOLDERS for path in state.glob(f"{folder}/{bundles}")):
        try:
            path = json.loads(bundle.read_text()).get("linux", {}).get("cgroupsPath", "")
        except (FileNotFoundError, ValueError):
            continue  # being made or removed right now
        if path.startswith("/") and path.strip("/"):
            found.add(path)
    return found


def cgroup_hierarchies() -> list[Path]:
    """Where the cgroup file systems are, v1 and v2."""
    return [mount.point for mount in procfs.mounts() if mount.kind in {"cgroup", "cgroup2"}]


def _cgroup_folders(parents: Iterable[str]) -> list[Path]:
    """The folders of the given cgroups in every hierarchy, v1 and v2, with all below them; innermost first."""
    found: set[Path] = set()
    for hierarchy in cgroup_hierarchies():
        for parent in parents:
            found.update(Path(folder) for folder, _, _ in os.walk(hierarchy / parent.strip("/")))
    return sorted(found, key=lambda folder: (-len(folder.parts), folder))


def _runc_states(state: Path) -> list[Path]:
    """The folders in which runc keeps its state of containers whose bundle lies in `state`."""
    found = []
    for file in RUNC_STATES.glob("*/*/state.json"):
        try:
            labels = json.loads(file.read_text()).get("config", {}).get("labels", [])
        except (FileNotFoundError, ValueError):
            continue
        if any(label.startswith("bundle=") and Path(label[7:]).is_relative_to(state) for label in labels):
            found.append(file.parent)
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []  # gone meanwhile, or a threaded cgroup
