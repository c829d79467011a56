"""What a process may do, as capabilities, filter and paths of an OCI runtime spec.

The rules for adding and dropping are those of containerd's CRI plugin: ALL first, added then, dropped last; a privileged
container has all that there are, whatever it adds or drops, and no filter. No capability is ambient or inheritable.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from controller.runtime.oci.capabilities import ALL_CAPABILITIES, DEFAULT_CAPABILITIES
from controller.runtime.oci.host import Host
from controller.runtime.oci.seccomp import default_profile
from controller.runtime.oci.users import User
from controller.runtime.port import InvalidConfig, Seccomp, Security

MASKED_PATHS: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)

READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_ALL: Final = "ALL"
_PROFILE_KEYS: Final = frozenset(
    {"defaultAction", "defaultErrnoRet", "architectures", "flags", "listenerPath", "listenerMetadata", "syscalls"}
)
"""Fields of `LinuxSeccomp` in the OCI runtime-spec."""


def bounding_set(security: Security, host: Host) -> list[str]:
    """The capabilities that a container can have at most, in a fixed order.

    Raises:
        InvalidConfig: when one that is named does not exist, or is to be added and the node cannot give it.
    """
    add, drop = security.add_capabilities, security.drop_capabilities
    if security.privileged:
        return [name for name in ALL_CAPABILITIES if name in host.capabilities]
    if not add and not drop:
        return [name for name in DEFAULT_CAPABILITIES if name in host.capabilities]
    added, dropped = _named(add), _named(drop)
    for name in sorted(added - host.capabilities):
        raise InvalidConfig(
            f"securityContext.capabilities.add: this node cannot give {name.removeprefix('CAP_')}: its agent itself lacks it"
        )
    wanted = ALL_CAPABILITIES if _ALL in add else DEFAULT_CAPABILITIES
    base = set() if _ALL in drop else {name for name in wanted if name in host.capabilities}
    return [name for name in ALL_CAPABILITIES if name in (base | added) - dropped]


def _named(names: tuple[str, ...]) -> set[str]:
    found = {f"CAP_{name}" for name in names if name != _ALL}
    for unknown in sorted(found.difference(ALL_CAPABILITIES)):
        raise InvalidConfig(
            f"securityContext.capabilities: {unknown.removeprefix('CAP_')!r} is none: see capabilities(7), without CAP_"
        )
    return found


def process_capabilities(bounding: list[str], user: User) -> dict[str, list[str]]:
    """`process.capabilities`. Only root starts with them in effect; others reach them by files that carry them."""
    effective = bounding if user.uid == 0 else []
    return {"bounding": bounding, "effective": effective, "permitted": effective}


def confinement(security: Security, host: Host, bounding: list[str]) -> dict[str, Any]:
    """The part of `linux` that holds a container back: masked and read-only paths, and the filter.

    Raises:
        InvalidConfig: when the filter cannot be used.
    """
    if security.privileged:
        return {}
    held: dict[str, Any] = {}
    if not security.unmasked_proc:
        held = {"maskedPaths": MASKED_PATHS, "readonlyPaths": READONLY_PATHS}
    profile = _filter(security, host, bounding)
    return {**held, "seccomp": profile} if profile else held


def _filter(security: Security, host: Host, bounding: list[str]) -> Mapping[str, Any] | None:
    if security.seccomp is Seccomp.RUNTIME_DEFAULT:
        return default_profile(host.architecture, bounding, x32=host.x32) if host.seccomp else None
    if security.seccomp is Seccomp.UNCONFINED:
        return None
    if not host.seccomp:
        raise InvalidConfig("seccompProfile: the node's kernel has no filters of system calls, so Localhost cannot be had")
    return _read_profile(security.seccomp_profile)


def _read_profile(text: str) -> dict[str, Any]:
    """A profile from its file, its fields checked here, since an OCI runtime passes over those that it does not know."""
    try:
        profile = json.loads(text)
    except ValueError as exc:
        raise InvalidConfig(f"seccompProfile: the profile is no JSON: {exc}") from exc
    if not isinstance(profile, dict) or not isinstance(profile.get("defaultAction"), str):
        raise InvalidConfig("seccompProfile: the profile has no defaultAction, such as SCMP_ACT_ERRNO")
    for unknown in sorted(profile.keys() - _PROFILE_KEYS):
        raise InvalidConfig(
            f"seccompProfile: the profile has a field {unknown!r} that the OCI runtime-spec does not know; Docker's own format "
            "(archMap, includes) has to be converted"
        )
    return profile
