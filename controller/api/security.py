"""Security contexts of instances and containers: names and meaning of core/v1 `PodSecurityContext` and `SecurityContext`.

What is not said is not set here: what then holds is decided on the node (`controller.agent.decide.security`). It is Kubernetes'
default in all but one point: no process gets new privileges unless `allowPrivilegeEscalation` or `privileged` is true.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from controller.api.base import LIST_ATOMIC, Model, list_map, rule, rules

MOST_ID = 2**31 - 1
"""Largest user or group id that Kubernetes takes."""

SYSCTL_NAME = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
"""As `SysctlContainSlashFmt` of core/v1."""

Id = Annotated[int, Field(ge=0, le=MOST_ID)]
Capability = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Z][A-Z0-9_]*$")]

SECCOMP_RULES = rules(
    rule(
        "self.type != 'Localhost' || (has(self.localhostProfile) && self.localhostProfile != '')",
        "must be set when seccomp type is Localhost",
        path=".localhostProfile",
    ),
    rule(
        "self.type == 'Localhost' || !has(self.localhostProfile)",
        "can only be set when seccomp type is Localhost",
        path=".localhostProfile",
    ),
    rule(
        "!has(self.localhostProfile) || "
        "(!self.localhostProfile.startsWith('/') && !self.localhostProfile.split('/').exists(part, part == '..'))",
        "must be a path below the node's folder of profiles: relative, and without '..'",
        path=".localhostProfile",
    ),
)
"""As `validateSeccompProfileField` of core/v1."""


class SeccompProfile(Model):
    """A filter of system calls (core/v1 `SeccompProfile`)."""

    model_config = ConfigDict(json_schema_extra=SECCOMP_RULES)

    type: Literal["RuntimeDefault", "Unconfined", "Localhost"] = Field(
        description="RuntimeDefault: the built-in filter. Unconfined: none. Localhost: the file that localhostProfile names."
    )
    localhost_profile: str | None = Field(
        default=None,
        max_length=512,
        description="File with the profile in the OCI runtime's JSON, below `seccomp/` in the agent's state folder.",
    )


CAPABILITY_RULES = rules(
    *(
        rule(
            f"!has(self.{field}) || !self.{field}.exists(name, name.startsWith('CAP_'))",
            "capabilities are written without CAP_, as NET_ADMIN",
            path=f".{field}",
        )
        for field in ("add", "drop")
    )
)


class Capabilities(Model):
    """Changes of the default set of capabilities (core/v1 `Capabilities`). Either list may hold ALL, which goes first."""

    model_config = ConfigDict(json_schema_extra=CAPABILITY_RULES)

    add: tuple[Capability, ...] = Field(
        default=(), max_length=64, description="Added to the default set, as NET_ADMIN; or ALL.", json_schema_extra=LIST_ATOMIC
    )
    drop: tuple[Capability, ...] = Field(
        default=(), max_length=64, description="Taken from it, as MKNOD; or ALL.", json_schema_extra=LIST_ATOMIC
    )


ESCALATION_RULES = rules(
    rule(
        "!(has(self.allowPrivilegeEscalation) && !self.allowPrivilegeEscalation && has(self.privileged) && self.privileged)",
        "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
    ),
    rule(
        "!(has(self.allowPrivilegeEscalation) && !self.allowPrivilegeEscalation && has(self.capabilities) "
        "&& has(self.capabilities.add) && self.capabilities.add.exists(name, name in ['SYS_ADMIN', 'CAP_SYS_ADMIN']))",
        "cannot set `allowPrivilegeEscalation` to false and add the capability SYS_ADMIN",
    ),
)
"""As `ValidateSecurityContext` of core/v1, but SYS_ADMIN is also meant without CAP_, which is how people write it."""


class SecurityContext(Model):
    """What the process of one container may do (core/v1 `SecurityContext`). What is set here wins over the instance's."""

    model_config = ConfigDict(json_schema_extra=ESCALATION_RULES)

    privileged: bool | None = Field(
        default=None,
        description="Hold nothing back: all capabilities, all devices of the node, no filter, nothing masked or read-only.",
    )
    allow_privilege_escalation: bool | None = Field(
        default=None,
        description="Whether a program may gain more than its caller has (setuid, file capabilities). "
        "Default: false, unlike core/v1; always true when privileged.",
    )
    capabilities: Capabilities = Field(
        default_factory=Capabilities,
        description="Changes of the default set, which is Docker's. Not looked at when privileged.",
    )
    run_as_user: Id | None = Field(default=None, description="User id; the instance's, or the image's user, when not set.")
    run_as_group: Id | None = Field(default=None, description="Group id; the instance's, or the user's own, when not set.")
    run_as_non_root: bool | None = Field(
        default=None, description="Refuse to start as user 0, whether by runAsUser or by the image (by number or by name)."
    )
    read_only_root_filesystem: bool | None = Field(
        default=None, description="Whether the root file system is read-only. Default: false."
    )
    proc_mount: Literal["Default", "Unmasked"] | None = Field(
        default=None, description="Default: parts of /proc and /sys are masked or read-only. Unmasked: none."
    )
    seccomp_profile: SeccompProfile | None = Field(
        default=None,
        description="Filter of system calls; the instance's, or RuntimeDefault, when not set. Not looked at when privileged.",
    )


class Sysctl(Model):
    """A kernel parameter (core/v1 `Sysctl`)."""

    name: str = Field(
        min_length=1,
        max_length=253,
        pattern=SYSCTL_NAME,
        description="Its name, with dots or slashes: net.ipv4.tcp_syncookies.",
    )
    value: str = Field(max_length=1024, description="Its value.")


class PodSecurityContext(Model):
    """What an instance's processes may do, where a container says nothing (core/v1 `PodSecurityContext`)."""

    run_as_user: Id | None = Field(default=None, description="User id; the image's user when not set.")
    run_as_group: Id | None = Field(default=None, description="Group id; the user's own when not set.")
    run_as_non_root: bool | None = Field(
        default=None, description="Refuse to start as user 0, whether by runAsUser or by the image (by number or by name)."
    )
    supplemental_groups: tuple[Id, ...] = Field(
        default=(),
        max_length=256,
        description="Group ids beside the user's own group and those that the image's /etc/group gives the user.",
        json_schema_extra=LIST_ATOMIC,
    )
    fs_group: Id | None = Field(
        default=None,
        description="Group that volumes belong to, but hostPath and image; processes are in it, too.",
    )
    seccomp_profile: SeccompProfile | None = Field(
        default=None, description="Filter of system calls; RuntimeDefault when not set."
    )
    sysctls: tuple[Sysctl, ...] = Field(
        default=(),
        max_length=64,
        description="Kernel parameters of its namespaces: those that Kubernetes calls safe, and those that the node allows.",
        json_schema_extra=list_map("name"),
    )
