"""A kubelet on a node of the lab: pods for those tests that are about pods."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.build import BIN
from tools.lab.command import tool
from tools.lab.component import Component, answers
from tools.lab.containerd import Containerd
from tools.lab.control_plane import ControlPlane
from tools.lab.node import Node
from tools.lab.process import Process

READY_SECONDS = 60.0
PORT = 10250
PODS = "10.244.0.0/24"

NETWORK = {"cniVersion": "1.0.0", "name": "pods"}
BRIDGE = (
    {
        "type": "bridge",
        "bridge": "pods0",
        "isDefaultGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]]},
    },
)
"""A CNI configuration: a bridge on the node, whose pods reach the machine through the node's address."""

CNI = """\
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['{plugins}']
  conf_dir = '/var/lib/cni/net.d'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{pause}'
"""

PAUSE = "docker.io/library/pause:1"
"""The image of `tools.images` that pods' sandboxes are made from."""


class Kubelet(Component):
    """A kubelet with a containerd of its own on a node, known to a control plane as that node and with its rights alone."""

    def __init__(
        self,
        state: Path,
        node: Node,
        plane: ControlPlane,
        *,
        settings: Mapping[str, object] | None = None,
        plugins: Sequence[Mapping[str, object]] = (),
        extra: str = "",
    ) -> None:
        """Prepare both.

        Args:
            state: the folder for what they keep.
            node: where they run; it has to be up.
            plane: where the node is registered; made with `address=node.gateway` and `pods=True`.
            settings: fields of the kubelet's configuration, over those that a node of the lab needs.
            plugins: CNI plugins behind the bridge.
            extra: more configuration of containerd in TOML.
        """
        super().__init__(state)
        self.node = node
        self._plane = plane
        self._settings = dict(settings or {})
        self._network = NETWORK | {"plugins": [*BRIDGE, *plugins]}
        extra = CNI.format(plugins=BIN, pause=PAUSE) + extra
        self.containerd = Containerd(self.state / "containerd", cri=True, extra=extra, node=node)
        self._config_file = self.state / "kubelet.json"
        self.process = Process("kubelet", node.inside(self._arguments()), self.state)

    def start(self) -> None:
        """Start containerd and the kubelet, and wait until the node is Ready."""
        if self.process.running:
            return
        self.containerd.start()
        network = self.node.path("/var/lib/cni/net.d")
        network.mkdir(parents=True, exist_ok=True)
        (network / "10-pods.conflist").write_text(json.dumps(self._network))
        user = self._plane.certificate(f"system:node:{self.node.name}", ["system:nodes"])
        self._plane.kubeconfig_of(f"kubelet-{self.node.name}", user)
        self._config_file.write_text(json.dumps(self._configuration(), indent=2))
        self.process.start()
        self.process.wait_ready(lambda: answers(f"https://{self.node.address}:{PORT}/healthz"), READY_SECONDS)
        for state in ("create", "condition=Ready"):
            self._plane.kubectl("wait", f"--for={state}", f"node/{self.node.name}", "--timeout=50s")

    @property
    def processes(self) -> list[Process]:
        """containerd, then the kubelet."""
        return [*self.containerd.processes, self.process]

    def _arguments(self) -> list[str | Path]:
        return [
            tool("kubelet"),
            f"--config={self._config_file}",
            f"--kubeconfig={self._plane.kubeconfig_path(f'kubelet-{self.node.name}')}",
            f"--hostname-override={self.node.name}",
            f"--node-ip={self.node.address}",
        ]

    def _configuration(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{self.containerd.address}",
            "address": self.node.address,
            "port": PORT,
            # Its port is in the node's own network, where only this machine comes to.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.node.cgroup,
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            # A process without CAP_SYS_RESOURCE cannot lower its score.
            "oomScoreAdj": 0,
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "serializeImagePulls": False,
            "nodeStatusUpdateFrequency": "5s",
            "registerNode": True,
            **self._settings,
        }
