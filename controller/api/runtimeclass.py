"""`RuntimeClass`: the cluster's own kind (node.k8s.io/v1), as far as it is read here."""

from pydantic import Field

from controller.api.amounts import Amounts, listed
from controller.api.base import Model
from controller.api.meta import ObjectMeta
from controller.api.resources import ResourceList


class ClassToleration(Model):
    """Lets instances of the class onto nodes with a matching taint (core/v1 `Toleration`).

    Unlike a workload's own, the API server has taken it by a schema that is not ours: an operator or effect that is not known
    here (a newer Kubernetes') tolerates nothing, and keeps nobody from reading the class.
    """

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class Overhead(Model):
    """What running by this class costs beside the containers (node.k8s.io/v1 `Overhead`)."""

    pod_fixed: ResourceList = Field(default_factory=ResourceList, description="Amounts.")


class Scheduling(Model):
    """Which nodes have the class (node.k8s.io/v1 `Scheduling`)."""

    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that they carry.")
    tolerations: tuple[ClassToleration, ...] = Field(default=(), description="Taints that are tolerated.")


class RuntimeClass(Model):
    """A name for a way to run containers (node.k8s.io/v1 `RuntimeClass`)."""

    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    handler: str = Field(description="What the nodes' agents know it by; immutable.")
    overhead: Overhead = Field(default_factory=Overhead)
    scheduling: Scheduling = Field(default_factory=Scheduling)

    def costs(self) -> Amounts:
        """What an instance takes of its node beside what its containers ask for."""
        return listed(self.overhead.pod_fixed)
