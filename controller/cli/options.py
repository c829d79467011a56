"""Options that several commands share, each with its environment variable and one text of help."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from controller.agent.decide.credentials.access import Policy
from controller.api.podsecurity.levels import Level

if TYPE_CHECKING:
    from controller.runtime.port import Runtime

DEFAULT_CONTAINERD: Final = "/run/containerd/containerd.sock"
DEFAULT_STATE_DIR: Final = Path("/var/lib/moorage")
DEFAULT_LOG_DIR: Final = Path("/var/log/moorage")
DEFAULT_NAMESPACE: Final = "moorage-system"
DEFAULT_NETNS_DIR: Final = Path("/run/moorage/netns")
DEFAULT_MEMORY_DIR: Final = Path("/run/moorage/memory")
DEFAULT_CNI_CONF_DIR: Final = Path("/etc/cni/net.d")
DEFAULT_CNI_BIN_DIR: Final = Path("/opt/cni/bin")
DEFAULT_CLUSTER_DOMAIN: Final = "cluster.local"
DEFAULT_RESOLV_CONF: Final = Path("/etc/resolv.conf")

Kubeconfig = Annotated[
    str | None,
    typer.Option(envvar="KUBECONFIG", help="Path of a kubeconfig file. Without it: the pod's service account.", metavar="FILE"),
]
Namespace = Annotated[
    str,
    typer.Option(envvar="POD_NAMESPACE", help="Namespace that Moorage is installed in.", metavar="NAME"),
]
Containerd = Annotated[
    str,
    typer.Option(envvar="MOORAGE_CONTAINERD", help="Socket of containerd (2.0 or newer).", metavar="SOCKET"),
]
NodeName = Annotated[
    str,
    typer.Option(envvar="NODE_NAME", help="Name of this node. Default: the host name.", metavar="NAME", show_default=False),
]
StateDir = Annotated[
    Path,
    typer.Option(envvar="MOORAGE_STATE_DIR", help="Where the node's desired instances are kept.", metavar="DIR"),
]
LogDir = Annotated[
    Path,
    typer.Option(envvar="MOORAGE_LOG_DIR", help="Where the output of containers goes.", metavar="DIR"),
]
NetnsDir = Annotated[
    Path,
    typer.Option(
        envvar="MOORAGE_NETNS_DIR",
        help="Where network namespaces are mounted; containerd must see it at the same path.",
        metavar="DIR",
    ),
]
MemoryDir = Annotated[
    Path,
    typer.Option(
        envvar="MOORAGE_MEMORY_DIR",
        help="Where Secrets are kept: on a tmpfs, which is mounted there if need be.",
        metavar="DIR",
    ),
]
CniConfDir = Annotated[
    Path,
    typer.Option(envvar="MOORAGE_CNI_CONF_DIR", help="Where the node's CNI configuration is.", metavar="DIR"),
]
CniBinDir = Annotated[
    Path,
    typer.Option(envvar="MOORAGE_CNI_BIN_DIR", help="Where the node's CNI plugins are.", metavar="DIR"),
]
CniTimeoutSeconds = Annotated[
    int,
    typer.Option(min=1, max=600, help="A CNI plugin that has not ended after this is killed.", metavar="SECONDS"),
]
CniGc = Annotated[
    bool,
    typer.Option(
        "--cni-gc",
        help="Let CNI plugins remove what is of no instance. Not where others, such as a kubelet's pods, are on that network.",
    ),
]
ClusterDns = Annotated[
    list[str],
    typer.Option(
        help="Address of the cluster's DNS, for dnsPolicy ClusterFirst; may be repeated. Without: the node's resolver is used.",
        metavar="IP",
    ),
]
ClusterDomain = Annotated[
    str,
    typer.Option(envvar="MOORAGE_CLUSTER_DOMAIN", help="Domain of the cluster's Services.", metavar="DOMAIN"),
]
ResolvConf = Annotated[
    Path,
    typer.Option(envvar="MOORAGE_RESOLV_CONF", help="The node's resolver, for dnsPolicy Default.", metavar="FILE"),
]
AllowedUnsafeSysctls = Annotated[
    list[str],
    typer.Option(
        help="Kernel parameter that instances may set beyond the safe ones, or a pattern that ends in *: kernel.msg*, "
        "net.core.somaxconn; may be repeated. Only those of the network and of IPC.",
        metavar="NAME",
    ),
]
SystemReserved = Annotated[
    str,
    typer.Option(
        envvar="MOORAGE_SYSTEM_RESERVED",
        help="What of the node is not for instances, but for its system (and its kubelet's pods): cpu=500m,memory=1Gi.",
        metavar="LIST",
    ),
]
PidsLimit = Annotated[
    int,
    typer.Option(
        min=0,
        max=4194304,
        help="Most processes and threads of a container whose resources.limits.pids says nothing; 0: no limit.",
        metavar="N",
    ),
]
RegistryConfig = Annotated[
    Path | None,
    typer.Option(
        envvar="MOORAGE_REGISTRY_CONFIG",
        help="File with credentials for registries that hold for all instances of the node, as Docker's config.json; read anew "
        "when it changes. Default: config.json in the state folder, which need not be there.",
        metavar="FILE",
        show_default=False,
    ),
]
ArchiveDirs = Annotated[
    list[Path],
    typer.Option(
        help="Folder on the node with archives of images, which ContainerImages may name (spec.source.archive); may be "
        "repeated. Whatever is below it may be brought to the node by any namespace. Default: archives in the state folder, "
        "which need not be there.",
        metavar="DIR",
        show_default=False,
    ),
]
ImageCredentialProviderConfig = Annotated[
    Path | None,
    typer.Option(
        envvar="MOORAGE_IMAGE_CREDENTIAL_PROVIDER_CONFIG",
        help="CredentialProviderConfig of a kubelet, or a folder of such files: plugins that are asked for credentials.",
        metavar="FILE",
    ),
]
ImageCredentialProviderBinDir = Annotated[
    Path | None,
    typer.Option(
        envvar="MOORAGE_IMAGE_CREDENTIAL_PROVIDER_BIN_DIR", help="Where the programs of these plugins are.", metavar="DIR"
    ),
]
ImageVerification = Annotated[
    Policy,
    typer.Option(
        "--image-pull-credentials-verification-policy",
        envvar="MOORAGE_IMAGE_PULL_CREDENTIALS_VERIFICATION_POLICY",
        help="For which images that are on the node an instance has to have credentials that its registry takes, as a kubelet.",
    ),
]
ImageVerificationAllowlist = Annotated[
    list[str],
    typer.Option(
        "--preloaded-images-verification-allowlist",
        help="Repository, or beginning of some that ends in /*, whose images NeverVerifyAllowlistedImages lets everybody use; "
        "may be repeated.",
        metavar="IMAGE",
    ),
]
RuntimeHandler = Annotated[
    list[str],
    typer.Option(
        help="A handler that RuntimeClasses may ask for, and the runtime of containerd that it stands for, with options: "
        "crun=io.containerd.runc.v2,BinaryName=/usr/bin/crun. May be repeated.",
        metavar="NAME=TYPE[,OPTION=VALUE...]",
    ),
]
ParallelPulls = Annotated[
    int,
    typer.Option(
        envvar="MOORAGE_PARALLEL_PULLS",
        min=1,
        max=100,
        help="How many images are pulled at the same time; the others wait for their turn.",
        metavar="N",
    ),
]
PullStallSeconds = Annotated[
    int,
    typer.Option(
        envvar="MOORAGE_PULL_STALL_SECONDS",
        min=2,
        max=3600,
        help="A pull, push or import that does not move for this long is given up (a pull: tried again). Else none times out.",
        metavar="SECONDS",
    ),
]
ImageGcHighPercent = Annotated[
    int,
    typer.Option(
        envvar="MOORAGE_IMAGE_GC_HIGH_PERCENT",
        min=1,
        max=100,
        help="Use of the disk of images from which on unused ones are removed, the longest unused first; 100: never.",
        metavar="PERCENT",
    ),
]
ImageGcLowPercent = Annotated[
    int,
    typer.Option(
        envvar="MOORAGE_IMAGE_GC_LOW_PERCENT",
        min=0,
        max=100,
        help="Use that they are removed down to; at most --image-gc-high-percent.",
        metavar="PERCENT",
    ),
]
ImageGcMinimumAge = Annotated[
    int,
    typer.Option(
        envvar="MOORAGE_IMAGE_GC_MINIMUM_AGE",
        min=0,
        max=86400,
        help="An image that came less than this ago is not removed: whoever fetched it is about to use it.",
        metavar="SECONDS",
    ),
]
DiskPressurePercent = Annotated[
    int,
    typer.Option(
        envvar="MOORAGE_DISK_PRESSURE_PERCENT",
        min=0,
        max=99,
        help="With less of the disk of images free than this, whatever images are removed, the node takes no new instances; 0: "
        "it always does.",
        metavar="PERCENT",
    ),
]
LogMaxSize = Annotated[
    str,
    typer.Option(help="Size at which a container's log file is rotated, as a quantity.", metavar="QUANTITY"),
]
LogMaxFiles = Annotated[
    int,
    typer.Option(min=1, max=100, help="Files that are kept of each run's log, the current one included.", metavar="N"),
]
HeartbeatSeconds = Annotated[
    int,
    typer.Option(min=1, max=60, help="Pause between two heartbeats of the node.", metavar="SECONDS"),
]
NodeGraceSeconds = Annotated[
    int,
    typer.Option(
        min=2,
        max=3600,
        help="A node without a heartbeat for this long is not ready: four pauses of the agents.",
        metavar="SECONDS",
    ),
]
PodSecurityEnforce = Annotated[
    Level,
    typer.Option(
        envvar="MOORAGE_POD_SECURITY_ENFORCE",
        help="Pod Security level that holds in namespaces without the label pod-security.kubernetes.io/enforce.",
    ),
]
PodSecurityVersion = Annotated[
    str,
    typer.Option(
        "--pod-security-enforce-version",
        envvar="MOORAGE_POD_SECURITY_ENFORCE_VERSION",
        help="Version of the Pod Security Standards that goes with it: latest, or v1.N.",
        metavar="VERSION",
    ),
]
MetricsPort = Annotated[
    int,
    typer.Option(min=0, max=65535, help="Serve /metrics, /healthz and /readyz on this port; 0: do not.", metavar="PORT"),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what is done.")]
Instance = Annotated[
    str,
    typer.Argument(help="The instance: namespace/name, its name, or the beginning of its name or uid.", metavar="INSTANCE"),
]
ContainerName = Annotated[
    str,
    typer.Option("--container", "-c", help="Its container. Default: the first.", metavar="NAME", show_default=False),
]


def open_runtime(context: typer.Context, address: str) -> "Runtime":
    """The runtime that a command talks to: containerd, unless the caller of the command tree has handed in a maker (`obj`)."""
    make: Callable[[str], Runtime] | None = context.obj
    if make is None:
        from controller.runtime.containerd.runtime import ContainerdRuntime

        make = ContainerdRuntime
    return make(address)


def default_node_name() -> str:
    """The host name in lower case, as Kubernetes wants names."""
    return socket.gethostname().lower()
