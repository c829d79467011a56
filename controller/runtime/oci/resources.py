"""Limits as cgroups (OCI runtime-spec, config-linux.md#control-groups)."""

from typing import Any, Final

from controller.runtime.port import InvalidConfig, Resources

CPU_PERIOD: Final = 100_000
"""Microseconds over which the CPU quota is counted: the kernel's and Kubernetes' default."""

LEAST_CPU_QUOTA: Final = 1_000
"""Microseconds: the kernel takes no smaller quota, so a smaller limit is rounded up, as the kubelet does."""

LEAST_MEMORY: Final = 1 << 20
"""Bytes: below it not even the OCI runtime's own first step fits, and what it then says names no cause."""

UNLIMITED: Final = -1


def linux_resources(resources: Resources) -> dict[str, Any]:
    """`linux.resources` of a new container, without devices: only what is limited is in it.

    Raises:
        InvalidConfig: when a limit cannot work.
    """
    _check(resources)
    limits: dict[str, Any] = {}
    if resources.cpu_millis is not None:
        limits["cpu"] = {"quota": _quota(resources.cpu_millis), "period": CPU_PERIOD}
    if resources.memory_bytes is not None:
        limits["memory"] = {"limit": resources.memory_bytes}
    return limits


def resource_changes(resources: Resources) -> dict[str, Any]:
    """The same for a container that runs: what is not limited is said to be so, since it may have been before.

    Raises:
        InvalidConfig: when a limit cannot work.
    """
    _check(resources)
    cpu = UNLIMITED if resources.cpu_millis is None else _quota(resources.cpu_millis)
    memory = UNLIMITED if resources.memory_bytes is None else resources.memory_bytes
    return {"cpu": {"quota": cpu, "period": CPU_PERIOD}, "memory": {"limit": memory}}


def _quota(cpu_millis: int) -> int:
    return max(cpu_millis * CPU_PERIOD // 1000, LEAST_CPU_QUOTA)


def _check(resources: Resources) -> None:
    if resources.cpu_millis is not None and resources.cpu_millis <= 0:
        raise InvalidConfig(f"a CPU limit of {resources.cpu_millis} thousandths of a core cannot work")
    if resources.memory_bytes is not None and resources.memory_bytes < LEAST_MEMORY:
        raise InvalidConfig(
            f"a memory limit of {resources.memory_bytes} bytes is too low for any process: at least {LEAST_MEMORY}"
        )
