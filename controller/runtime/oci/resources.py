"""Limits and promises as cgroups (OCI runtime-spec, config-linux.md#control-groups), by the kubelet's rules.

One form serves both versions of cgroups: an OCI runtime turns shares into the weight of version 2 (runc as
opencontainers/cgroups has it, so that one core keeps its rank beside processes that have the default weight).
"""

from typing import Any, Final

from controller.runtime.oci.host import Host
from controller.runtime.port import InvalidConfig, Resources

CPU_PERIOD: Final = 100_000
"""Microseconds over which the CPU quota is counted: the kernel's and Kubernetes' default."""

LEAST_CPU_QUOTA: Final = 1_000
"""Microseconds: the kernel takes no smaller quota, so a smaller limit is rounded up, as the kubelet does."""

SHARES_OF_A_CORE: Final = 1024
LEAST_SHARES: Final = 2
MOST_SHARES: Final = 262_144
"""What the kernel takes (sched-design-CFS; `MilliCPUToShares` of the kubelet)."""

LEAST_MEMORY: Final = 1 << 20
"""Bytes: below it not even the OCI runtime's own first step fits, and what it then says names no cause."""

UNLIMITED: Final = -1


def linux_resources(resources: Resources, host: Host) -> dict[str, Any]:
    """`linux.resources` of a new container, without devices: only what is said is in it.

    Raises:
        InvalidConfig: when a limit cannot work.
    """
    _check(resources)
    said: dict[str, Any] = {}
    cpu: dict[str, int] = {}
    if resources.cpu_request_millis is not None:
        cpu["shares"] = shares(resources.cpu_request_millis)
    if resources.cpu_millis is not None:
        cpu |= {"quota": quota(resources.cpu_millis), "period": CPU_PERIOD}
    if cpu:
        said["cpu"] = cpu
    if resources.memory_bytes is not None:
        said["memory"] = _memory(resources.memory_bytes, host)
    if resources.pids is not None:
        said["pids"] = {"limit": resources.pids}
    if pages := _huge_pages(resources, host):
        said["hugepageLimits"] = pages
    if host.cgroup_v2:
        # When memory runs out, the container ends as a whole, as a kubelet has it (`singleProcessOOMKill` is false there).
        said["unified"] = {"memory.oom.group": "1"}
    return said


def resource_changes(resources: Resources, host: Host) -> dict[str, Any]:
    """The same for a container that runs: what is not limited is said to be so, since it may have been before.

    Raises:
        InvalidConfig: when a limit cannot work.
    """
    _check(resources)
    asked = resources.cpu_request_millis
    cpu = UNLIMITED if resources.cpu_millis is None else quota(resources.cpu_millis)
    memory = _memory(UNLIMITED if resources.memory_bytes is None else resources.memory_bytes, host)
    if resources.memory_bytes is not None:
        memory["checkBeforeUpdate"] = True
    return {
        "cpu": {"shares": SHARES_OF_A_CORE if asked is None else shares(asked), "quota": cpu, "period": CPU_PERIOD},
        "memory": memory,
        "pids": {"limit": UNLIMITED if resources.pids is None else resources.pids},
    }


def _memory(limit: int, host: Host) -> dict[str, Any]:
    """A limit of memory is one of memory and swap together: what is limited does not swap, as a kubelet has it (NoSwap)."""
    return {"limit": limit, "swap": limit} if host.swap_limits else {"limit": limit}


def shares(cpu_millis: int) -> int:
    """Thousandths of a core as `cpu.shares`."""
    return min(max(cpu_millis * SHARES_OF_A_CORE // 1000, LEAST_SHARES), MOST_SHARES)


def quota(cpu_millis: int) -> int:
    """Thousandths of a core as microseconds in each period."""
    return max(cpu_millis * CPU_PERIOD // 1000, LEAST_CPU_QUOTA)


def oom_score(wanted: int, host: Host) -> int:
    """An OOM score as far as it may be had: one below the floor makes an OCI runtime fail."""
    return max(wanted, host.oom_score_floor)


def _huge_pages(resources: Resources, host: Host) -> list[dict[str, Any]]:
    """A limit for each size that the node has, 0 where none is said: who asks for none gets none."""
    said = dict(resources.huge_pages)
    for size in said:
        if size not in host.huge_pages:
            raise InvalidConfig(
                f"resources.limits.hugepages-{size}: this node has no huge pages of {size} to give to containers"
            )
    return [{"pageSize": f"{size.removesuffix('i')}B", "limit": said.get(size, 0)} for size in host.huge_pages]


def _check(resources: Resources) -> None:
    if resources.cpu_millis is not None and resources.cpu_millis <= 0:
        raise InvalidConfig(f"a CPU limit of {resources.cpu_millis} thousandths of a core cannot work")
    if resources.cpu_request_millis is not None and resources.cpu_request_millis < 0:
        raise InvalidConfig(f"a CPU request of {resources.cpu_request_millis} thousandths of a core cannot work")
    if resources.memory_bytes is not None and resources.memory_bytes < LEAST_MEMORY:
        raise InvalidConfig(
            f"a memory limit of {resources.memory_bytes} bytes is too low for any process: at least {LEAST_MEMORY}"
        )
    if resources.pids is not None and resources.pids <= 0:
        raise InvalidConfig(f"a limit of {resources.pids} processes cannot work")
