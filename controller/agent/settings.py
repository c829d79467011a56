"""What an agent is told at its start."""

from dataclasses import dataclass, field
from pathlib import Path

from controller.agent.credentials.plugins import Plugin
from controller.agent.decide.credentials.access import Rule
from controller.agent.images.archives import FOLDER as ARCHIVES_FOLDER
from controller.agent.images.collector import RoomSettings
from controller.agent.report.heartbeat import RENEW_SECONDS
from controller.api.amounts import NOTHING, Amounts
from controller.api.podsecurity.levels import BASELINE, LevelVersion
from controller.network.attached import CniSettings


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an agent is told at its start."""

    node_name: str
    """Name of the node, and of its RuntimeNode."""
    state_dir: Path = Path("/var/lib/moorage")
    """Where the desired instances are kept."""
    log_dir: Path = Path("/var/log/moorage")
    """Where the containers' output goes."""
    netns_dir: Path = Path("/run/moorage/netns")
    """Where the network namespaces of instances are mounted; the container runtime must see it at the same path."""
    memory_dir: Path = Path("/run/moorage/memory")
    """Where what must not reach a disk is kept; a tmpfs is mounted there if it is on none."""
    cni: CniSettings = field(default_factory=CniSettings)
    """Where the node's networks are configured."""
    cluster_dns: tuple[str, ...] = ()
    """Addresses of the cluster's name servers, for dnsPolicy ClusterFirst; none: the node's own are used."""
    cluster_domain: str = "cluster.local"
    """Domain of the cluster's Services."""
    resolv_conf: str = "/etc/resolv.conf"
    """The node's resolver, for dnsPolicy Default."""
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    """Kernel parameters that instances may set beyond the safe ones: names, and patterns that end in `*`."""
    pids_limit: int = 0
    """Most processes and threads of a container that says nothing itself; 0: no limit."""
    system_reserved: Amounts = NOTHING
    """What of the node is not for instances."""
    parallel_work: int = 4
    """How many containers are made, started or removed at the same time."""
    parallel_pulls: int = 3
    """How many images are pulled at the same time."""
    registry_config: Path = Path("/var/lib/moorage/config.json")
    """Credentials for registries that are for all instances; need not be there."""
    image_room: RoomSettings = field(default_factory=RoomSettings)
    """How much room there is to be on the disk of images."""
    credential_providers: tuple[Plugin, ...] = ()
    """Plugins that give more of them."""
    archive_dirs: tuple[Path, ...] = (Path("/var/lib/moorage") / ARCHIVES_FOLDER,)
    """Archives of images are read from below these folders, and from nowhere else."""
    image_verification: Rule = field(default_factory=Rule)
    """For which images that are on the node a right has to be shown."""
    log_max_bytes: int = 10 * 2**20
    """Size at which a log file is rotated."""
    runtime_handlers: tuple[str, ...] = ("runc",)
    """Names of the runtime handlers that the node has."""
    pod_security: LevelVersion = BASELINE
    """What is enforced in namespaces without Pod Security labels."""
    log_max_files: int = 5
    """How many files of one container's run are kept, the current one included."""
    heartbeat_seconds: float = RENEW_SECONDS
    """Pause between two heartbeats; a manager waits for four of them by default."""
