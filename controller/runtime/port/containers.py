"""Containers: what they are, and what is asked of them."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from controller.runtime.port.processes import ExecConfig, ExecProcess


class Phase(enum.StrEnum):
    """Where a container is in its life."""

    CREATED = "created"
    """Its process has never been started."""
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"
    """Its process ended: seen by the runtime, or lost with a reboot or by tampering (then `exit_code` is None)."""
    UNKNOWN = "unknown"
    """The runtime answered, but could not tell: what serves the container does not answer. Nothing may be concluded."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container as the runtime knows it."""

    id: str
    phase: Phase
    labels: Mapping[str, str]
    image: str = ""
    image_digest: str = ""
    """Digest of what the image's name pointed at when the container was made."""
    pid: int = 0
    """Process id on the node while running or paused, else 0."""
    created_at: float = 0.0
    started_at: float | None = None
    """The same at every look, whatever was restarted meanwhile; None when it never started, or cannot be known."""
    exited_at: float | None = None
    exit_code: int | None = None
    """None while it has not ended, and when the runtime lost it (reboot)."""
    oom_killed: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount into the container (OCI runtime-spec, config.md#mounts)."""

    source: str
    destination: str
    type: str = "bind"
    options: tuple[str, ...] = ("rbind", "rprivate")


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container may use. Limits that are None are none."""

    cpu_millis: int | None = None
    """Limit, in thousandths of a core."""
    memory_bytes: int | None = None
    """Limit."""
    cpu_request_millis: int | None = None
    """What it is promised when all want the processors, in thousandths of a core: its weight beside others. 0: the least
    that there is. None: the kernel's default, that of one core."""
    pids: int | None = None
    """Most processes and threads."""
    huge_pages: tuple[tuple[str, int], ...] = ()
    """Limits in bytes by size of page, as (`2Mi`, 4194304). Of a container that runs they cannot be changed."""


class Seccomp(enum.StrEnum):
    """Which filter of system calls a process has, in Kubernetes' words."""

    RUNTIME_DEFAULT = "RuntimeDefault"
    """That of the runtime; none where the kernel has no filters."""
    UNCONFINED = "Unconfined"
    LOCALHOST = "Localhost"
    """That of `Security.seccomp_profile`."""


@dataclass(frozen=True, slots=True)
class Security:
    """What the process may do. The defaults are Docker's, with no new privileges."""

    no_new_privileges: bool = True
    privileged: bool = False
    """All capabilities and devices that the node has, no filter, nothing masked. The next two do not count then."""
    add_capabilities: tuple[str, ...] = ()
    """Added to Docker's set; without `CAP_`; may hold `ALL`."""
    drop_capabilities: tuple[str, ...] = ()
    """Taken from it; may hold `ALL`, which is done before anything is added."""
    read_only_root: bool = False
    unmasked_proc: bool = False
    """Nothing of /proc and /sys is masked or read-only."""
    seccomp: Seccomp = Seccomp.RUNTIME_DEFAULT
    seccomp_profile: str = ""
    """The filter as JSON (OCI runtime-spec, config-linux.md#seccomp), for `Seccomp.LOCALHOST` alone."""
    run_as_user: int | None = None
    """In place of the user of `ContainerConfig.user`; its group there then counts no more."""
    run_as_group: int | None = None
    run_as_non_root: bool = False
    """A container that would run as user 0 is refused with `InvalidConfig`."""
    supplemental_groups: tuple[int, ...] = ()
    """Beside those that the image's group file gives the user."""
    sysctls: tuple[tuple[str, str], ...] = ()
    """Kernel parameters of the namespaces that are the container's own, with dots between the parts of their names."""


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """A container to be made: everything is resolved, nothing is left to be looked up but the user's name.

    `user` is in the syntax of an image's USER (`""`, `uid`, `name`, `uid:gid`, `name:group`), since only the runtime can read
    the image's own passwd and group files.
    """

    id: str
    image: str
    """Normalised name of an image that is on the node."""
    args: tuple[str, ...]
    labels: Mapping[str, str]
    group: str = ""
    """Containers with the same group belong together; a runtime may let them share what serves them."""
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    user: str = ""
    hostname: str = ""
    """Empty: the node's own."""
    mounts: tuple[Mount, ...] = ()
    resources: Resources = field(default_factory=Resources)
    oom_score_adj: int | None = None
    """How soon the kernel kills it when the node has no memory left, from -1000 (never) to 1000 (first), as far as the runtime
    may say so. None: as the runtime's own processes."""
    security: Security = field(default_factory=Security)
    network_namespace: str = ""
    """Path of the network namespace to join; empty: the node's own."""
    host_pid: bool = False
    """Share the node's process ids instead of having some of its own."""
    shared_pids: bool = False
    """Have the same process ids as the containers of its group that say so, too. They outlive each of these containers, and the
    first process is none of theirs. Raises `InvalidConfig` where the runtime cannot."""
    ipc_namespace: str = ""
    """Path of the IPC namespace to join; empty: one of its own, unless it shares the node's."""
    host_ipc: bool = False
    """Share the node's System V IPC, message queues and /dev/shm."""
    runtime_handler: str = ""
    """One of `RuntimeInfo.handlers`; empty: the default one. With another, `create` raises `InvalidConfig`."""
    cgroup_parent: str = "/moorage"
    """Cgroup that the container's own is made below."""
    log_path: str = ""
    """File that stdout and stderr are appended to, written by the runtime itself; empty: discarded."""
    tty: bool = False
    """Its standard input and both outputs are a terminal. Raises `InvalidConfig` where the runtime cannot."""
    stdin: bool = False
    """Reading standard input waits, for as long as the container runs and whoever comes and goes; otherwise it is empty, unless
    it is a terminal, where reading always waits."""


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """What a container uses."""

    id: str
    cpu_seconds: float
    """CPU time since its start."""
    memory_bytes: int
    """Working set: what the kernel could not easily take back."""
    pids: int = 0


class Containers(Protocol):
    """The containers of a node."""

    async def list(self) -> tuple[ContainerState, ...]:
        """Every container in Moorage's own namespace of the runtime, in one go."""
        ...

    async def inspect(self, container_id: str) -> ContainerState:
        """One container. Raises `NotFound`."""
        ...

    async def create(self, config: ContainerConfig) -> ContainerState:
        """Make a container, its process not started. Raises `AlreadyExists`, `InvalidConfig`, `NotFound` (the image)."""
        ...

    async def start(self, container_id: str) -> ContainerState:
        """Start its process. Raises `StartFailure`, `NotFound`, `Conflict` when it runs or has run."""
        ...

    async def signal(self, container_id: str, signal: str) -> None:
        """Send a signal, by name (`SIGTERM`), to its main process. Raises `NotFound` when nothing of it runs."""
        ...

    async def remove(self, container_id: str) -> None:
        """Remove it and all that belongs to it; whatever still runs of it is killed first. Absent is success."""
        ...

    async def exec(self, container_id: str, config: ExecConfig) -> ExecProcess:
        """Start a further process in a running container. Raises `NotFound` when it does not run, `StartFailure`."""
        ...

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        """Change what a running container may use, in place; None takes a limit away. Huge pages stay as they are.

        Raises `NotFound`, `InvalidConfig`, and `Conflict` when it uses more memory than it is to be held to now.
        """
        ...

    async def set_labels(self, container_id: str, labels: Mapping[str, str]) -> None:
        """Write these labels of a container, in whatever phase; all others stay. Raises `NotFound`.

        A label with an empty value is taken away; none is kept from `create` either.
        """
        ...

    async def pause(self, container_id: str) -> None:
        """Freeze it. Raises `NotFound`, `Conflict`."""
        ...

    async def resume(self, container_id: str) -> None:
        """Thaw it. Raises `NotFound`, `Conflict`."""
        ...

    async def stats(self) -> tuple[ContainerStats, ...]:
        """What every running container uses, in one go."""
        ...
