"""What a spec depends on besides the container's own configuration."""

from dataclasses import dataclass

from controller.runtime.oci.capabilities import ALL_CAPABILITIES


@dataclass(frozen=True, slots=True)
class Device:
    """A device node."""

    path: str
    kind: str
    """`c` or `b`."""
    major: int
    minor: int
    mode: int
    """Permission bits."""
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Host:
    """The node as the OCI runtime will find it."""

    architecture: str = "amd64"
    """In Go's words (GOARCH), as OCI has it."""
    capabilities: frozenset[str] = frozenset(ALL_CAPABILITIES)
    """What may be given away: an OCI runtime that lacks a capability itself cannot grant it."""
    cgroup_v2: bool = True
    seccomp: bool = True
    """The kernel can filter system calls."""
    oom_score_floor: int = -1000
    """Lowest OOM score that may be given away: without CAP_SYS_RESOURCE none below the own one (proc_pid_oom_score_adj(5))."""
    huge_pages: tuple[str, ...] = ()
    """Sizes of huge pages that a container can be limited in: the node has them, and the controller hugetlb. As `2Mi`."""
    swap_limits: bool = False
    """Memory and swap together can be limited: always with cgroup v2; with v1 where the kernel accounts for swap."""
    x32: bool = True
    """The kernel serves the x32 binary interface of amd64, as few do."""
    devices: tuple[Device, ...] = ()
    """For privileged containers."""
