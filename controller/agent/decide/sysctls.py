"""Kernel parameters that an instance may set: the safe ones, and those that the node allows. Pure.

Source: kubernetes.io, "Using sysctls in a Kubernetes Cluster", and the kubelet's lists (pkg/kubelet/sysctl,
k8s.io/component-helpers/node/util/sysctl) of v1.36.
"""

from collections.abc import Iterable
from typing import Final

from controller.api.spec import InstanceSpec
from controller.runtime.port import InvalidConfig

SAFE: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
"""They are of a namespace, and have no influence on other instances of the node."""

_OF_IPC: Final = frozenset(
    {
        *("kernel.sem", "kernel.shm", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"),
        *("kernel.msg", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni"),
    }
)
_NET, _MQUEUE = "net.", "fs.mqueue."


class SysctlForbidden(InvalidConfig):
    """A kernel parameter that an instance may not set on this node."""


def normal(name: str) -> str:
    """A parameter with dots between its parts; with slashes, dots are part of a name (sysctl.d(5))."""
    first = next((sign for sign in name if sign in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def namespaced(pattern: str) -> bool:
    """Whether a parameter, or all that a pattern with a final `*` names, are of a namespace: others are the whole node's."""
    name = normal(pattern).partition("*")[0]
    return name in _OF_IPC or f"{name}.".startswith((_NET, _MQUEUE))


def sysctls(spec: InstanceSpec) -> tuple[tuple[str, str], ...]:
    """What the processes of an instance find set, sorted."""
    return tuple(sorted((normal(s.name), s.value) for s in spec.security_context.sysctls))


def allow(spec: InstanceSpec, unsafe: Iterable[str]) -> None:
    """See to it that the node lets an instance set what it wants to.

    Args:
        spec: the instance's.
        unsafe: what the node allows beyond the safe ones: names, and patterns that end in `*`.

    Raises:
        SysctlForbidden: when one is neither safe nor allowed, or is the node's own with its network or IPC.
    """
    exact = SAFE | {normal(name) for name in unsafe if not name.endswith("*")}
    prefixes = tuple(normal(name)[:-1] for name in unsafe if name.endswith("*"))
    for name, _ in sysctls(spec):
        if name not in exact and not name.startswith(prefixes):
            raise SysctlForbidden(f"forbidden sysctl: {name!r} is not allowed on this node (--allowed-unsafe-sysctls)")
        of_net = name.startswith(_NET)
        if (of_net and spec.host_network) or (not of_net and spec.host_ipc):
            shared = "hostNetwork" if of_net else "hostIPC"
            raise SysctlForbidden(f"forbidden sysctl: {name!r} is the node's own with {shared}: true")
