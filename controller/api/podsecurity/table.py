"""The controls of the Pod Security Standards that cover fields of an instance spec. Data only.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, and k8s.io/pod-security-admission v0.36 for the
first version of each control, its words and their order: baseline before restricted, each by id.

Left out, since the schema has no field for it: seLinuxOptions, appArmorProfile,
windowsHostProcess; the annotations that seccomp profiles were written in before 1.19, and AppArmor's, which mean nothing
here; what Windows (1.25) and user namespaces (1.35) relax. `COVERED` names the fields, so that none can enter the schema
without its control.
"""

from dataclasses import dataclass
from typing import Final

from controller.api.podsecurity.levels import Level
from controller.api.podsecurity.predicates import Field, Is, IsNot, Lacks, Outside, Predicate, Subject, Unset, Within

CONTAINER_LISTS: Final = ("initContainers", "containers")
"""Fields of an instance spec that hold containers, in the order in which they are named."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Names the containers, and the instance, that something is true of."""

    text: str
    """With `{who}` for them, and `{values}` for what they set."""
    container: Predicate
    """True of a container that is to be named."""
    instance: Predicate | None = None
    """True of an instance that is to be named itself. It is called a pod, as in Kubernetes' own words."""
    unless: Predicate | None = None
    """Where this is true of the instance, no container is to be named."""


@dataclass(frozen=True, slots=True)
class Flags:
    """Names those of some fields of the instance that are true."""

    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Ports:
    """Names the containers of whose ports one has the field set to another number than 0, and those numbers."""

    field: Field
    """`<list of ports>.<field of a port>`."""

    @property
    def path(self) -> tuple[str, str]:
        """The list below a container, and the field below each of its items."""
        ports, _, name = self.field.path.partition(".")
        return ports, name

    def of(self, container: Subject) -> list[str]:
        """The numbers of a container, as text."""
        ports, name = self.path
        return [str(port[name]) for port in container.get(ports) or () if port.get(name)]


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names the containers that set any of some fields to a host, and the hosts."""

    fields: tuple[Field, ...]
    """Of a container."""

    def of(self, container: Subject) -> set[str]:
        """The hosts that a container sets."""
        return {host for field in self.fields if (host := field.of(container))}


@dataclass(frozen=True, slots=True)
class Volumes:
    """Names the volumes whose source is of one kind."""

    field: Field
    """`volumes.<source>`."""
    one: str = "volume {who}"
    """What is told of a single one, with `{who}` for its name."""
    many: str = "volumes {who}"
    """What is told of several."""

    @property
    def source(self) -> str:
        """The field of a volume."""
        return self.field.path.rpartition(".")[2]

    def of(self, spec: Subject) -> list[str]:
        """Names of an instance's volumes of that kind."""
        return [str(volume["name"]) for volume in spec.get("volumes") or () if volume.get(self.source) is not None]


@dataclass(frozen=True, slots=True)
class Listed:
    """Names the items of a list of the instance that are none of those that are allowed, in its order."""

    field: Field
    """The list."""
    key: str
    """The field of an item that is its name."""
    allowed: tuple[str, ...]

    def of(self, spec: Subject) -> list[str]:
        """Those names."""
        return [str(item[self.key]) for item in self.field.of(spec) or () if item[self.key] not in self.allowed]


AnyClause = Clause | Flags | Hosts | Listed | Ports | Volumes


@dataclass(frozen=True, slots=True)
class Control:
    """One control."""

    id: str
    level: Level
    since: int
    """First minor version that has it (as a check of these fields)."""
    reason: str
    """What it forbids, in short."""
    clauses: tuple[AnyClause, ...]
    overrides: tuple[str, ...] = ()
    """Controls of baseline that it says better: they are left out where it holds."""
    until: int = 0
    """First minor version that another control has taken its place in; 0: none."""
    first_only: bool = False
    """Only the first clause that names somebody is told; else all."""


_CONTEXT: Final = "securityContext"
_PRIVILEGED: Final = Field(f"{_CONTEXT}.privileged")
_ESCALATION: Final = Field(f"{_CONTEXT}.allowPrivilegeEscalation")
_ADD: Final = Field(f"{_CONTEXT}.capabilities.add")
_DROP: Final = Field(f"{_CONTEXT}.capabilities.drop")
_PROC_MOUNT: Final = Field(f"{_CONTEXT}.procMount")
_NON_ROOT: Final = Field(f"{_CONTEXT}.runAsNonRoot")
_USER: Final = Field(f"{_CONTEXT}.runAsUser")
_SECCOMP: Final = Field(f"{_CONTEXT}.seccompProfile.type")

_SECCOMP_ALLOWED: Final = ("RuntimeDefault", "Localhost")
_SECCOMP_BAD: Final = Outside(_SECCOMP, allowed=_SECCOMP_ALLOWED, named=("Unconfined",))
_SECCOMP_EXPLICIT: Final = Clause(
    "{who} must not set securityContext.seccompProfile.type to {values}", container=_SECCOMP_BAD, instance=_SECCOMP_BAD
)
_PROC_MOUNT_CLAUSE: Final = Clause(
    "{who} must not set securityContext.procMount to {values}",
    container=Outside(_PROC_MOUNT, allowed=("Default",), named=("Unmasked",)),
)

_HOST_PATH: Final = Field("volumes.hostPath")

_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS: Final = (
    *(f"{probe}.{action}" for probe in _PROBES for action in ("httpGet", "tcpSocket")),
    "lifecycle.postStart.httpGet",
    "lifecycle.preStop.httpGet",
)

_CAPABILITIES: Final = """
    ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER
    FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST
    NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE
    SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM
"""

CAPABILITIES: Final = tuple(_CAPABILITIES.split())
"""All that there are (capabilities(7)), and ALL; sorted."""

_DEFAULT_CAPABILITIES: Final = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT
"""


def _added_beyond(*allowed: str) -> Clause:
    named = tuple(c for c in CAPABILITIES if c not in allowed)
    return Clause(
        "{who} must not include {values} in securityContext.capabilities.add",
        container=Outside(_ADD, allowed=allowed, named=named, many=True),
    )


_SAFE_SYSCTLS: Final = """
    kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range
    net.ipv4.ip_unprivileged_port_start
"""

_SYSCTLS: Final[tuple[tuple[int, str], ...]] = (
    (0, _SAFE_SYSCTLS),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, " ".join(f"net.ipv4.tcp_{name}" for name in ("keepalive_time", "fin_timeout", "keepalive_intvl", "keepalive_probes"))),
    (32, "net.ipv4.tcp_rmem net.ipv4.tcp_wmem"),
)
"""First minor versions, and what each allows in addition to those before it."""


def _sysctls() -> tuple[Control, ...]:
    """One control for each list; each gives way to the next."""
    made: list[Control] = []
    allowed: tuple[str, ...] = ()
    ends = (*(since for since, _ in _SYSCTLS[1:]), 0)
    for (since, more), until in zip(_SYSCTLS, ends, strict=True):
        allowed = (*allowed, *more.split())
        listed = Listed(Field(f"{_CONTEXT}.sysctls"), "name", allowed)
        made.append(
            Control(
                f"sysctls_{since}" if since else "sysctls", Level.BASELINE, since, "forbidden sysctls", (listed,), until=until
            )
        )
    return tuple(made)


CONTROLS: Final = (
    Control(
        "capabilities_baseline",
        Level.BASELINE,
        0,
        "non-default capabilities",
        (_added_beyond(*_DEFAULT_CAPABILITIES.split()),),
    ),
    Control(
        "hostNamespaces",
        Level.BASELINE,
        0,
        "host namespaces",
        (Flags((Field("hostNetwork"), Field("hostPID"), Field("hostIPC"))),),
    ),
    Control("hostPathVolumes", Level.BASELINE, 0, "hostPath volumes", (Volumes(_HOST_PATH),)),
    Control("hostPorts", Level.BASELINE, 0, "hostPort", (Ports(Field("ports.hostPort")),)),
    Control(
        "hostProbesAndHostLifecycle",
        Level.BASELINE,
        34,
        "probe or lifecycle host",
        (Hosts(tuple(Field(f"{handler}.host") for handler in _HANDLERS)),),
    ),
    Control(
        "privileged",
        Level.BASELINE,
        0,
        "privileged",
        (Clause("{who} must not set securityContext.privileged=true", container=Is(_PRIVILEGED, True)),),
    ),
    Control("procMount", Level.BASELINE, 0, "procMount", (_PROC_MOUNT_CLAUSE,)),
    Control("seccompProfile_baseline", Level.BASELINE, 19, "seccompProfile", (_SECCOMP_EXPLICIT,)),
    *_sysctls(),
    Control(
        "allowPrivilegeEscalation",
        Level.RESTRICTED,
        8,
        "allowPrivilegeEscalation != false",
        (Clause("{who} must set securityContext.allowPrivilegeEscalation=false", container=IsNot(_ESCALATION, False)),),
    ),
    Control(
        "capabilities_restricted",
        Level.RESTRICTED,
        22,
        "unrestricted capabilities",
        (
            Clause('{who} must set securityContext.capabilities.drop=["ALL"]', container=Lacks(_DROP, "ALL")),
            _added_beyond("NET_BIND_SERVICE"),
        ),
        overrides=("capabilities_baseline",),
    ),
    Control("procMount_restricted", Level.RESTRICTED, 35, "procMount", (_PROC_MOUNT_CLAUSE,), overrides=("procMount",)),
    Control(
        "restrictedVolumes",  # of all kinds in the schema, hostPath alone is restricted
        Level.RESTRICTED,
        0,
        "restricted volume types",
        (
            Volumes(
                _HOST_PATH,
                'volume {who} uses restricted volume type "hostPath"',
                'volumes {who} use restricted volume type "hostPath"',
            ),
        ),
        overrides=("hostPathVolumes",),
    ),
    Control(
        "runAsNonRoot",
        Level.RESTRICTED,
        0,
        "runAsNonRoot != true",
        (
            Clause(
                "{who} must not set securityContext.runAsNonRoot=false",
                container=Is(_NON_ROOT, False),
                instance=Is(_NON_ROOT, False),
            ),
            Clause(
                "pod or {who} must set securityContext.runAsNonRoot=true",
                container=Unset(_NON_ROOT),
                unless=Is(_NON_ROOT, True),
            ),
        ),
        first_only=True,
    ),
    Control(
        "runAsUser",
        Level.RESTRICTED,
        23,
        "runAsUser=0",
        (Clause("{who} must not set runAsUser=0", container=Is(_USER, 0), instance=Is(_USER, 0)),),
    ),
    Control(
        "seccompProfile_restricted",
        Level.RESTRICTED,
        19,
        "seccompProfile",
        (
            _SECCOMP_EXPLICIT,
            Clause(
                'pod or {who} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
                container=Unset(_SECCOMP),
                unless=Within(_SECCOMP, _SECCOMP_ALLOWED),
            ),
        ),
        overrides=("seccompProfile_baseline",),
        first_only=True,
    ),
)
"""In the order in which their violations are told."""

_COVERED: Final = """
    allowPrivilegeEscalation appArmorProfile capabilities host hostIPC hostNetwork hostPID hostPath hostPort hostUsers os
    privileged procMount runAsNonRoot runAsUser seLinuxOptions seccompProfile sysctls volumes windowsOptions
"""

COVERED: Final = frozenset(_COVERED.split())
"""Names of all fields of core/v1 that the standards cover, or that change what they ask for."""


def overriders(control: Control) -> tuple[Control, ...]:
    """The controls of restricted that say it better."""
    return tuple(c for c in CONTROLS if control.id in c.overrides)


def fields(control: Control) -> frozenset[Field]:
    """The fields that a control looks at."""
    found: set[Field] = set()
    for clause in control.clauses:
        if isinstance(clause, Flags | Hosts):
            found.update(clause.fields)
        elif isinstance(clause, Listed | Ports | Volumes):
            found.add(clause.field)
        else:
            found.update(p.field for p in (clause.container, clause.instance, clause.unless) if p is not None)
    return frozenset(found)


def instance_fields() -> tuple[str, ...]:
    """The fields at the top of an instance spec that the standards look at, or that hold what they look at."""
    flags = [f.path for c in CONTROLS for clause in c.clauses if isinstance(clause, Flags) for f in clause.fields]
    return (*CONTAINER_LISTS, *flags, _CONTEXT, "volumes")
