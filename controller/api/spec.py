"""The instance spec: pod-like, with the names, defaults and meaning of core/v1 `PodSpec`.

A field that is not supported is not here, so the API server refuses it at apply. Nothing is accepted and then ignored.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from controller.api.base import LIST_ATOMIC, Model, list_map, rule, rules
from controller.api.environment import DNS_LABEL, EnvFromSource, EnvVar
from controller.api.names import IS_AN_ADDRESS_OR_EMPTY, SUBDOMAIN, DNSConfig, HostAlias
from controller.api.probes import NO_GRACE, ONE_SUCCESS, PORT_NAME, Lifecycle, Probe, Text
from controller.api.pullsecrets import MOST as MOST_PULL_SECRETS
from controller.api.pullsecrets import LocalObjectReference
from controller.api.resources import ContainerResizePolicy, ResourceRequirements
from controller.api.restart import INIT_RULES, NAMES_ARE_UNIQUE, RULES_NEED_A_POLICY, ContainerRestartRule, RestartPolicy
from controller.api.security import PodSecurityContext, SecurityContext
from controller.api.volumes.mount import BIDIRECTIONAL_IS_PRIVILEGED, VolumeMount
from controller.api.volumes.volume import Volume

TERMINATION_LOG = "/dev/termination-log"
"""Where a container writes its last words, unless it says otherwise."""

DEFAULT_SERVICE_ACCOUNT = "default"
"""The one that Kubernetes makes in every namespace."""


class ContainerPort(Model):
    """A port that the container listens on; information for people and tools, unless it has a hostPort (core/v1)."""

    container_port: int = Field(ge=1, le=65535, description="Port number.")
    host_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of the node that leads to it; 0: none. On a node, each is to be had once.",
    )
    host_ip: str = Field(
        default="",
        max_length=45,
        alias="hostIP",
        description="Only this address of the node; all when empty.",
        json_schema_extra=IS_AN_ADDRESS_OR_EMPTY,
    )
    name: str | None = Field(
        default=None, min_length=1, max_length=15, pattern=PORT_NAME, description="Name, unique in the container."
    )
    protocol: Literal["TCP", "UDP", "SCTP"] = Field(default="TCP", description="TCP, UDP or SCTP.")


class Container(Model):
    """One container of an instance (core/v1 `Container`)."""

    model_config = ConfigDict(json_schema_extra=rules(BIDIRECTIONAL_IS_PRIVILEGED, RULES_NEED_A_POLICY))

    name: str = Field(min_length=1, max_length=63, pattern=DNS_LABEL, description="Name, unique in the instance; a DNS label.")
    image: str = Field(
        min_length=1, max_length=1024, description="Image reference, by tag or digest, normalised as Docker does."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None,
        description="Always, IfNotPresent or Never. Default: Always for the tag latest or none, else IfNotPresent.",
    )
    command: tuple[Text, ...] = Field(
        default=(),
        max_length=1024,
        description="Replaces the image's entrypoint (and its cmd).",
        json_schema_extra=LIST_ATOMIC,
    )
    args: tuple[Text, ...] = Field(
        default=(), max_length=1024, description="Replaces the image's cmd.", json_schema_extra=LIST_ATOMIC
    )
    env_from: tuple[EnvFromSource, ...] = Field(
        default=(),
        max_length=64,
        description="ConfigMaps and Secrets whose keys become variables. Of one name, the last one counts, and env over all.",
        json_schema_extra=LIST_ATOMIC,
    )
    env: tuple[EnvVar, ...] = Field(
        default=(),
        max_length=1024,
        description="Environment, over the image's own.",
        json_schema_extra=list_map("name"),
    )
    working_dir: str = Field(
        default="",
        max_length=4096,
        description="Working directory; the image's own when empty.",
        json_schema_extra=rules(
            rule("self == '' || self.startsWith('/')", "workingDir must be an absolute path, such as /srv")
        ),
    )
    ports: tuple[ContainerPort, ...] = Field(
        default=(),
        max_length=64,
        description="Ports that the container listens on.",
        json_schema_extra=list_map("containerPort", "protocol")
        | rules(
            rule(
                "self.all(p, !has(p.name) || self.exists_one(q, has(q.name) && q.name == p.name))",
                "two ports have the same name: names of ports are unique in a container",
            )
        ),
    )
    volume_mounts: tuple[VolumeMount, ...] = Field(
        default=(),
        max_length=64,
        description="Volumes in its file system.",
        json_schema_extra=list_map("mountPath"),
    )
    resources: ResourceRequirements = Field(
        default_factory=ResourceRequirements, description="What it may use, and what it is promised."
    )
    resize_policy: tuple[ContainerResizePolicy, ...] = Field(
        default=(),
        max_length=2,
        description="How changes of resources reach the container while it runs; in place where nothing is said.",
        json_schema_extra=list_map("resourceName"),
    )
    startup_probe: Probe | None = Field(
        default=None,
        description="Whether it has started: until it succeeds once, the other probes wait. When it fails, it is restarted.",
        json_schema_extra=rules(ONE_SUCCESS),
    )
    readiness_probe: Probe | None = Field(
        default=None, description="Whether it is ready. Without one it is when it runs.", json_schema_extra=rules(NO_GRACE)
    )
    liveness_probe: Probe | None = Field(
        default=None, description="Whether it is alive. When it fails, it is restarted.", json_schema_extra=rules(ONE_SUCCESS)
    )
    lifecycle: Lifecycle = Field(default_factory=Lifecycle, description="What is done as it comes and goes.")
    termination_message_path: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        pattern=r"^/[^\x00]*$",
        description="File in the container; what it says of its end is read from there, at most 4096 bytes. "
        f"Default: {TERMINATION_LOG}.",
    )
    termination_message_policy: Literal["File", "FallbackToLogsOnError"] | None = Field(
        default=None,
        description="File (the default), or FallbackToLogsOnError: the end of the log (2048 bytes or 80 lines), if the file is "
        "empty and it failed.",
    )
    security_context: SecurityContext = Field(
        default_factory=SecurityContext, description="What its process may do, over the instance's securityContext."
    )
    restart_policy: RestartPolicy | None = Field(
        default=None,
        description="Always, OnFailure or Never; the instance's when not set. Always makes an init container a sidecar: the "
        "next one comes when it has started, it stays, and it ends after the containers.",
    )
    restart_policy_rules: tuple[ContainerRestartRule, ...] = Field(
        default=(),
        max_length=20,
        description="Exceptions from its restartPolicy; the first rule that is for its exit code holds.",
        json_schema_extra=LIST_ATOMIC,
    )

    stdin: bool | None = Field(
        default=None, description="true: reading standard input waits, for good; otherwise it is at its end at once."
    )
    tty: bool | None = Field(
        default=None,
        description="true: standard input and output are a terminal of its own, where reading waits, for good. What it writes "
        "there, on both outputs, is the log, with the terminal's line ends.",
    )
    suspend: bool | None = Field(default=None, description="true: stop this container, and no other; false again: start it.")
    restarted_at: str = Field(
        default="", max_length=64, description="Any new value, such as a time, restarts this container, and no other."
    )

    @property
    def is_sidecar(self) -> bool:
        """Whether it is one, if it is among the init containers."""
        return self.restart_policy == "Always"


class Backoff(Model):
    """Pauses between restarts of a container that keeps ending.

    The first restart is immediate; the second waits `initialSeconds`, and each further one twice as long, up to
    `maxSeconds`. A container that ran for `resetAfterSeconds` starts afresh. The defaults are those of KEP-4603's
    reduced crash loop back-off, not the kubelet's five minutes.
    """

    initial_seconds: int = Field(default=1, ge=1, le=3600, description="Pause before the second restart, in seconds.")
    max_seconds: int = Field(default=60, ge=1, le=3600, description="Longest pause, in seconds.")
    reset_after_seconds: int = Field(default=120, ge=1, le=86400, description="A run of this many seconds clears the history.")


_LISTS = ("containers", "initContainers")
"""Fields that hold containers."""


def _each(expression: str, message: str, *, path: str = "") -> tuple[dict[str, str], ...]:
    """A rule about every container `c`, for each of the lists; shown for `path`, or else for the list."""
    return tuple(
        rule(expression.format(f"!has(self.{field}) || self.{field}"), message, path=path or f".{field}") for field in _LISTS
    )


_SYSCTLS = "!has(self.securityContext) || !has(self.securityContext.sysctls) || self.securityContext.sysctls.all(s, {})"

INSTANCE_SPEC_RULES = (
    NAMES_ARE_UNIQUE,
    rule(
        "!self.hostNetwork || " + _SYSCTLS.format("!s.name.matches('^net[./]')"),
        "kernel parameters net.* are the node's own with hostNetwork: true: remove them, or hostNetwork",
        path=".securityContext.sysctls",
    ),
    rule(
        "!self.hostIPC || " + _SYSCTLS.format("!s.name.matches('^(kernel[./](sem|shm|msg)|fs[./]mqueue[./])')"),
        "kernel parameters of IPC are the node's own with hostIPC: true: remove them, or hostIPC",
        path=".securityContext.sysctls",
    ),
    rule(
        "!(self.hostNetwork && has(self.network))",
        "hostNetwork: true and network: None exclude each other: remove one of them",
        path=".network",
    ),
    *(
        made
        for hook in ("postStart", "preStop")
        for made in _each(
            f"{{}}.all(c, !has(c.lifecycle) || !has(c.lifecycle.{hook}) || !has(c.lifecycle.{hook}.sleep) || "
            f"c.lifecycle.{hook}.sleep.seconds <= self.terminationGracePeriodSeconds)",
            f"{hook}.sleep must not be longer than terminationGracePeriodSeconds",
        )
    ),
    rule(
        "self.restartPolicy != 'Never' || self.containers.all(c, !has(c.resizePolicy) || "
        "c.resizePolicy.all(p, p.restartPolicy == 'NotRequired'))",
        "resizePolicy must be NotRequired when restartPolicy is Never",
        path=".containers",
    ),
    *_each(
        "!has(self.network) || {}.all(c, !has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0))",
        "a hostPort leads to the instance's network, and network: None leads nowhere: remove one of them",
        path=".network",
    ),
    *_each(
        "!self.hostNetwork || {}.all(c, !has(c.ports) || "
        "c.ports.all(p, !has(p.hostPort) || p.hostPort in [0, p.containerPort]))",
        "with hostNetwork: true a hostPort is the containerPort itself: make both the same, or remove hostPort",
        path=".hostNetwork",
    ),
    rule(
        "!(self.hostPID && self.shareProcessNamespace)",
        "hostPID: true and shareProcessNamespace: true exclude each other: remove one of them",
        path=".shareProcessNamespace",
    ),
    rule(
        "self.dnsPolicy != 'None' || (has(self.dnsConfig) && has(self.dnsConfig.nameservers) "
        "&& self.dnsConfig.nameservers.size() > 0)",
        "dnsPolicy: None takes no name server from anywhere: give at least one in dnsConfig.nameservers",
        path=".dnsPolicy",
    ),
    rule(
        "[has(self.volumes) ? self.volumes.map(v, v.name) : []].all(names, "
        "self.containers.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, m.name in names)) && "
        "(!has(self.initContainers) || "
        "self.initContainers.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, m.name in names))))",
        "a volumeMount names no volume of the spec: add it to volumes, or correct its name",
        path=".volumes",
    ),
    rule(
        "self.backoff.initialSeconds <= self.backoff.maxSeconds",
        "initialSeconds must not exceed maxSeconds: raise maxSeconds or lower initialSeconds",
        path=".backoff.initialSeconds",
    ),
)
"""Rules of every instance spec. They stand here and not at their own field where that field has a default: the API server
checks the rules of a field against its default as written, without the defaults inside it."""


class InstanceSpec(Model):
    """What one instance runs: a group of containers, as a pod's (core/v1 `PodSpec`)."""

    containers: tuple[Container, ...] = Field(
        min_length=1,
        max_length=32,
        description="The containers; at least one. They share the instance's fate on the node.",
        json_schema_extra=list_map("name"),
    )
    volumes: tuple[Volume, ...] = Field(
        default=(),
        max_length=64,
        description="Files and folders that its containers may mount.",
        json_schema_extra=list_map("name"),
    )
    init_containers: tuple[Container, ...] = Field(
        default=(),
        max_length=32,
        description="Run one after another, each to its end, before the containers; with restartPolicy: Always, sidecars.",
        json_schema_extra=list_map("name") | rules(*INIT_RULES),
    )
    restart_policy: RestartPolicy = Field(
        default="Always", description="Whether an ended container is started again: Always, OnFailure or Never."
    )
    backoff: Backoff = Field(default_factory=Backoff, description="Pauses between restarts.")
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=1,
        le=2147483647,
        description="Seconds after which it has failed, if it has not ended by then: its containers are stopped for good.",
    )
    termination_grace_period_seconds: int = Field(
        default=30, ge=0, le=86400, description="Seconds between the stop signal and SIGKILL."
    )
    host_network: bool = Field(
        default=False,
        description="Use the node's network, instead of one of the instance's own that the node's CNI configuration attaches.",
    )
    network: Literal["None"] | None = Field(
        default=None,
        description="None: a network of the instance's own, shared by its containers, with nothing in it but loopback.",
    )
    hostname: str = Field(
        default="",
        max_length=63,
        pattern=rf"^$|{DNS_LABEL}",
        description="Host name, where the network is the instance's own; the instance's name when empty.",
    )
    subdomain: str = Field(
        default="",
        max_length=63,
        pattern=rf"^$|{DNS_LABEL}",
        description="Makes the full host name <hostname>.<subdomain>.<namespace>.svc.<cluster domain>.",
    )
    set_hostname_as_fqdn: bool = Field(
        default=False,
        alias="setHostnameAsFQDN",
        description="true: the kernel's host name is the full one, which then may have 64 characters at most.",
    )
    host_aliases: tuple[HostAlias, ...] = Field(
        default=(), max_length=256, description="Further lines of /etc/hosts.", json_schema_extra=list_map("ip")
    )
    dns_policy: Literal["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"] = Field(
        default="ClusterFirst",
        description="Where /etc/resolv.conf comes from. ClusterFirst: the cluster's DNS, or the node's where hostNetwork is "
        "true or the agent knows of no cluster DNS. ClusterFirstWithHostNet: the cluster's in any case. Default: the node's. "
        "None: dnsConfig alone.",
    )
    dns_config: DNSConfig | None = Field(default=None, description="Added to what dnsPolicy gives.")
    host_pid: bool = Field(
        default=False,
        alias="hostPID",
        description="Use the node's process ids: its processes are seen, and the container's own are no longer the first.",
    )
    share_process_namespace: bool = Field(
        default=False,
        description="true: the containers share their process ids, see and signal each other's; none is the first process.",
    )
    host_ipc: bool = Field(
        default=False, alias="hostIPC", description="Use the node's System V IPC, POSIX message queues and /dev/shm."
    )
    image_pull_secrets: tuple[LocalObjectReference, ...] = Field(
        default=(),
        max_length=MOST_PULL_SECRETS,
        description="Secrets of the namespace (kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg) with credentials for "
        "the images' registries, tried in this order. Those of a ServiceAccount are not used.",
        json_schema_extra=list_map("name"),
    )
    runtime_class_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=SUBDOMAIN,
        description="RuntimeClass of the cluster: its handler runs the containers, on nodes that it schedules to.",
    )
    service_account_name: str = Field(
        default=DEFAULT_SERVICE_ACCOUNT,
        min_length=1,
        max_length=253,
        pattern=SUBDOMAIN,
        description="ServiceAccount, of the same namespace, whose tokens projected volumes hold. None is mounted by itself.",
    )
    security_context: PodSecurityContext = Field(
        default_factory=PodSecurityContext, description="What the processes may do, where a container says nothing."
    )

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Init containers, then the containers."""
        return self.init_containers + self.containers
