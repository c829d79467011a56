"""What this node can do, for the OCI spec."""

import ctypes
import os
import platform
import re
import stat
from pathlib import Path
from typing import Final

from controller.runtime.oci.capabilities import decode_capabilities
from controller.runtime.oci.host import Device, Host
from controller.runtime.platforms import node_platform

_UNIFIED: Final = Path("/sys/fs/cgroup/cgroup.controllers")
"""There exactly when the node has cgroup v2 alone (cgroups(7))."""
_MEMORY_AND_SWAP: Final = Path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
_SECCOMP: Final = Path("/proc/sys/kernel/seccomp")
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_HUGE_PAGES: Final = re.compile(r"hugepages-([0-9]+)kB")
LOWEST_OOM_SCORE: Final = -1000
_X32_GETPID: Final = 0x40000000 + 39
_STATUS: Final = Path("/proc/self/status")

_NODE: Final = "/proc/1/root"
"""The node's own files, also for an agent in a pod: its /dev has the devices that came after that pod's start, too."""

_OWN: Final = frozenset({"pts", "shm", "mqueue", "fd", "console", "stdin", "stdout", "stderr"})
"""In /dev, but the container's own affair."""


def detect_host() -> Host:
    """Look at the node. Devices are left out: see `devices`."""
    bounding = next(line for line in _STATUS.read_text().splitlines() if line.startswith("CapBnd:"))
    return Host(
        architecture=node_platform().architecture,
        capabilities=decode_capabilities(int(bounding.split()[1], 16)),
        cgroup_v2=_UNIFIED.exists(),
        seccomp=_SECCOMP.exists(),
        x32=_serves_x32(),
        oom_score_floor=_oom_score_floor(),
        huge_pages=huge_pages(),
        swap_limits=_UNIFIED.exists() or _MEMORY_AND_SWAP.exists(),
    )


def _oom_score_floor() -> int:
    """With CAP_SYS_RESOURCE any score may be set; without, none below the own one, which what is started from here inherits."""
    effective = next(line for line in _STATUS.read_text().splitlines() if line.startswith("CapEff:"))
    if "CAP_SYS_RESOURCE" in decode_capabilities(int(effective.split()[1], 16)):
        return LOWEST_OOM_SCORE
    return int(_OOM_SCORE.read_text())


def huge_pages(cgroups: Path = Path("/sys/fs/cgroup"), sizes: Path = Path("/sys/kernel/mm/hugepages")) -> tuple[str, ...]:
    """Sizes of huge pages that containers can be limited in, the smallest first; none without the controller hugetlb."""
    unified = cgroups / _UNIFIED.name
    if not ("hugetlb" in unified.read_text().split() if unified.exists() else (cgroups / "hugetlb").exists()):
        return ()
    found = (_HUGE_PAGES.fullmatch(folder.name) for folder in sizes.glob("hugepages-*"))
    return tuple(_size(kib) for kib in sorted(int(match[1]) for match in found if match))


def _size(kib: int) -> str:
    """As resources name it: 2048 is `2Mi`."""
    for unit in "KM":
        if kib % 1024:
            return f"{kib}{unit}i"
        kib //= 1024
    return f"{kib}Gi"


def _serves_x32() -> bool:
    """Ask the kernel for our own pid by the x32 number of getpid(2); one that does not serve x32 answers ENOSYS (x32(7))."""
    return platform.machine() == "x86_64" and ctypes.CDLL(None).syscall(_X32_GETPID) == os.getpid()


def devices(root: str = _NODE) -> tuple[Device, ...]:
    """The node's devices, which a privileged container gets all of: those below `root`/dev, named as they are on the node."""
    found = []
    top = f"{root}/dev" if os.access(f"{root}/dev", os.R_OK | os.X_OK) else "/dev"
    for folder, folders, names in os.walk(top):
        if folder == top:
            folders[:] = [name for name in folders if name not in _OWN]
        for name in names:
            path = f"/dev{folder.removeprefix(top)}/{name}"
            try:
                info = os.lstat(f"{folder}/{name}")
            except FileNotFoundError:
                continue  # devices come and go
            kind = "c" if stat.S_ISCHR(info.st_mode) else "b" if stat.S_ISBLK(info.st_mode) else ""
            if kind and name not in _OWN:
                major, minor = os.major(info.st_rdev), os.minor(info.st_rdev)
                found.append(Device(path, kind, major, minor, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid))
    return tuple(found)
