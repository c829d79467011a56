"""The node runtime API: all that an agent may ask of any container runtime.

The port speaks of what an instance needs (images, containers, their processes), not of how one runtime does it: no snapshot,
lease, task or shim is in it, so that containerd, the Docker Engine or a VM fits behind it unchanged.

Rules that every runtime keeps, and that the contract suite checks:

- Values are frozen. Times are seconds since the epoch (float), sizes are bytes, durations are seconds.
- Every call has a deadline of its own; when it passes, `DeadlineExceeded` is raised, and whether the call took effect is
  unknown.
- "Absent" (`NotFound`) and "could not ask" (`Unavailable`, `DeadlineExceeded`) are never confused.
- Whatever a failing call had begun is undone, or is cleaned by the next `remove` of that container.

Errors are one tree, translated once, at the adapter, with the cause kept (`raise ... from exc`):

    RuntimeFailure
    |-- Unavailable           the runtime does not answer now; trying again makes sense
    |   `-- DeadlineExceeded  it did not answer in time; the effect is unknown
    |-- NotFound              it answered: no such container, image or process
    |-- AlreadyExists         it answered: that id is taken
    |-- Conflict              it answered: not in the state that the call needs (start of a running container, ...)
    |-- InvalidConfig         the configuration cannot work, now or later, until it is changed
    |-- StartFailure          the container's process could not be started: limits too small, ...
    |   `-- CommandFailure    the command itself cannot be executed: not found, no permission
    |-- Unsupported           this runtime (version) cannot do it
    `-- ImageFailure          something about an image
        |-- InvalidReference  the reference cannot be parsed
        |-- ImageNotFound     the registry answered: no such repository or tag
        |-- ImageForbidden    the registry answered: no permission
        |   `-- CredentialsMissing  it wants credentials, or others
        |-- RegistryUnreachable  the registry did not answer, or not with what was asked for: no route, refused, DNS, 5xx
        |   |-- RegistryUntrusted  TLS failed: authority not known, expired, another host
        |   |-- RateLimited   the registry answered: too many requests
        |   `-- PullStalled   nothing more came
        |-- ImageDamaged      what came is not what its digest says
        |-- DiskFull          the node has no room for it
        `-- PlatformMissing   the image has nothing for this node's platform
"""

import enum
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self


class RuntimeFailure(Exception):  # noqa: N818 - a tree of words for what went wrong; "Error" behind each would add nothing
    """Root of the tree; `str()` of it is a sentence for people, without secrets."""


class Unavailable(RuntimeFailure):
    """The runtime does not answer now; trying again makes sense."""


class DeadlineExceeded(Unavailable):
    """The runtime did not answer in time; whether the call took effect is unknown."""


class NotFound(RuntimeFailure):
    """No such container, image or process."""


class AlreadyExists(RuntimeFailure):
    """The id is taken."""


class Conflict(RuntimeFailure):
    """The container is not in the state that the call needs."""


class InvalidConfig(RuntimeFailure):
    """The configuration cannot work until it is changed."""


class StartFailure(RuntimeFailure):
    """The container's process could not be started; the message names the cause."""


class CommandFailure(StartFailure):
    """The command cannot be executed: it does not exist in the image, or may not be executed."""


class Unsupported(RuntimeFailure):
    """This runtime, or this version of it, cannot do it."""


class ImageFailure(RuntimeFailure):
    """Something about an image."""


class InvalidReference(ImageFailure):
    """The image reference cannot be parsed."""


class ImageNotFound(ImageFailure):
    """The registry has no such repository or tag."""


class ImageForbidden(ImageFailure):
    """The registry refuses: no permission."""


class CredentialsMissing(ImageForbidden):
    """The registry wants credentials, or others than those that it was given."""


class RegistryUnreachable(ImageFailure):
    """The registry did not answer, or not with what was asked for."""


class RegistryUntrusted(RegistryUnreachable):
    """No TLS with the registry: its certificate is not trusted, expired or of another host, or it wants one of the node."""


class RateLimited(RegistryUnreachable):
    """The registry takes no more requests for now."""


class PullStalled(RegistryUnreachable):
    """Nothing more came; what is there already is kept for the next try."""


class ImageDamaged(ImageFailure):
    """What came is not what its digest says."""


class DiskFull(ImageFailure):
    """The node's disk has no room for the image."""


class PlatformMissing(ImageFailure):
    """The image has nothing for this node's platform."""


class Feature(enum.StrEnum):
    """What a runtime may or may not be able to do; declared in `RuntimeInfo.features`."""

    HOST_NETWORK = "host-network"
    NETWORK_NAMESPACE = "network-namespace"
    """Join a network namespace given by path."""
    RESOURCE_UPDATE = "resource-update"
    PAUSE = "pause"
    EXEC = "exec"


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What the runtime is."""

    name: str
    version: str
    features: frozenset[Feature] = frozenset()
    snapshotters: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()
    """Names of the runtime handlers that a container may ask for, the default one first."""
    root_dir: str = ""
    """Where images and containers are stored, to watch its file system; empty when unknown."""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of how it is to be run (OCI image-spec, config.md; Docker image spec)."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """`NAME=value` each."""
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class ImageState:
    """An image that is on the node, complete and unpacked."""

    name: str
    """Normalised reference, by tag or digest: `docker.io/library/nginx:latest`."""
    digest: str
    """Digest of what the name points at: an index or a manifest."""
    size: int = 0
    """Bytes of content, as stored."""
    config: ImageConfig = field(default_factory=ImageConfig)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a registry is shown. None of it is in any text that is made of this."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """Is exchanged for a token of the registry (OAuth 2.0 refresh token); in place of user and password."""
    registry_token: str = field(default="", repr=False)
    """Is such a token; in place of all others."""


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is, in bytes as the registry sends them."""

    bytes_done: int
    """Those that are on the node. When all are, they may still be being unpacked."""
    bytes_total: int
    """0 while the size is not known."""
    bytes_present: int = 0
    """Of those that are done: what was there before this pull, and has not been fetched by it."""


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
class ImageFiles:
    """The files of an image, as they are mounted on the node (mount(2)); to be mounted read-only."""

    type: str
    source: str
    options: tuple[str, ...] = ()


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


class EventKind(enum.StrEnum):
    """What a runtime tells by itself."""

    SUBSCRIBED = "subscribed"
    """The first event of every stream: whoever lists from now on misses nothing."""
    CREATED = "created"
    STARTED = "started"
    EXITED = "exited"
    """Its process ended; told once, but not always of a process that `remove` killed."""
    OOM = "oom"
    PAUSED = "paused"
    RESUMED = "resumed"
    REMOVED = "removed"
    CHANGED = "changed"
    """Something else about the container changed; look at it again."""
    IMAGE_CHANGED = "image-changed"
    """An image was added, changed or removed; `image` is its name."""


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """One event. Fields that do not belong to its kind are empty."""

    kind: EventKind
    container_id: str = ""
    image: str = ""
    pid: int = 0
    exit_code: int | None = None
    at: float = 0.0
    """When the runtime saw it; when a container started, `ContainerState.started_at` says more exactly."""


@dataclass(frozen=True, slots=True)
class ExecConfig:
    """A further process in a running container; what is not set is as in the container."""

    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    """Added to the container's own environment."""
    tty: bool = False
    stdin: bool = False


class Stream(enum.StrEnum):
    """Where output of a process comes from. With a terminal everything is `STDOUT`."""

    STDOUT = "stdout"
    STDERR = "stderr"


class ExecProcess(Protocol):
    """A process started by `Runtime.exec`. Use it as an async context manager: on leaving, it is killed if it still runs."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc: object) -> None: ...

    def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """What it writes, until it has closed both streams. To be read by one reader; unread output makes the process wait."""
        ...

    async def write(self, data: bytes) -> None:
        """Feed its standard input (only with `ExecConfig.stdin`). Raises `Conflict` when that is closed or it has ended."""
        ...

    async def close_stdin(self) -> None:
        """Let it read end of file."""
        ...

    async def resize(self, width: int, height: int) -> None:
        """Tell its terminal the size, in characters."""
        ...

    async def signal(self, signal: str) -> None:
        """Send it a signal, by name (`SIGINT`). Raises `NotFound` when it has ended."""
        ...

    async def wait(self) -> int:
        """Its exit code; 128 + n when signal n ended it."""
        ...


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """What a container uses."""

    id: str
    cpu_seconds: float
    """CPU time since its start."""
    memory_bytes: int
    """Working set: what the kernel could not easily take back."""
    pids: int = 0


class Runtime(Protocol):
    """The node runtime API. One object serves a whole node; all calls may run at the same time."""

    async def info(self) -> RuntimeInfo:
        """What the runtime is. Raises `Unsupported` when its version is too old, in words that say what is needed."""
        ...

    def events(self) -> AsyncGenerator[RuntimeEvent, None]:
        """Events of this node's containers and images, `SUBSCRIBED` first.

        The stream ends only by an exception: `Unavailable` when the connection broke. Then subscribe again, and list. Leave
        it with `contextlib.aclosing`, so that the subscription ends when its reader does.
        """
        ...

    async def list(self) -> tuple[ContainerState, ...]:
        """Every container in Moorage's own namespace of the runtime, in one go."""
        ...

    async def inspect(self, container_id: str) -> ContainerState:
        """One container. Raises `NotFound`."""
        ...

    async def images(self) -> tuple[ImageState, ...]:
        """Every image that is complete on the node. `config` is not filled in; `image` reads it."""
        ...

    async def image(self, reference: str) -> ImageState:
        """One image with its config. Raises `NotFound` when it is not on the node, `InvalidReference`."""
        ...

    async def pull(
        self,
        reference: str,
        progress: Callable[[PullProgress], None] | None = None,
        *,
        credential: Credential | None = None,
        digest: str = "",
    ) -> ImageState:
        """Fetch and unpack an image. Raises `ImageFailure`.

        Args:
            reference: what to fetch, and the name that it has on the node then.
            progress: called now and then, from the same loop.
            credential: what its registry is shown when that asks; None: nothing.
            digest: fetch the image of this digest, whatever the tag means by now. Of one that is on the node only the right
                to it is asked of the registry.
        """
        ...

    async def remove_image(self, reference: str) -> None:
        """Remove the name; its content goes when nothing else needs it. Absent is success."""
        ...

    async def hold_image(self, holder: str, reference: str) -> ImageFiles:
        """Hold the files of an image that is on the node, so that they can be mounted; they stay whatever becomes of its name.

        Asked again by the same holder, it is what that holds already, whatever the name means by now. Raises `NotFound`,
        `InvalidReference`, `Unsupported`.
        """
        ...

    async def release_image(self, holder: str) -> None:
        """The holder holds nothing any more, and has unmounted what it held. Absent is success."""
        ...

    async def image_holders(self) -> frozenset[str]:
        """Who holds anything."""
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

    async def tidy(self) -> int:
        """Remove what a crash left: of the runtime, which is counted, and of the process before this one. Called now and then.

        Only what was lost at the call before, too, is removed: the rest may be about to be taken up.
        """
        ...

    async def close(self) -> None:
        """Close the connection. What runs goes on."""
        ...
