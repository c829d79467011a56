"""All that the agent knows of one instance at one moment: frozen values, and nothing else is decided upon."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.agent.decide.eviction import Exceeded
from controller.agent.decide.pulling import PullView
from controller.agent.decide.volumes.wanted import Files
from controller.api import labels
from controller.api.amounts import NOTHING, Amounts
from controller.api.instance import ContainerInstance
from controller.api.podsecurity.levels import PRIVILEGED, LevelVersion
from controller.api.reasons import Reason
from controller.network.port import NetworkState
from controller.runtime.port import ContainerState, ImageState


@dataclass(frozen=True, slots=True)
class Desired:
    """What is wanted of one instance."""

    instance: ContainerInstance
    gone: bool = False
    """The object is no longer in the API: tear down, nobody is to be told."""
    kept: bool = False
    """Its spec is one that an earlier agent had, and has kept."""

    @property
    def uid(self) -> str:
        """Uid of the instance."""
        return self.instance.metadata.uid

    @property
    def deleting(self) -> bool:
        """Whether everything of it must go."""
        return self.gone or self.instance.metadata.deletion_timestamp is not None


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is true of the node and matters for containers on it."""

    name: str
    boot_id: str = ""
    log_dir: str = "/var/log/moorage"
    seccomp_dir: str = "/var/lib/moorage/seccomp"
    """Where `localhostProfile` is looked up."""
    runtime_name: str = "containerd"
    cgroup_parent: str = "/moorage"
    netns_dir: str = "/run/moorage/netns"
    address: str = ""
    files_dir: str = "/var/lib/moorage/files"
    """Where the instances' own `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` are, in a folder each."""
    volumes_dir: str = "/var/lib/moorage/volumes"
    """Where the instances' volumes are, in a folder each; the container runtime must see it at the same path."""
    recursive_read_only: bool = False
    """The kernel can make a mount read-only with all mounts below it (Linux 5.12)."""
    host_name: str = ""
    """The node's own, as the kernel has it."""
    cluster_dns: tuple[str, ...] = ()
    """Addresses of the cluster's name servers; none when not known."""
    cluster_domain: str = "cluster.local"
    """Domain that Services are in."""
    capacity: Amounts = NOTHING
    """What the node has."""
    allocatable: Amounts = NOTHING
    """What of it is for instances."""
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    """Kernel parameters that instances may set beyond the safe ones: names, and patterns that end in `*`."""
    pids_limit: int = 0
    """Most processes and threads of a container that says nothing itself; 0: no limit."""


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull that is under way, or failed."""

    running: bool
    reason: Reason = Reason.PULLING
    message: str = ""
    retry_at: float = 0.0
    terminal: bool = False
    progress: PullView | None = None
    """While it is under way and its size is known."""


@dataclass(frozen=True, slots=True)
class ImageView:
    """What is known of one image reference on this node."""

    present: ImageState | None = None
    pull: Pull | None = None
    damage: str = ""
    """Why the one that was there is not used any more: it was found damaged."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last failed try to bring up one container with one spec."""

    spec_hash: str
    reason: Reason
    message: str
    at: float
    count: int
    """Failures in a row, this one included."""
    resources: str = ""
    """What it was to be held to (`decide/resources.applied`)."""
    terminal: bool = False
    """Trying again makes no sense until the spec changes."""
    started: bool = False
    """It was the start that failed: for restartPolicy Never that is the container's end."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """What an instance asks for, and the node does not have now."""

    resource: str
    """By its name in core/v1."""
    message: str
    ever: bool
    """Not even an empty node would have it."""
    held: bool
    """The instance has its place, and asks for more than goes with it."""


@dataclass(frozen=True, slots=True)
class ResizeTrouble:
    """The last failed try to change what a running container is held to."""

    resources: str
    """What it was to be held to (`decide/resources.applied`)."""
    message: str
    at: float
    count: int
    """Failures in a row, this one included."""


@dataclass(frozen=True, slots=True)
class NetworkTrouble:
    """The last failed try to make or remove the instance's network."""

    message: str
    at: float
    count: int
    """Failures in a row, this one included."""
    removing: bool = False
    """It was to be removed."""


@dataclass(frozen=True, slots=True)
class VolumeTrouble:
    """The last failed try to make or remove the instance's volumes."""

    message: str
    at: float
    count: int
    """Failures in a row, this one included."""
    removing: bool = False
    """They were to be removed."""


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """What the instance's RuntimeClass comes to on this node."""

    handler: str = ""
    """Of the node's runtime handlers; empty: the default one."""
    problem: str = ""
    """Why there is none; empty when there is."""
    terminal: bool = False
    """Somebody has to mend that."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the agent still knows of a container that the runtime has lost, so that its history is not told wrongly."""

    restart_count: int
    crashes: int
    last: ContainerState


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that a container names, and cannot be made without, is not to be had now."""

    message: str
    """What, in Kubernetes' words."""
    pending: bool = False
    """It is just being read, and nothing is wrong yet."""


@dataclass(frozen=True, slots=True)
class Health:
    """What hooks and probes have found of one container (`decide/health.py` says what it means)."""

    hooking: bool = False
    """Its postStart handler is to be run, or runs."""
    started: bool = False
    """Its startup probe has succeeded."""
    ready: bool = False
    """Its readiness probe says yes."""
    failed: str = ""
    """What says that it must be restarted: `startup`, `liveness` (probes) or `postStart`."""
    said: str = ""
    """What the probe or hook said that last failed."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One moment of one instance."""

    containers: tuple[ContainerState, ...] = ()
    """Everything in the runtime that carries the instance's uid."""
    images: Mapping[str, ImageView] = field(default_factory=dict)
    """By the reference as written in the spec."""
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    """By container name."""
    shortage: Shortage | None = None
    """What the node lacks for this instance; None when it has room."""
    inspecting: frozenset[str] = frozenset()
    """Names of containers whose image is just being read, since it may be damaged."""
    resizes: Mapping[str, ResizeTrouble] = field(default_factory=dict)
    """By container id."""
    stopping: Mapping[str, float] = field(default_factory=dict)
    """When a container, by id, was asked to stop: its preStop handler began, or its stop signal was sent."""
    hooks: Mapping[str, bool] = field(default_factory=dict)
    """Of the containers, by id, whose preStop handler was begun: whether it has ended."""
    signalled: Mapping[str, float] = field(default_factory=dict)
    """When a container, by id, was sent its stop signal."""
    killed: Mapping[str, float] = field(default_factory=dict)
    """When a container, by id, was last sent SIGKILL."""
    health: Mapping[str, Health] = field(default_factory=dict)
    """By container id."""
    last_words: Mapping[str, str] = field(default_factory=dict)
    """Termination messages, by the id of the container that ended."""
    words_before: Mapping[str, str] = field(default_factory=dict)
    """Termination messages of the runs before, by the id of the container that came after."""
    pulled: Mapping[str, str] = field(default_factory=dict)
    """Spec hash, by container name, that imagePullPolicy Always was fulfilled for."""
    pulling: Mapping[str, str] = field(default_factory=dict)
    """Spec hash, by container name, of the pull that is to tell this instance of its end."""
    remembered: Mapping[str, Remembered] = field(default_factory=dict)
    """By container name."""
    network: NetworkState = NetworkState.ABSENT
    """What there is of the instance's own network, compared with what it asks for."""
    network_trouble: NetworkTrouble | None = None
    addresses: tuple[str, ...] = ()
    """The instance's own, on that network."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """The instance's volumes on the node: by id, the state that each was last made in; empty when only its folder is known."""
    volumes_there: bool = False
    """There may be something of its volumes on the node."""
    volume_trouble: VolumeTrouble | None = None
    exceeded: Exceeded | None = None
    """A volume on disk in which there is, or was, more than its limit allows."""
    contents: Mapping[str, Files | Missing] = field(default_factory=dict)
    """What is to be in the volumes that are made from values, by their names."""
    runtime: RuntimeChoice = RuntimeChoice()
    """By which handler further containers run."""
    runtime_error: str = ""
    """Why the runtime cannot be asked now; then `containers` is what was last known."""
    runtime_down_since: float = 0.0
    """When that began, in seconds since the epoch."""
    pull_secrets_pending: str = ""
    """Which of its imagePullSecrets is just being read; empty when none is."""
    missing: Mapping[str, Missing] = field(default_factory=dict)
    """By container name. Whoever serves the objects wakes the supervisor when that changes."""
    pod_security: LevelVersion | None = PRIVILEGED
    """What is enforced in its namespace; None while the namespace's labels were never seen."""
    unlabelled_since: float = 0.0
    """When that began, in seconds since the epoch."""
    boot_id: str = ""
    """Of the node as it runs now."""
    memory: int = 0
    """Bytes that the node has for instances; 0 when that is not known."""
    active_since: float | None = None
    """When this agent first acted on the instance, in seconds since the epoch; its containers may tell of an earlier one."""
    ending_since: float | None = None
    """When the whole instance was first seen to end (deletion, suspension), in seconds since the epoch."""

    def of(self, name: str) -> tuple[ContainerState, ...]:
        """The containers of that name in the spec, the newest last."""
        mine = [c for c in self.containers if c.labels.get(labels.CONTAINER) == name]
        return tuple(sorted(mine, key=restart_count))


def restart_count(container: ContainerState) -> int:
    """Restarts before this container, from its label."""
    return _number(container, labels.RESTART_COUNT)


def crashes(container: ContainerState) -> int:
    """Ends in a row before this container, from its label."""
    return _number(container, labels.CRASHES)


def active_since(container: ContainerState) -> float | None:
    """When its instance was first acted upon, in seconds since the epoch, from its label; None when that is not there."""
    return _number(container, labels.ACTIVE_SINCE) / 1000 or None


def _number(container: ContainerState, label: str) -> int:
    text = container.labels.get(label, "")
    return int(text) if text.isdecimal() else 0
