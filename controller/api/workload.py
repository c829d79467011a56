"""`ContainerWorkload`: what the user asks for."""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from controller.api.base import (
    AGE,
    GROUP,
    LIST_ATOMIC,
    STATUS_OF_READY,
    Column,
    Model,
    count_or_percentage,
    list_map,
    rule,
    rules,
)
from controller.api.conditions import Condition
from controller.api.meta import LABEL_KEY, LABEL_VALUE, NAME_IS_A_LABEL_VALUE, ObjectMeta
from controller.api.spec import INSTANCE_SPEC_RULES, InstanceSpec

LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=LABEL_VALUE)]

VALID_KEYS = (
    rule(
        f"self.all(k, k.size() <= 317 && k.matches(r'{LABEL_KEY}'))",
        "keys are [prefix/]name, such as app or example.com/app: the name at most 63 letters, digits, '-', '_', '.', "
        "the prefix a DNS subdomain",
    ),
)
"""Keys of labels and annotations have the form that the API server wants on the instances."""

OWN_KEYS = rules(
    rule(
        f"self.all(k, !k.startsWith('{GROUP}/'))",
        f"keys that begin with {GROUP}/ are written by Moorage itself: choose another prefix",
    ),
    *VALID_KEYS,
)


class Toleration(Model):
    """Lets instances onto nodes with a matching taint (core/v1 `Toleration`)."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.operator == 'Exists' || (has(self.key) && self.key != '')",
                "a toleration without key matches every taint, which needs operator: Exists",
                path=".operator",
            ),
            rule(
                "self.operator == 'Equal' || !has(self.value) || self.value == ''",
                "operator Exists compares no value: remove value, or use operator: Equal",
                path=".value",
            ),
        )
    )

    key: str = Field(
        default="", max_length=317, description="Key of the taint; empty (or absent) with operator Exists matches every key."
    )
    operator: Literal["Equal", "Exists"] = Field(default="Equal", description="Equal compares the value, Exists does not.")
    value: str = Field(default="", max_length=63, description="Value of the taint, for operator Equal.")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        default="", description="Effect of the taint; empty matches every effect."
    )


class Placement(Model):
    """Where instances may run."""

    node_name: str = Field(default="", max_length=63, description="Only this node.")
    node_selector: dict[str, LabelValue] = Field(
        default_factory=dict,
        max_length=64,
        description="Only nodes that carry all of these labels.",
        json_schema_extra=rules(*VALID_KEYS),
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), max_length=64, description="Taints that are tolerated.", json_schema_extra=LIST_ATOMIC
    )


class UpdateStrategy(Model):
    """How a changed template reaches the instances. Updates are made in place, within the same instance."""

    type: Literal["RollingUpdate", "Recreate", "OnDelete"] = Field(
        default="RollingUpdate",
        description="RollingUpdate: at most maxUnavailable at a time. Recreate: all at once. "
        "OnDelete: when the user deletes an instance.",
    )
    max_unavailable: int | str = Field(
        default=1,
        description="Instances that may be unavailable during an update: a number, or a percentage of the wanted ones "
        "(rounded down, at least 1).",
        json_schema_extra=count_or_percentage("maxUnavailable"),
    )
    min_ready_seconds: int = Field(
        default=0, ge=0, le=86400, description="Seconds of readiness before an instance counts as available."
    )
    progress_deadline_seconds: int = Field(
        default=600,
        ge=1,
        le=604800,
        description="Seconds without progress after which the workload is reported as stalled.",
    )


class NodeLost(Model):
    """What happens to the instances of a node whose heartbeat stopped."""

    policy: Literal["Replace", "Wait"] = Field(default="Replace", description="Replace them elsewhere, or wait for the node.")
    after_seconds: int = Field(default=300, ge=1, le=604800, description="Seconds without a heartbeat before Replace acts.")


class TemplateMeta(Model):
    """Metadata that instances get."""

    labels: dict[str, LabelValue] = Field(
        default_factory=dict, max_length=64, description="Labels of the instances.", json_schema_extra=OWN_KEYS
    )
    annotations: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Annotations of the instances.", json_schema_extra=OWN_KEYS
    )


class InstanceTemplate(Model):
    """What each instance looks like."""

    metadata: TemplateMeta = Field(default_factory=TemplateMeta, description="Labels and annotations of the instances.")
    spec: InstanceSpec = Field(description="What each instance runs.", json_schema_extra=rules(*INSTANCE_SPEC_RULES))


class WorkloadSpec(Model):
    """Desired state of a workload."""

    mode: Literal["Replicated", "Global"] = Field(
        default="Replicated",
        description="Replicated: `replicas` copies, spread over nodes. Global: one on every matching node.",
        json_schema_extra=rules(
            rule("self == oldSelf", "mode is immutable: delete the workload and create it with the other mode")
        ),
    )
    replicas: int = Field(default=1, ge=0, le=10000, description="Number of copies; only with mode Replicated.")
    placement: Placement = Field(default_factory=Placement, description="Where instances may run.")
    suspend: bool = Field(default=False, description="true: stop the containers, keep the objects.")
    update: UpdateStrategy = Field(default_factory=UpdateStrategy, description="How a changed template reaches the instances.")
    node_lost: NodeLost = Field(default_factory=NodeLost, description="What to do when a node's heartbeat stops.")
    template: InstanceTemplate = Field(description="What each instance looks like.")


class WorkloadStatus(Model):
    """Observed state of a workload. Output only."""

    observed_generation: int = Field(default=-1, description="The generation that this status is about; -1 before the first.")
    replicas: int = Field(default=0, description="Instances that exist and are not being deleted.")
    desired_replicas: int = Field(default=0, description="Instances wanted now.")
    updated_replicas: int = Field(default=0, description="Instances with the current template.")
    ready_replicas: int = Field(default=0, description="Instances that are ready and not suspended.")
    available_replicas: int = Field(default=0, description="Instances ready for minReadySeconds.")
    ready: str = Field(default="", description="Ready of wanted, for people: 2/3.")
    restarts: int = Field(default=0, description="Restarts over all instances.")
    nodes: str = Field(default="", description="Nodes of the instances, for people: node1,node2,+3 more.")
    selector: str = Field(default="", description="Label selector of the instances, for the scale subresource.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Ready, Reconciling, Stalled; Complete or Failed at its end; SchemaStale.",
        json_schema_extra=list_map("type"),
    )


class ContainerWorkload(Model):
    """A declared workload: template, how many, where."""

    model_config = ConfigDict(json_schema_extra=rules(NAME_IS_A_LABEL_VALUE))
    KIND: ClassVar[str] = "ContainerWorkload"
    PLURAL: ClassVar[str] = "containerworkloads"
    SINGULAR: ClassVar[str] = "containerworkload"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("cw",)
    NAMESPACED: ClassVar[bool] = True
    SCALE: ClassVar[dict[str, str]] = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("READY", ".status.ready", description="Ready of wanted instances."),
        Column("STATUS", f"{STATUS_OF_READY}.reason", description="What it does, or why it does not."),
        Column("RESTARTS", ".status.restarts", "integer", description="Restarts over all instances."),
        Column("IMAGE", ".spec.template.spec.containers[0].image", description="Image of the first container."),
        Column("NODE", ".status.nodes", description="Nodes of its instances."),
        AGE,
        Column("MODE", ".spec.mode", wide=True, description="Replicated or Global."),
        Column("UPDATED", ".status.updatedReplicas", "integer", wide=True, description="With the current template."),
        Column("MESSAGE", f"{STATUS_OF_READY}.message", wide=True, description="What a person should know."),
    )

    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: WorkloadSpec = Field(
        description="Desired state.",
        json_schema_extra=rules(
            rule(
                "self.mode == 'Replicated' || self.replicas == 1",
                "replicas is for mode Replicated; a Global workload runs one instance on every matching node",
                path=".replicas",
            ),
        ),
    )
    status: WorkloadStatus = Field(default_factory=WorkloadStatus, description="Observed state, written by the manager.")
