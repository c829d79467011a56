"""What is true of this node: facts that matter for containers, and the status that is told of it."""

import os
import platform
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controller import __version__
from controller.agent.decide.observation import NodeFacts
from controller.agent.images.collector import read_disk
from controller.api.amounts import NOTHING, Amounts
from controller.api.conditions import READY, Condition, Status, stale_schema, timestamp
from controller.api.node import DISK_PRESSURE, Capacity, Disk, Images, NodeAddress, NodeStatus, Platform, RuntimeVersion
from controller.api.reasons import Reason
from controller.api.resources import HUGE_PAGES
from controller.network.port import Networks
from controller.runtime.port import Runtime, RuntimeFailure, RuntimeInfo

RUNTIME_REACHABLE: Final = "RuntimeReachable"
NETWORK_READY: Final = "NetworkReady"
"""Whether instances can be attached. A node without stays Ready: those with hostNetwork, or with network: None, need none."""

IMAGES_SECONDS: Final = 60.0
"""Pause between two counts of the images."""

_OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
"""Where a system says what it is, in the order of os-release(5)."""
_RECURSIVE_READ_ONLY: Final = (5, 12)
"""First kernel with mount_setattr(2)."""
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def facts(
    name: str,
    runtime_name: str,
    *,
    log_dir: str,
    netns_dir: str,
    seccomp_dir: str,
    files_dir: str,
    volumes_dir: str,
    cluster_dns: tuple[str, ...] = (),
    cluster_domain: str = "cluster.local",
    allowed_unsafe_sysctls: tuple[str, ...] = (),
    pids_limit: int = 0,
    system_reserved: Amounts = NOTHING,
) -> NodeFacts:
    """Read the facts of this node."""
    there = capacity()
    return NodeFacts(
        name=name,
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        log_dir=log_dir,
        seccomp_dir=seccomp_dir,
        runtime_name=runtime_name,
        cgroup_parent=f"/moorage/{name}",
        netns_dir=netns_dir,
        address=address(),
        host_name=socket.gethostname(),
        files_dir=files_dir,
        volumes_dir=volumes_dir,
        recursive_read_only=_kernel() >= _RECURSIVE_READ_ONLY,
        cluster_dns=cluster_dns,
        cluster_domain=cluster_domain,
        capacity=there,
        allocatable=there - system_reserved,
        allowed_unsafe_sysctls=allowed_unsafe_sysctls,
        pids_limit=pids_limit,
    )


def _kernel() -> tuple[int, ...]:
    """Version of the kernel, as its first two numbers."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return tuple(map(int, found.groups())) if found else ()


def address() -> str:
    """The node's own address: the one that a packet to elsewhere would leave from. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737): any address beyond the node will do
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@dataclass(slots=True)
class NodeJudge:
    """Gives the node's status; asks the runtime for little, and seldom."""

    name: str
    runtime: Runtime
    error: Callable[[], str]
    """Why the runtime does not answer now; empty when it does."""
    max_instances: int = 500
    address: str = ""
    allocatable: Amounts = NOTHING
    networks: Networks | None = None
    pressure: Callable[[], str] = lambda: ""
    """Why no new work is to come here for want of disk; empty when it may."""
    stale: Callable[[], str] = lambda: ""
    """Which installed definitions differ from this agent's own; empty when none does."""
    _info: RuntimeInfo | None = None
    _images: Images = field(default_factory=Images)
    _images_at: float = float("-inf")

    @property
    def images(self) -> Images:
        """What is on the node, as it was last counted."""
        return self._images

    async def __call__(self, now: float) -> NodeStatus:
        """The status of this moment."""
        error = self.error()
        if not error:
            try:
                await self._ask()
            except RuntimeFailure as exc:
                error = str(exc)
        unattached = self.networks.trouble() if self.networks is not None else ""
        info, pressed = self._info, self.pressure()
        return NodeStatus(
            runtime=RuntimeVersion(name=info.name, version=info.version) if info else RuntimeVersion(),
            snapshotters=info.snapshotters if info else (),
            runtime_handlers=info.handlers if info else (),
            platform=_platform(),
            addresses=(
                NodeAddress(type="InternalIP", address=self.address),
                NodeAddress(type="Hostname", address=socket.gethostname()),
            ),
            capacity=Capacity.of(capacity(), self.max_instances),
            allocatable=Capacity.of(self.allocatable, self.max_instances),
            images=self._images,
            disk=self._disk(),
            agent_version=__version__,
            conditions=(
                _condition(READY, not error, Reason.AGENT_READY, error and Reason.RUNTIME_UNAVAILABLE, error, now),
                _condition(
                    RUNTIME_REACHABLE, not error, Reason.RUNTIME_REACHABLE, error and Reason.RUNTIME_UNAVAILABLE, error, now
                ),
                _condition(DISK_PRESSURE, bool(pressed), Reason.HAS_DISK_PRESSURE, Reason.HAS_SUFFICIENT_DISK, pressed, now),
                _condition(
                    NETWORK_READY,
                    not unattached,
                    Reason.NETWORK_READY,
                    Reason.NETWORK_PLUGIN_NOT_READY,
                    unattached,
                    now,
                ),
                *stale_schema(self.stale(), now),
            ),
        )

    async def _ask(self) -> None:
        if self._info is None:
            self._info = await self.runtime.info()
        if time.monotonic() - self._images_at >= IMAGES_SECONDS:
            images = await self.runtime.images()
            self._images = Images(count=len(images), bytes=sum(i.size for i in images))
            self._images_at = time.monotonic()

    def _disk(self) -> Disk:
        found = read_disk(self._info.root_dir) if self._info and self._info.root_dir else None
        return Disk(capacity_bytes=found.capacity, percent_used=int(100 * found.used // 5 * 5)) if found else Disk()


def _condition(kind: str, true: bool, yes: str, no: str, message: str, now: float) -> Condition:  # noqa: FBT001
    status: Status = "True" if true else "False"
    return Condition(type=kind, status=status, reason=yes if true else no, message=message, last_transition_time=timestamp(now))


def _platform() -> Platform:
    machine = platform.machine()
    return Platform(
        os="linux",
        architecture=_ARCHITECTURES.get(machine, machine),
        kernel_version=platform.release(),
        os_image=os_image(node_root()),
    )


def node_root() -> Path:
    """The node's own root folder: in a pod, which has an image's, that of the node's first process."""
    return Path("/proc/1/root" if "KUBERNETES_SERVICE_HOST" in os.environ else "/")


def os_image(root: Path) -> str:
    """What the system at a root folder calls itself (os-release(5), PRETTY_NAME); empty when it does not say."""
    for name in _OS_RELEASE:
        try:
            lines = (root / name).read_text(errors="replace").splitlines()
        except OSError:
            continue
        named = next((line.partition("=")[2] for line in lines if line.startswith("PRETTY_NAME=")), "")
        return named.strip("\"' ")
    return ""


def capacity(sizes: Path = Path("/sys/kernel/mm/hugepages")) -> Amounts:
    """What the node has. Huge pages are those that were set aside (Documentation/admin-guide/mm/hugetlbpage.rst)."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    pages = []
    for size, size_bytes in HUGE_PAGES.items():
        try:
            count = int((sizes / f"hugepages-{size_bytes >> 10}kB" / "nr_hugepages").read_text())
        except FileNotFoundError:
            continue
        pages += [(size, count * size_bytes)] if count else []
    return Amounts(1000 * (os.cpu_count() or 1), memory, tuple(pages))
