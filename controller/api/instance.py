"""`ContainerInstance`: one copy on one node, the unit that an agent runs."""

from typing import ClassVar, Literal

from pydantic import Field

from controller.api.base import AGE, LIST_ATOMIC, STATUS_OF_READY, Column, Model, list_map, rule, rules
from controller.api.conditions import Condition
from controller.api.meta import ObjectMeta
from controller.api.pull import PullStatus
from controller.api.resources import AppliedResources, QOSClass
from controller.api.spec import INSTANCE_SPEC_RULES, InstanceSpec

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]


class ContainerStateWaiting(Model):
    """The container does not run yet, or not now (core/v1)."""

    reason: str = Field(default="", description="Why it waits.")
    message: str = Field(default="", description="What a person should know.")


class ContainerStateRunning(Model):
    """The container runs (core/v1)."""

    started_at: str | None = Field(
        default=None, description="When it was started, RFC 3339.", json_schema_extra={"format": "date-time"}
    )


class ContainerStateTerminated(Model):
    """The container ended (core/v1)."""

    exit_code: int = Field(description="Exit code of its process; 137 when it is not known.")
    signal: int | None = Field(default=None, description="Signal that ended it, if one did.")
    reason: str = Field(default="", description="Completed, Error, OOMKilled, StartError, ...")
    message: str = Field(default="", description="What a person should know.")
    started_at: str | None = Field(
        default=None, description="When it was started, RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    finished_at: str | None = Field(
        default=None, description="When it ended, RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    container_id: str = Field(default="", alias="containerID", description="Its id, as `runtime://id`.")


class ContainerState(Model):
    """Exactly one of its members is set (core/v1)."""

    waiting: ContainerStateWaiting | None = Field(default=None, description="Set while it waits.")
    running: ContainerStateRunning | None = Field(default=None, description="Set while it runs.")
    terminated: ContainerStateTerminated | None = Field(default=None, description="Set when it ended.")


class ContainerStatus(Model):
    """One container's state, in the shape of core/v1 `ContainerStatus`."""

    name: str = Field(description="Name of the container.")
    image: str = Field(default="", description="Image that it runs, as written in the spec.")
    image_id: str = Field(default="", alias="imageID", description="Name and digest of the image that it runs.")
    container_id: str = Field(default="", alias="containerID", description="Its id, as `runtime://id`.")
    state: ContainerState = Field(default_factory=ContainerState, description="What it does now.")
    last_state: ContainerState = Field(default_factory=ContainerState, description="How its last run ended.")
    ready: bool = Field(default=False, description="Whether it counts as ready.")
    started: bool = Field(
        default=False,
        description="Whether it runs, its postStart handler has ended and its startup probe has succeeded, if it has them.",
    )
    restart_count: int = Field(default=0, description="Number of restarts.")
    resources: AppliedResources | None = Field(
        default=None, description="What it is promised and held to now, while it runs; absent where that is nothing."
    )


class InstanceStatus(Model):
    """Observed state of an instance. Output only."""

    observed_generation: int = Field(default=-1, description="The generation that this status is about; -1 before the first.")
    phase: Phase = Field(default="Pending", description="Pending, Running, Succeeded, Failed or Unknown, as a pod's.")
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Ready, Reconciling, Stalled.", json_schema_extra=list_map("type")
    )
    containers: tuple[ContainerStatus, ...] = Field(
        default=(), description="One per container of the spec.", json_schema_extra=list_map("name")
    )
    init_containers: tuple[ContainerStatus, ...] = Field(
        default=(), description="One per init container of the spec.", json_schema_extra=list_map("name")
    )
    summary: str = Field(default="", description="What it does, or why it does not, for people: Running, Init:0/2.")
    ready: str = Field(default="", description="Ready of all containers and sidecars, for people: 1/2.")
    restarts: int = Field(default=0, description="Restarts over all containers.")
    ip: str = Field(default="", description="Address of the instance: the node's, on the host network; none without a network.")
    ips: tuple[str, ...] = Field(default=(), description="All its addresses, that one first.", json_schema_extra=LIST_ATOMIC)
    pull: PullStatus | None = Field(
        default=None,
        description="The pull that it waits for, renewed every two seconds at most; absent when there is none.",
    )
    started_at: str | None = Field(
        default=None,
        description="When the agent first acted on it, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )
    qos_class: QOSClass | None = Field(
        default=None, description="Guaranteed, Burstable or BestEffort, by its containers' requests and limits, as a pod's."
    )


class ContainerInstanceSpec(InstanceSpec):
    """An instance spec, bound to a node."""

    node_name: str = Field(
        min_length=1,
        max_length=63,
        description="The node that runs it.",
        json_schema_extra=rules(
            rule("self == oldSelf", "nodeName is immutable: delete the instance and create one for the other node")
        ),
    )
    suspend: bool = Field(default=False, description="true: stop the containers, keep the object.")


class ContainerInstance(Model):
    """One copy of a workload on one node, or written by hand with a nodeName."""

    KIND: ClassVar[str] = "ContainerInstance"
    PLURAL: ClassVar[str] = "containerinstances"
    SINGULAR: ClassVar[str] = "containerinstance"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("ci",)
    NAMESPACED: ClassVar[bool] = True
    SELECTABLE: ClassVar[tuple[str, ...]] = (".spec.nodeName",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("READY", ".status.ready", description="Ready of all containers."),
        Column("STATUS", ".status.summary", description="What it does, or why it does not."),
        Column("RESTARTS", ".status.restarts", "integer", description="Restarts over all containers."),
        Column("IMAGE", ".spec.containers[0].image", description="Image of its first container."),
        Column("NODE", ".spec.nodeName", description="The node that runs it."),
        AGE,
        Column("IP", ".status.ip", wide=True, description="Its address."),
        Column("PHASE", ".status.phase", wide=True, description="Its phase, as a pod's."),
        Column("MESSAGE", f"{STATUS_OF_READY}.message", wide=True, description="What a person should know."),
    )

    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: ContainerInstanceSpec = Field(description="Desired state.", json_schema_extra=rules(*INSTANCE_SPEC_RULES))
    status: InstanceStatus = Field(default_factory=InstanceStatus, description="Observed state, written by the node's agent.")
