"""The resources that Moorage reads and writes, named as their URLs name them."""

from dataclasses import dataclass
from typing import Final

from controller.api.base import GROUP, VERSION
from controller.api.image import ContainerImage
from controller.api.instance import ContainerInstance
from controller.api.node import RuntimeNode
from controller.api.nodeimages import NodeImages
from controller.api.workload import ContainerWorkload


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the API server; `group` is empty for core/v1."""

    group: str
    version: str
    plural: str

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path that its group and version are discovered at."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of its URL: a collection without `name`, one object with it."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        return "/".join(filter(None, (f"{self.root}{scope}/{self.plural}", name, subresource)))


WORKLOADS: Final = Resource(GROUP, VERSION, ContainerWorkload.PLURAL)
INSTANCES: Final = Resource(GROUP, VERSION, ContainerInstance.PLURAL)
NODES: Final = Resource(GROUP, VERSION, RuntimeNode.PLURAL)
CONTAINER_IMAGES: Final = Resource(GROUP, VERSION, ContainerImage.PLURAL)
NODE_IMAGES: Final = Resource(GROUP, VERSION, NodeImages.PLURAL)
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")
DEFINITIONS: Final = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")
EVENTS: Final = Resource("", "v1", "events")
NAMESPACES: Final = Resource("", "v1", "namespaces")
RUNTIME_CLASSES: Final = Resource("node.k8s.io", "v1", "runtimeclasses")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps")
SECRETS: Final = Resource("", "v1", "secrets")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts")
PODS: Final = Resource("", "v1", "pods")
DAEMONSETS: Final = Resource("apps", "v1", "daemonsets")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments")
