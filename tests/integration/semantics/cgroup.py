"""What the kernel holds a container to, read from whichever version of cgroups the node has."""

import math
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
V2: Final = (ROOT / "cgroup.controllers").exists()
UNLIMITED: Final = "none"

_V1: Final = {
    "weight": ("cpu", "cpu.shares"),
    "cpu": ("cpu", "cpu.cfs_quota_us"),
    "memory": ("memory", "memory.limit_in_bytes"),
    "pids": ("pids", "pids.max"),
}
_V2: Final = {"weight": "cpu.weight", "cpu": "cpu.max", "memory": "memory.max", "pids": "pids.max"}


def held_to(node: str, container_id: str) -> dict[str, str]:
    """Weight, quota in microseconds, bytes of memory, processes."""
    below = f"moorage/{node}/{container_id}"
    if V2:
        found = {name: (ROOT / below / file).read_text().split()[0] for name, file in _V2.items()}
    else:
        found = {name: (ROOT / where / below / file).read_text().strip() for name, (where, file) in _V1.items()}
    return {name: _plain(value) for name, value in found.items()}


def weight(shares: int) -> str:
    """Shares, as they are found: on version 2 what runc makes of them, so that the least is 1 and that of a core 100."""
    bits = math.log2(shares)
    return str(math.ceil(10 ** ((bits * bits + 125 * bits) / 612 - 7 / 34))) if V2 else str(shares)


def _plain(value: str) -> str:
    return UNLIMITED if value in {"-1", "max"} or int(value) > 1 << 60 else value
