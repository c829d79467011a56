"""The components: one node with a kubelet and an agent of Moorage on the same containerd, and a control plane for both."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.build import BIN
from tools.diffkubelet import specs, texts
from tools.images import all_images
from tools.images.store import write_archive
from tools.lab import ControlPlane, Kubelet, Node, Process, ToolError, claim
from tools.lab.caller import Answer, Caller
from tools.lab.leftovers import NETNS
from tools.lab.process import ROOT
from tools.lab.rights import TOKENS_ALLOWED, agent_user, install_rights
from tools.progress import step

MOORAGE = Path(sys.executable).with_name("moorage")
NODE = "node1"
"""The name of the node, for both."""
READY_SECONDS = 60.0

DNS = "10.96.0.10"
DOMAIN = "cluster.test"
SETTINGS = {"clusterDNS": [DNS], "clusterDomain": DOMAIN}
"""The kubelet's, beside those that a node of the lab needs: all else is its default."""

PORTS = {"type": "portmap", "capabilities": {"portMappings": True}}
"""The CNI plugin for ports of the node, behind the bridge."""

HANDLER = "second"
"""A second handler of the node, for a RuntimeClass: the same runc, by its path."""

HANDLER_OF_CRI = f"""
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{HANDLER}]
  runtime_type = 'io.containerd.runc.v2'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{HANDLER}.options]
    BinaryName = '{BIN / "runc"}'
"""

RUNTIMES = {"k8s.io": "the kubelet's", "moorage": "Moorage's"}
"""The namespaces of containerd."""


@dataclass(frozen=True)
class Room:
    """Everything that takes part, started."""

    plane: ControlPlane
    node: Node
    kubelet: Kubelet
    agent: Process
    api: Caller

    @property
    def network(self) -> Path:
        """The node's network namespace."""
        return NETNS / self.node.network

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """One request as the admin, fields that are not known being refused."""
        query = "?fieldValidation=Strict&fieldManager=diff" if method in {"POST", "PUT"} else ""
        return self.api(method, path + query, body)

    def pids(self, namespace: str) -> dict[str, int]:
        """Pid by id of every container that runs in a namespace of containerd."""
        listed = self.kubelet.containerd.ctr("tasks", "ls", namespace=namespace).stdout
        rows = (line.split() for line in listed.splitlines()[1:])
        return {row[0]: int(row[1]) for row in rows if row[2] == "RUNNING"}

    def filters(self, namespace: str, ids: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """The filter of system calls that each container was made with, by the same names as its id; empty without one."""
        found = {}
        for name, key in ids.items():
            about = json.loads(self.kubelet.containerd.ctr("containers", "info", key, namespace=namespace).stdout)
            seccomp = about["Spec"]["linux"].get("seccomp")
            found[name] = texts.call_filter(seccomp) if seccomp else {}
        return found

    def check(self) -> None:
        """Raise `ToolError` when the kubelet or the agent has ended."""
        for process in (self.kubelet.process, self.agent):
            if not process.running:
                raise ToolError(f"the {process.name} has ended; {process.log} ends with:\n{process.tail()}")


@contextmanager
def room(state: Path) -> Iterator[Room]:
    """Start everything, and remove every trace of it at the end, but for logs in `state`."""
    with (
        Node(state / "node", name=NODE) as node,
        ControlPlane(state / "plane", address=node.gateway, pods=True, crds=[ROOT / "crds"]) as plane,
        Kubelet(state / "kubelet", node, plane, settings=SETTINGS, plugins=[PORTS], extra=HANDLER_OF_CRI) as kubelet,
    ):
        claim(node.state, "cgroup", f"/moorage/{NODE}")
        images = state / "images.tar"
        write_archive(images, [image for image in all_images() if image.tag == "1"])
        for namespace in RUNTIMES:
            kubelet.containerd.ctr("images", "import", str(images), namespace=namespace, timeout=60)
        install_rights(plane, "agent.serviceAccountTokens.enabled=true")
        plane.kubectl("label", "namespace", specs.NAMESPACE, f"{TOKENS_ALLOWED}=allowed")
        plane.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
        admin = Caller(plane.url, plane.ca, {"token": plane.token})
        found = Room(plane, node, kubelet, _agent(node, plane, kubelet), admin)
        found.agent.start()
        try:
            found.agent.wait_ready(lambda: _ready(plane), READY_SECONDS)
            yield found
        finally:
            found.agent.stop()


def _agent(node: Node, plane: ControlPlane, kubelet: Kubelet) -> Process:
    """The agent, at the paths that it has by default: the node has folders of its own there."""
    options: list[str | Path] = [
        *("--kubeconfig", plane.kubeconfig_of("agent", agent_user(plane, NODE))),
        *("--containerd", kubelet.containerd.address, "--node-name", NODE),
        *("--cni-conf-dir", "/var/lib/cni/net.d", "--cni-bin-dir", BIN),
        *("--cluster-dns", DNS, "--cluster-domain", DOMAIN),
        f"--runtime-handler={HANDLER}=io.containerd.runc.v2,BinaryName={BIN / 'runc'}",
    ]
    return Process("agent", node.inside([MOORAGE, "agent", *options]), node.state)


def _ready(plane: ControlPlane) -> bool:
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    return plane.kubectl("get", f"rn/{NODE}", "--output", f"jsonpath={path}", check=False).stdout.strip() == "True"


def apply_objects(room: Room) -> None:
    """Create what the specs refer to."""
    with step("create what specs refer to"):
        for found in specs.objects():
            collection = f"{found['kind'].lower()}s"
            collection = "runtimeclasses" if collection == "runtimeclasss" else collection
            version = found["apiVersion"]
            scope = "" if collection == "runtimeclasses" else f"/namespaces/{specs.NAMESPACE}"
            answer = room.call("POST", f"/{'apis/' if '/' in version else 'api/'}{version}{scope}/{collection}", found)
            if answer.refused:
                raise ToolError(f"{found['kind']} {found['metadata']['name']}: {answer.message}")
