"""What the cases of the topic share: instances in short, and how they look from inside."""

import subprocess
from collections.abc import Callable
from typing import Any

from tests.harness import NAMESPACE, Object, Objects, Site, ready

SERVER = "trap 'exit 0' TERM; echo {} > /tmp/index.html; httpd -p {} -h /tmp; while true; do sleep 1; done"


def instance(site: Site, name: str, script: str = "exec sleep 1000000", /, **spec: Any) -> Object:
    """A ContainerInstance of one container that runs a script; without more, on a network of its own that is attached."""
    ports = spec.pop("ports", [])
    notes = spec.pop("annotations", {})
    container = {"name": "main", "image": f"{site.registry.host}/busybox:1", "command": ["sh", "-c", script], "ports": ports}
    wanted = {"containers": [container], "terminationGracePeriodSeconds": 1, "backoff": {"maxSeconds": 1}}
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerInstance",
        "metadata": {"name": name, "namespace": "default", "annotations": notes},
        "spec": {"nodeName": site.node, **wanted, **spec},
    }


def all_ready(*names: str) -> Callable[[Objects], bool]:
    """These instances are ready."""
    return lambda found: all(name in found and ready(found[name]) for name in names)


def pid(site: Site, found: Object, container: str = "main") -> int:
    """The process of an instance's container."""
    status = next(c for c in found["status"]["containers"] if c["name"] == container)
    return site.containers()[status["containerID"].partition("://")[2]]


def inside(site: Site, found: Object, *command: str) -> str:
    """What a command says in an instance's container."""
    status = found["status"]["containers"][0]
    words = ["tasks", "exec", "--exec-id", f"x{abs(hash(command))}", status["containerID"].partition("://")[2], *command]
    return site.containerd.ctr(*words, namespace=NAMESPACE).stdout


def fetched(*command: str) -> str:
    """What a server answers to the node itself; nothing when it cannot be reached."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()


def remove(site: Site, *names: str) -> None:
    """Delete instances, and wait until nothing of them is left."""
    site.plane.kubectl("delete", "ci", *names, "--wait=false")
    site.instances(lambda found: not set(names) & found.keys())
