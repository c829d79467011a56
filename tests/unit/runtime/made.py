"""From an instance spec as it is written to the OCI spec of a container: all that the agent decides, in one step."""

from collections.abc import Mapping
from typing import Any

from controller.agent.decide.actions import CreateContainer
from controller.agent.decide.hashing import spec_hash
from controller.agent.decide.observation import NodeFacts
from controller.agent.decide.resolve import container_config
from controller.api.instance import ContainerInstance
from controller.runtime.oci import Host, container_user, runtime_spec
from controller.runtime.port import ContainerConfig, ImageConfig, ImageState

NODE = NodeFacts(name="node1", boot_id="boot", cgroup_parent="/moorage/node1", address="192.0.2.7", host_name="host1")

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\napp:x:1001:50:app:/home/app:/bin/sh\n"
GROUP = "root:x:0:\nstaff:x:50:\nextra:x:2001:app\nnogroup:x:65534:\n"
"""Of the image."""


def instance(spec: Mapping[str, Any]) -> ContainerInstance:
    """The instance `web` with a spec as in YAML."""
    about = {"name": "web", "namespace": "default", "uid": "6f1c1f0e-0000-4000-8000-000000000001", "generation": 1}
    return ContainerInstance.model_validate({"metadata": about, "spec": {"nodeName": "node1", **spec}})


def config(spec: Mapping[str, Any], image: ImageConfig) -> ContainerConfig:
    """What the runtime is told of its first container."""
    found = instance(spec)
    container = found.spec.containers[0]
    action = CreateContainer(container, spec_hash(container, found.spec), 0, 0)
    return container_config(found, action, ImageState("example.com/app:1", "sha256:" + "a" * 64, 1, image), NODE)


def made(spec: Mapping[str, Any], image: ImageConfig, host: Host) -> dict[str, Any]:
    """The OCI spec of its first container."""
    told = config(spec, image)
    return runtime_spec(told, container_user(told, PASSWD, GROUP), host)
