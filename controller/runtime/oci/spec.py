"""`ContainerConfig` -> OCI runtime spec (github.com/opencontainers/runtime-spec, config.md and config-linux.md).

The defaults are Docker's: the same namespaces, mounts, capabilities, masked paths and system call filter, and no new
privileges. Resource limits of processes stay as the OCI runtime has them itself, and an OOM score is lowered no further than
allowed: both take CAP_SYS_RESOURCE, which a node agent in a container of its own often lacks.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.runtime.oci.host import Host
from controller.runtime.oci.pause import NAME
from controller.runtime.oci.resources import linux_resources, oom_score
from controller.runtime.oci.security import bounding_set, confinement, process_capabilities
from controller.runtime.oci.users import User
from controller.runtime.port import ContainerConfig, ExecConfig, InvalidConfig, Mount, Security

OCI_VERSION: Final = "1.1.0"

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where commands are looked for when neither image nor container says so, as with Docker."""

_NOBODY: Final = 65535
"""Number of the user and group of a holder, as in a pod."""

_SHM_SIZE: Final = "size=65536k"

_SHM: Final = Mount("shm", "/dev/shm", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777", _SHM_SIZE))  # noqa: S108 - inside
_HOST_SHM: Final = Mount("/dev/shm", "/dev/shm", "bind", ("rbind", "rprivate", "nosuid", "noexec", "nodev"))  # noqa: S108 - shared

_MOUNTS: Final = (
    Mount("proc", "/proc", "proc", ("nosuid", "noexec", "nodev")),
    Mount("tmpfs", "/dev", "tmpfs", ("nosuid", "strictatime", "mode=755", _SHM_SIZE)),
    Mount("devpts", "/dev/pts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    _SHM,
    Mount("mqueue", "/dev/mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    Mount("sysfs", "/sys", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    Mount("cgroup", "/sys/fs/cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")),
)

_SYSCTL: Final = {
    # Without root, as with Docker: any port may be listened on, and ping works. Both are settings of a network namespace.
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}


def runtime_spec(
    config: ContainerConfig, user: User, host: Host, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The spec, ready for JSON. Parts of it are shared between calls: not to be changed.

    Args:
        config: the container.
        user: what `config.user` stands for in the image.
        host: what the node can do.
        annotations: for the OCI runtime and its shim.

    Raises:
        InvalidConfig: when the configuration cannot work on any node.
    """
    capabilities = bounding_set(config.security, host)
    spec: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": _process(config, user, capabilities, host),
        "root": {"path": "rootfs", "readonly": True} if config.security.read_only_root else {"path": "rootfs"},
        "mounts": _mounts(config),
        "linux": _linux(config, host, capabilities),
    }
    if config.hostname:
        spec["hostname"] = config.hostname
    if annotations:
        spec["annotations"] = dict(annotations)
    return spec


def holder_spec(host: Host, program: str, cgroup: str) -> dict[str, Any]:
    """The spec of a container that holds a PID namespace: one program in an otherwise empty root file system.

    It has no rights, and a network namespace of its own: through it (/proc/1/net), others with its process ids could look into
    the node's.

    Args:
        host: what the node can do.
        program: path of the program on the node.
        cgroup: its cgroup.
    """
    config = ContainerConfig(
        id=NAME,
        image="",
        args=(f"/{NAME}",),
        labels={},
        mounts=(Mount(program, f"/{NAME}", options=("bind", "ro", "exec")),),
        security=Security(drop_capabilities=("ALL",), read_only_root=True),
    )
    spec = runtime_spec(config, User(_NOBODY, _NOBODY), host)
    spec["linux"] |= {"cgroupsPath": cgroup, "namespaces": [*spec["linux"]["namespaces"], {"type": "network"}]}
    return spec


def exec_process(config: ExecConfig, process: Mapping[str, Any]) -> dict[str, Any]:
    """The `process` of a further process in a container, from that of its main one.

    Raises:
        InvalidConfig: when there is no command.
    """
    if not config.args:
        raise InvalidConfig("no command to run is given")
    env = [*process.get("env", ()), *(f"{name}={value}" for name, value in config.env)]
    if config.tty:
        env = _with_default(env, "TERM", "xterm")
    changed = {"args": list(config.args), "env": env, "terminal": config.tty}
    return {**process, **changed}


def _process(config: ContainerConfig, user: User, capabilities: list[str], host: Host) -> dict[str, Any]:
    if not config.args:
        raise InvalidConfig("no command to run is given, neither by the image nor by the container")
    if not config.cwd.startswith("/"):
        raise InvalidConfig(f"working directory {config.cwd!r} is not an absolute path")
    env = _with_default([f"{name}={value}" for name, value in config.env], "PATH", DEFAULT_PATH)
    if config.tty:
        env = _with_default(env, "TERM", "xterm")
    process: dict[str, Any] = {
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": list(config.args),
        "env": env,
        "cwd": config.cwd,
        "capabilities": process_capabilities(capabilities, user),
        "noNewPrivileges": config.security.no_new_privileges,
    }
    if config.tty:
        process["terminal"] = True
    if config.oom_score_adj is not None:
        process["oomScoreAdj"] = oom_score(config.oom_score_adj, host)
    return process


def _with_default(env: list[str], name: str, value: str) -> list[str]:
    return env if any(entry.startswith(f"{name}=") for entry in env) else [f"{name}={value}", *env]


def _mounts(config: ContainerConfig) -> list[dict[str, Any]]:
    """The default mounts, but for those at and below the container's own; then those, parents before children."""
    own = sorted(config.mounts, key=lambda mount: mount.destination.rstrip("/").count("/"))
    taken = tuple(f"{mount.destination.rstrip('/')}/" for mount in own)
    mounts = []
    defaults = (_HOST_SHM if config.host_ipc and default is _SHM else default for default in _MOUNTS)
    for mount in (*(default for default in defaults if not f"{default.destination}/".startswith(taken)), *own):
        if not mount.destination.startswith("/"):
            raise InvalidConfig(f"mount destination {mount.destination!r} is not an absolute path")
        options = list(mount.options)
        if config.security.privileged and mount in _MOUNTS:
            options = [option for option in options if option != "ro"]
        mounts.append({"destination": mount.destination, "type": mount.type, "source": mount.source, "options": options})
    return mounts


def _linux(config: ContainerConfig, host: Host, capabilities: list[str]) -> dict[str, Any]:
    privileged = config.security.privileged
    linux: dict[str, Any] = {
        "namespaces": _namespaces(config, host),
        "cgroupsPath": f"{config.cgroup_parent.rstrip('/')}/{config.id}",
        # An OCI runtime adds what every container may use: null, zero, full, random, urandom, tty, console, ptmx.
        "resources": {"devices": [{"allow": privileged, "access": "rwm"}], **linux_resources(config.resources, host)},
    }
    if propagation := _root_propagation(config.mounts):
        linux["rootfsPropagation"] = propagation
    if sysctls := {**(_SYSCTL if config.network_namespace else {}), **dict(config.security.sysctls)}:
        linux["sysctl"] = sysctls
    if privileged:
        linux["devices"] = [
            {
                "path": device.path,
                "type": device.kind,
                "major": device.major,
                "minor": device.minor,
                "fileMode": device.mode,
                "uid": device.uid,
                "gid": device.gid,
            }
            for device in host.devices
        ]
    linux |= confinement(config.security, host, capabilities)
    return linux


def _root_propagation(mounts: Iterable[Mount]) -> str:
    """What the root of the mount namespace must be for mounts below one of these to pass (runtime-spec, config-linux.md)."""
    options = {option for mount in mounts for option in mount.options}
    return next((kind for kind in ("rshared", "rslave") if kind in options), "")


def _namespaces(config: ContainerConfig, host: Host) -> list[dict[str, str]]:
    """What the container does not share with the node. Where it shares process ids with others, the path comes later.

    The node's host name goes with the node's network, as Kubernetes has it, unless the container has a name of its own.
    """
    if config.host_pid and config.shared_pids:
        raise InvalidConfig("process ids are shared with the node, or with the other containers, not both")
    if config.host_ipc and config.ipc_namespace:
        raise InvalidConfig("IPC is shared with the node, or with the other containers, not both")
    shared = {"pid": config.host_pid, "ipc": config.host_ipc, "mount": False}
    joined = {"ipc": {"path": config.ipc_namespace}} if config.ipc_namespace else {}
    namespaces = [{"type": kind, **joined.get(kind, {})} for kind, with_node in shared.items() if not with_node]
    if config.network_namespace:
        namespaces.append({"type": "network", "path": config.network_namespace})
    if config.network_namespace or config.hostname:
        namespaces.append({"type": "uts"})
    if host.cgroup_v2 and not config.security.privileged:
        namespaces.append({"type": "cgroup"})
    return namespaces
