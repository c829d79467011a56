"""The planner's vocabulary: small frozen values, carried out by `agent/acting/`."""

from dataclasses import dataclass, field

from controller.agent.decide.volumes.wanted import WantedVolume
from controller.api.instance import ContainerStateTerminated
from controller.api.probes import LifecycleHandler
from controller.api.spec import Container
from controller.network.port import NetworkRequest


@dataclass(frozen=True, slots=True)
class PullImage:
    """See to it that the image comes, or may be used; does not wait for it. A pull that is under way is joined."""

    container: str
    image: str
    spec_hash: str
    anew: bool = False
    """The registry is to be asked what its name means now."""


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """Make the instance's network, or make it as it is asked for."""

    pids: tuple[int, ...] = ()
    """Processes that are in it already, if it only got out of reach."""
    request: NetworkRequest = field(default_factory=NetworkRequest)


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Remove the instance's network; no container of the instance uses it any more."""


@dataclass(frozen=True, slots=True)
class MakeVolumes:
    """Make volumes of the instance, or bring those that are there into the state that is wanted."""

    volumes: tuple[WantedVolume, ...]


@dataclass(frozen=True, slots=True)
class RemoveVolumes:
    """Remove volumes that no container of the instance uses any more, with all that is in them."""

    ids: frozenset[str] | None = None
    """Which; None: all that there are."""


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Make a container."""

    container: Container
    spec_hash: str
    restart_count: int
    crashes: int
    last: ContainerStateTerminated | None = None
    """How the one before it ended."""
    runtime_handler: str = ""
    """Of the node's; empty: the default one."""
    after: str = ""
    """Digest of the init containers that have completed before it."""
    active_since: float = 0.0
    """When the instance was first acted upon, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Start a made container. `container_id` is empty for the one that the action before has made."""

    container: str
    spec_hash: str
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Hold a container that runs to the resources of its spec, without a restart."""

    container: Container
    container_id: str
    spec_hash: str


@dataclass(frozen=True, slots=True)
class RunPreStop:
    """Begin the preStop handler of a container that is to stop; does not wait for it."""

    container: str
    container_id: str
    handler: LifecycleHandler
    grace: int
    """Seconds after which it is given up."""
    why: str


@dataclass(frozen=True, slots=True)
class StopContainer:
    """Ask a container to stop, by its stop signal."""

    container: str
    container_id: str
    signal: str
    why: str


@dataclass(frozen=True, slots=True)
class MarkSuspended:
    """Write down whether a container is stopped because its spec asks for that."""

    container: str
    container_id: str
    suspended: bool = True


@dataclass(frozen=True, slots=True)
class KillContainer:
    """End a container that did not stop in time, by SIGKILL."""

    container: str
    container_id: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove an ended (or never started) container and all that belongs to it."""

    container_id: str


Action = (
    PullImage
    | CreateNetwork
    | RemoveNetwork
    | MakeVolumes
    | RemoveVolumes
    | CreateContainer
    | StartContainer
    | ResizeContainer
    | RunPreStop
    | MarkSuspended
    | StopContainer
    | KillContainer
    | RemoveContainer
)
