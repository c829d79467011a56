"""`RuntimeNode`: one per agent, named like its node."""

from typing import ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from controller.api import quantity
from controller.api.amounts import Amounts
from controller.api.base import AGE, LIST_ATOMIC, LIST_SET, STATUS_OF_READY, Column, Model, list_map, rules
from controller.api.conditions import Condition
from controller.api.meta import LABEL_KEY, LABEL_VALUE, NAME_IS_A_LABEL_VALUE, ObjectMeta
from controller.api.resources import HUGE_PAGES

DISK_PRESSURE: Final = "DiskPressure"
"""Condition of a node whose disk of images has too little room for new work."""


class Taint(Model):
    """Keeps instances away that do not tolerate it (core/v1 `Taint`)."""

    key: str = Field(
        min_length=1, max_length=317, pattern=LABEL_KEY, description="Key of the taint, in the form of a label key."
    )
    value: str = Field(default="", max_length=63, pattern=LABEL_VALUE, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        description="NoSchedule: no new instances. PreferNoSchedule: only when nothing else fits. "
        "NoExecute: running ones go, too."
    )


class NodeSpec(Model):
    """What people want of a node."""

    unschedulable: bool = Field(default=False, description="true: no new instances are placed here (cordon).")
    taints: tuple[Taint, ...] = Field(
        default=(), max_length=64, description="Taints of the node.", json_schema_extra=list_map("key", "effect")
    )


class RuntimeVersion(Model):
    """The runtime behind the agent."""

    name: str = Field(default="", description="containerd, ...")
    version: str = Field(default="", description="Its version.")


class Platform(Model):
    """What the node is."""

    os: str = Field(default="", description="Operating system, in Go's words: linux.")
    architecture: str = Field(default="", description="Architecture, in Go's words: amd64, arm64.")
    kernel_version: str = Field(default="", description="Kernel release.")
    os_image: str = Field(default="", description="Name of the distribution.")


class NodeAddress(Model):
    """An address of the node (core/v1 `NodeAddress`)."""

    type: Literal["InternalIP", "Hostname"] = Field(description="InternalIP or Hostname.")
    address: str = Field(description="The address.")


class Capacity(Model):
    """What the node has."""

    cpu: str = Field(default="0", description="Cores.")
    memory: str = Field(default="0", description="Memory, as a quantity.")
    instances: int = Field(default=0, description="Most instances that its agent takes.")
    hugepages_64Ki: str | None = Field(default=None, alias="hugepages-64Ki", description="Huge pages, as a quantity.")
    hugepages_2Mi: str | None = Field(default=None, alias="hugepages-2Mi", description="Huge pages, as a quantity.")
    hugepages_32Mi: str | None = Field(default=None, alias="hugepages-32Mi", description="Huge pages, as a quantity.")
    hugepages_1Gi: str | None = Field(default=None, alias="hugepages-1Gi", description="Huge pages, as a quantity.")

    @classmethod
    def of(cls, amounts: Amounts, instances: int) -> "Capacity":
        """Amounts as they are told of a node."""
        pages = {f"hugepages-{size}": quantity.of_bytes(n) for size, n in amounts.huge_pages}
        told = {"cpu": quantity.of_millis(amounts.cpu_millis), "memory": f"{amounts.memory_bytes // 1024}Ki"}
        return cls.model_validate({**told, "instances": instances, **pages})

    def amounts(self) -> Amounts:
        """The same as numbers."""
        pages = ((size, getattr(self, f"hugepages_{size}")) for size in HUGE_PAGES)
        there = tuple((size, quantity.whole(text)) for size, text in pages if text)
        return Amounts(quantity.millis(self.cpu), quantity.whole(self.memory), there)


class Images(Model):
    """Images on the node, in Moorage's own namespace of the runtime."""

    count: int = Field(default=0, description="Number of images.")
    bytes: int = Field(default=0, description="Their size in bytes, as stored.")


class Disk(Model):
    """The file system that images and containers live on."""

    capacity_bytes: int = Field(default=0, description="Size in bytes.")
    percent_used: int = Field(default=0, description="Percent in use, in steps of 5, so that it changes rarely.")


class NodeStatus(Model):
    """Observed state of a node. Output only; the heartbeat is a Lease, so this is written only when it changes."""

    observed_generation: int = Field(default=-1, description="The generation that this status is about; -1 before the first.")
    runtime: RuntimeVersion = Field(default_factory=RuntimeVersion, description="The runtime behind the agent.")
    snapshotters: tuple[str, ...] = Field(default=(), description="Snapshotters it has.", json_schema_extra=LIST_SET)
    runtime_handlers: tuple[str, ...] = Field(default=(), description="Runtime handlers it has.", json_schema_extra=LIST_SET)
    platform: Platform = Field(default_factory=Platform, description="What the node is.")
    addresses: tuple[NodeAddress, ...] = Field(default=(), description="Its addresses.", json_schema_extra=LIST_ATOMIC)
    capacity: Capacity = Field(default_factory=Capacity, description="What it has.")
    allocatable: Capacity | None = Field(
        default=None, description="What of it is for instances: requests beyond it are not placed there."
    )
    images: Images = Field(default_factory=Images, description="Images on it.")
    disk: Disk = Field(default_factory=Disk, description="Its image file system.")
    agent_version: str = Field(default="", description="Version of its agent.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready, RuntimeReachable, DiskPressure, NetworkReady; SchemaStale while it is.",
        json_schema_extra=list_map("type"),
    )


class RuntimeNode(Model):
    """A node that runs a Moorage agent."""

    model_config = ConfigDict(json_schema_extra=rules(NAME_IS_A_LABEL_VALUE))
    KIND: ClassVar[str] = "RuntimeNode"
    PLURAL: ClassVar[str] = "runtimenodes"
    SINGULAR: ClassVar[str] = "runtimenode"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("rn",)
    NAMESPACED: ClassVar[bool] = False
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("READY", f"{STATUS_OF_READY}.status", description="Whether its agent runs and its runtime answers."),
        Column("STATUS", f"{STATUS_OF_READY}.reason", description="Why it is ready or not."),
        Column("CORDONED", ".spec.unschedulable", "boolean", description="Whether new instances are kept away."),
        Column("RUNTIME", ".status.runtime.name", description="The container runtime."),
        Column("VERSION", ".status.runtime.version", description="Its version."),
        Column("IP", ".status.addresses[0].address", wide=True, description="Its first address."),
        Column("ARCH", ".status.platform.architecture", wide=True, description="Its architecture."),
        Column("KERNEL", ".status.platform.kernelVersion", wide=True, description="Its kernel."),
        Column("OS-IMAGE", ".status.platform.osImage", wide=True, description="Its distribution."),
        Column("CPU", ".status.capacity.cpu", wide=True, description="Its cores."),
        Column("MEMORY", ".status.capacity.memory", wide=True, description="Its memory."),
        Column("IMAGES", ".status.images.count", "integer", wide=True, description="Images on it."),
        Column("DISK%", ".status.disk.percentUsed", "integer", wide=True, description="Use of the image file system."),
        Column(
            "DISK-PRESSURE",
            f'.status.conditions[?(@.type=="{DISK_PRESSURE}")].status',
            wide=True,
            description="Whether it has too little disk for new instances.",
        ),
        Column("AGENT", ".status.agentVersion", wide=True, description="Version of its agent."),
        AGE,
    )

    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: NodeSpec = Field(default_factory=NodeSpec, description="Desired state.")
    status: NodeStatus = Field(default_factory=NodeStatus, description="Observed state, written by the node's agent.")
