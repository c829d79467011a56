"""A running process as it sees itself, read from its /proc (proc(5)): files through `root`, settings inside of its namespaces.

Nothing of this runs in the container, so a spec is run as it is written, whatever its image holds.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.diffkubelet import texts
from tools.lab import procfs
from tools.progress import ToolError

SECONDS = 10.0
POLL_SECONDS = 0.02

RUNTIMES = ("runc", "memfd:runc")
"""Names of the program that an OCI runtime is, by file or from memory, in the process that becomes the container's."""

SPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
"""Kinds of namespaces (namespaces(7))."""

SETTINGS = (
    *("kernel/hostname", "kernel/domainname", "kernel/shm_rmid_forced", "kernel/shmmax", "kernel/msgmax", "kernel/sem"),
    *("fs/mqueue/msg_max", "net/core/somaxconn", "net/ipv4/ip_forward", "net/ipv4/ip_local_port_range"),
    *("net/ipv4/ip_unprivileged_port_start", "net/ipv4/ping_group_range", "net/ipv4/tcp_syncookies"),
    *("net/ipv4/tcp_keepalive_time", "net/ipv4/conf/all/rp_filter", "net/ipv6/conf/all/disable_ipv6"),
)
"""Of the kernel, those that belong to a namespace, below /proc/sys."""

LIMITS = (
    *("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.weight", "cpu.max", "pids.max", "cpuset.cpus", "cpuset.mems"),
    *("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max", "memory.swap.max", "memory.min", "memory.high"),
    "devices.list",
)
"""Files of cgroups that are compared, v1 and v2."""

ETC = ("hosts", "hostname", "resolv.conf", "passwd", "group")
_OWN_TREES = ("/proc", "/sys", "/dev")
MOST_FILES = 60
"""Of each volume that are looked at."""


def processes(pids: Mapping[str, int], network: Path) -> dict[str, dict[str, Any]]:
    """What each container's first process sees, by container.

    Args:
        pids: the processes of one pod, by container.
        network: a file that is the node's network namespace; the other namespaces of the node are this process's own.
    """
    for pid in pids.values():
        _until_begun(pid)
    node = _spaces(os.getpid()) | {"net": _inode(network)}
    spaces = {name: _spaces(pid) for name, pid in pids.items()}
    found = {}
    for name, pid in pids.items():
        others = [spaces[other] for other in pids if other != name]
        shared = texts.spaces(spaces[name], node, others)
        found[name] = process(pid) | {"namespaces": shared}
        if shared["net"] == "the node's":  # on which links of other pods come and go
            found[name]["network"] = "the node's"
    return found


def process(pid: int) -> dict[str, Any]:
    """What one process sees."""
    proc = Path(f"/proc/{pid}")
    mountinfo = (proc / "mountinfo").read_text()
    return {
        "argv": texts.zero_separated((proc / "cmdline").read_bytes()),
        "env": texts.environment((proc / "environ").read_bytes()),
        "cwd": str((proc / "cwd").readlink()),
        "status": texts.process_status((proc / "status").read_text()),
        "rlimits": texts.limits((proc / "limits").read_text()),
        "oom_score_adj": (proc / "oom_score_adj").read_text().strip(),
        "stdio": {name: _stdio(proc / "fd" / str(number)) for number, name in enumerate(("stdin", "stdout", "stderr"))},
        "pids_seen": len((proc / "status").read_text().partition("NSpid:")[2].partition("\n")[0].split()),
        "cgroup": dict(_limits(proc)),
        "mounts": texts.mounts(mountinfo),
        "files": dict(_files(proc / "root", mountinfo)),
        "dev": dict(_devices(proc / "root")),
        "sysctl": _settings(pid),
        "network": _network(pid),
    }


def _until_begun(pid: int) -> None:
    """Wait until the OCI runtime has become the container's own program: it tells of a start just before that.

    Nothing tells of the change; in its midst the kernel shows the new program without arguments (execve(2)).
    """
    deadline = time.monotonic() + SECONDS
    while not procfs.command(pid) or Path(f"/proc/{pid}/exe").readlink().name.startswith(RUNTIMES):
        if time.monotonic() > deadline:
            raise ToolError(f"process {pid} is still {' '.join(procfs.command(pid)) or 'nothing'}")
        time.sleep(POLL_SECONDS)


def _spaces(pid: int) -> dict[str, str]:
    return {kind: _inode(Path(f"/proc/{pid}/ns/{kind}")) for kind in SPACES}


def _inode(path: Path) -> str:
    return str(path.stat().st_ino)


def _stdio(fd: Path) -> str:
    try:
        target = str(fd.readlink())
    except FileNotFoundError:
        return "closed"
    if target.startswith(("/dev/pts/", "/dev/console")):
        return "terminal"
    return target if target.startswith("/dev/") else "pipe" if target.startswith("pipe:") else "file"


def _limits(proc: Path) -> Iterator[tuple[str, str]]:
    """Values of the process's cgroups (cgroups(7)); those that the node does not have are left out."""
    lines = (line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines())
    paths = [(set(controllers.split(",")), path.lstrip("/")) for _, controllers, path in lines]
    for mount in procfs.mounts():
        if mount.kind not in {"cgroup", "cgroup2"}:
            continue
        controllers = {""} if mount.kind == "cgroup2" else set(mount.options.split(","))
        path = next((path for mine, path in paths if mine <= controllers), None)
        for name in LIMITS:
            if path is not None and (file := mount.point / path / name).exists():
                yield name, "; ".join(sorted(filter(None, file.read_text().splitlines())))


def _files(root: Path, mountinfo: str) -> Iterator[tuple[str, dict[str, str]]]:
    """What lies at each mount point that is not the kernel's own, and a few files of /etc."""
    points = {line.split(" ")[4] for line in mountinfo.splitlines()}
    own = {f"/etc/{name}" for name in ETC}
    for point in sorted((points | own) - {"/"}):
        if point.startswith(_OWN_TREES) and point != "/dev/termination-log":
            continue
        path = root / point.lstrip("/")
        if path.is_dir():
            yield point, dict(_tree(path))
        elif path.exists():
            yield point, {".": _entry(path, text=point.startswith("/etc/"))}


def _tree(top: Path) -> Iterator[tuple[str, str]]:
    """Every entry of a volume, with mode, owner and content."""
    yield ".", _entry(top)
    count = 0
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted([*folders, *names]):
            count += 1
            if count > MOST_FILES:
                return
            path = Path(folder, name)
            yield str(path.relative_to(top)), _entry(path)


def _entry(path: Path, *, text: bool = False) -> str:
    """Kind, mode and owner, and what it holds or leads to."""
    about = path.lstat()
    kind = stat.filemode(about.st_mode)
    shown = f"{kind} {about.st_uid}:{about.st_gid}"
    if stat.S_ISLNK(about.st_mode):
        return f"{shown} -> {path.readlink()}"
    if stat.S_ISREG(about.st_mode):
        try:
            data = path.read_bytes()
        except OSError as exc:  # a namespace that is mounted on it, for example
            return f"{shown} {errno.errorcode[exc.errno or 0]}"
        return f"{shown} {texts.plain_lines(data.decode(errors='replace')) if text else texts.content(data)}"
    return shown


def _devices(root: Path) -> Iterator[tuple[str, str]]:
    """Everything below /dev, but for what is mounted there."""
    top = root / "dev"
    here = top.stat().st_dev
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if Path(folder, name).lstat().st_dev == here]
        for name in (*folders, *names):
            path = Path(folder, name)
            about = path.lstat()
            shown = f"{stat.filemode(about.st_mode)} {about.st_uid}:{about.st_gid}"
            if stat.S_ISLNK(about.st_mode):
                shown += f" -> {path.readlink()}"
            elif not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
                shown += f" {os.major(about.st_rdev)}:{os.minor(about.st_rdev)}"
            yield str(path.relative_to(top)), shown


def _settings(pid: int) -> dict[str, str]:
    """Settings as they are for whoever is in the process's namespaces."""
    script = 'for key; do [ -e "/proc/sys/$key" ] && echo "$key $(cat "/proc/sys/$key")"; done; true'
    shown = _inside(pid, ("--uts", "--ipc", "--net"), "sh", "-c", script, "sh", *SETTINGS)
    pairs = (line.split(" ", 1) for line in shown.splitlines())
    return {key.replace("/", "."): " ".join(value.split()) for key, value in pairs}


def _network(pid: int) -> dict[str, Any]:
    addresses, routes = (json.loads(_inside(pid, ("--net",), "ip", "-json", what)) for what in ("address", "route"))
    return texts.links(addresses, routes)


def _inside(pid: int, spaces: Iterable[str], *command: str) -> str:
    """What a command of this machine says in namespaces of a process."""
    entered = ["nsenter", f"--target={pid}", *spaces, "--", *command]
    done = subprocess.run(entered, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        raise ToolError(f"`{' '.join(entered)}` failed: {done.stderr.strip()}")
    return done.stdout
