"""`RuntimeClass`: the cluster's own kind (node.k8s.io/v1), as far as it is read here."""

from typing import Final

from pydantic import Field

from controller.api.base import Model
from controller.api.meta import ObjectMeta
from controller.api.quantity import Quantity
from controller.api.workload import Toleration

LONGEST_NAME: Final = 253


class Overhead(Model):
    """What running by this class costs beside the containers (node.k8s.io/v1 `Overhead`)."""

    pod_fixed: dict[str, Quantity] = Field(default_factory=dict, description="Amounts by resource.")


class Scheduling(Model):
    """Which nodes have the class (node.k8s.io/v1 `Scheduling`)."""

    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that they carry.")
    tolerations: tuple[Toleration, ...] = Field(default=(), description="Taints that are tolerated.")


class RuntimeClass(Model):
    """A name for a way to run containers (node.k8s.io/v1 `RuntimeClass`)."""

    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    handler: str = Field(description="What the nodes' agents know it by; immutable.")
    overhead: Overhead = Field(default_factory=Overhead)
    scheduling: Scheduling = Field(default_factory=Scheduling)
