"""A node of the lab with a kubelet: pods run on it, and the machine has nothing of it, neither meanwhile nor after."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import eventually
from tools.images import all_images
from tools.images.store import write_archive
from tools.lab import ControlPlane, Kubelet, Node, ToolError, procfs, sweep
from tools.lab.leftovers import NETNS
from tools.lab.node import TUNED
from tools.lab.process import ROOT

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "mounter"},
    "spec": {
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": "run", "hostPath": {"path": "/run/shared", "type": "DirectoryOrCreate"}}],
        "containers": [
            {
                "name": "main",
                "image": "busybox:1",
                "imagePullPolicy": "Never",
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "run", "mountPath": "/run/shared", "mountPropagation": "Bidirectional"}],
            }
        ],
    },
}


def links(node: Node) -> set[str]:
    """The network devices of this machine but those of other nodes (mrg...) and of bridged networks (veth, bwp) of tests.

    Those may come and go at any time. A bridge of pods that was made here rather than on its node is among what is told.
    """
    shown = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True)
    names = {link["ifname"] for link in json.loads(shown.stdout)}
    return {name for name in names if name == node.cable or not name.startswith(("mrg", "veth", "bwp"))}


def tuned() -> dict[str, str]:
    """The kernel settings that a kubelet changes."""
    return {key: Path("/proc/sys", key).read_text() for key in TUNED}


def up(state: Path) -> tuple[Node, ControlPlane, Kubelet]:
    """Start a node, a control plane and a kubelet, and run a pod that mounts something for its node."""
    node = Node(state / "node")
    node.start()
    plane = ControlPlane(state / "plane", address=node.gateway, pods=True)
    plane.start()
    kubelet = Kubelet(state / "kubelet", node, plane)
    kubelet.start()
    write_archive(state / "images.tar", [image for image in all_images() if image.tag == "1"])
    kubelet.containerd.ctr("images", "import", str(state / "images.tar"), namespace="k8s.io")
    reach = f"nc -w 5 {node.gateway} {plane.port('apiserver')} < /dev/null && echo reached"
    script = f"mkdir /run/shared/m; mount -t tmpfs tmpfs /run/shared/m; {reach}; exec sleep 1000"
    POD["spec"]["containers"][0]["command"] = ["sh", "-c", script]  # type: ignore[index]
    plane.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=20s")
    plane.kubectl("apply", "--filename", "-", stdin=json.dumps(POD))
    plane.kubectl("wait", "--for=condition=Ready", "pod/mounter", "--timeout=60s")
    return node, plane, kubelet


@pytest.mark.timeout(180)
def test_a_killed_owner_leaves_nothing_of_a_node_with_pods(tmp_path: Path) -> None:
    """A scheduled pod reaches the API server over the bridge, and its mount is seen on the node but not by this machine.

    Meanwhile the machine keeps its settings. After SIGKILL of whoever held it open, processes, cgroups, devices, namespaces go.
    """
    node = Node(tmp_path / "node")
    before, settings = links(node), tuned()
    script = (
        "import sys, signal; from pathlib import Path; from tests.tools.test_lab_node import up\n"
        "from tools.lab import guardian\n"
        "state = Path(sys.argv[1])\n"
        "[guardian.watch(state / name) for name in ('node', 'plane', 'kubelet')]\n"
        "up(state); print('up', flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        try:
            assert owner.stdout.readline() == "up\n"
            assert "reached" in eventually(lambda: logs(node), lambda said: "reached" in said)
            assert " /run/shared/m " in node.run("cat", "/proc/self/mountinfo").stdout
            assert not [mount for mount in procfs.mounts() if str(mount.point).endswith("/run/shared/m")]
            assert tuned() == settings
            assert links(node) - before == {node.cable}
            groups = sweep(tmp_path / "node").cgroups
            assert any("kubepods" in str(group) for group in groups)
        finally:
            owner.send_signal(signal.SIGKILL)
    states = [tmp_path / name for name in ("node", "plane", "kubelet")]
    assert eventually(lambda: not any(sweep(state) or state.exists() for state in states), bool, 30)
    assert not any(group.exists() for group in groups)
    assert not (NETNS / node.network).exists()
    assert eventually(lambda: links(node), lambda found: found <= before) <= before


def logs(node: Node) -> str:
    """What the pods of a node have written."""
    return "".join(file.read_text() for file in node.path("/var/log/pods").glob("*/*/*.log"))


def test_a_node_refuses_a_state_that_it_would_not_see() -> None:
    """A state folder below one of the folders which a node has of its own is refused before anything is made."""
    state = Path("/run/moorage-lab-refused/node")
    with pytest.raises(ToolError, match="would not be seen"):
        Node(state)
    assert not state.parent.exists()
