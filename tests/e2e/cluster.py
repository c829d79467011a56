"""A cluster of one node with a real kubelet, and Helm, as somebody has them who installs Moorage."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.harness import KEPT_OF_INSTANCES, NAMESPACE, Object, Objects, Watcher, running
from tests.waiting import eventually
from tools.build import BIN
from tools.images import all_images
from tools.images.store import write_archive
from tools.lab import ControlPlane, Kubelet, Node, claim, procfs
from tools.lab.command import run, tool

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "moorage"
RELEASE = "moorage-system"
"""The namespace of the release."""


@dataclass(frozen=True)
class Cluster:
    """One node, its control plane, and the images that are on it."""

    node: Node
    plane: ControlPlane
    kubelet: Kubelet
    state: Path

    @property
    def api(self) -> Watcher:
        """Reads and watches the API server."""
        return Watcher(self.plane)

    def helm(self, *arguments: str | Path) -> str:
        """Run Helm as the admin of the cluster; what it prints."""
        folders = {f"HELM_{name}_HOME": str(self.state / "helm" / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        settings = [f"{key}={value}" for key, value in folders.items()]
        options: list[str | Path] = ["--namespace", RELEASE, "--kubeconfig", self.plane.kubeconfig, "--timeout", "80s"]
        return run(["env", *settings, tool("helm"), *arguments, *options], self.state, timeout=100).stdout

    @property
    def values(self) -> list[str]:
        """Options of Helm that a node of the lab needs.

        Without the first, pods would not find the API server: nothing serves its Service address here. The others are where the
        lab has its kubelet's CNI configuration and plugins.
        """
        given = {
            "apiServer.host": self.node.gateway,
            "apiServer.port": self.plane.port("apiserver"),
            "agent.cni.confDir": "/var/lib/cni/net.d",
            "agent.cni.binDir": BIN,
        }
        return [word for key, value in given.items() for word in ("--set", f"{key}={value}")]

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the admin; what it prints."""
        return self.plane.kubectl(*arguments, stdin=stdin).stdout

    def apply(self, *objects: Object) -> None:
        """`kubectl apply` of some objects in one file."""
        self.kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(objects))

    def pods(self, component: str, count: int) -> dict[str, str]:
        """The addresses of the pods of a half by name, once there are just so many."""

        def of(found: Objects) -> Objects:
            label = "app.kubernetes.io/component"
            return {name: pod for name, pod in found.items() if pod["metadata"]["labels"].get(label) == component}

        found = of(self.api.until(f"/api/v1/namespaces/{RELEASE}/pods", lambda found: len(of(found)) == count))
        return {name: pod["status"].get("podIP", "") for name, pod in found.items()}

    def wait_for_halves(self) -> None:
        """Wait until all pods of both halves are ready, and those before them gone."""
        for half in ("daemonset/moorage-agent", "deployment/moorage-manager"):
            self.kubectl("rollout", "status", half, "--namespace", RELEASE, "--timeout=60s")

    def metrics(self, address: str, port: int) -> dict[str, float]:
        """The metrics that a pod serves, by name with labels, read on its node."""
        text = self.node.run("/bin/busybox", "wget", "-q", "-O", "-", f"http://{address}:{port}/metrics").stdout
        lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        return {words[0]: float(words[1]) for words in lines}

    def processes(self, half: str) -> list[int]:
        """The processes of `moorage` that run in pods of this node."""
        found = []
        for pid in procfs.process_ids():
            words = procfs.command(pid)
            if words[2:4] == ["/usr/bin/moorage", half] and all(g.startswith(self.node.cgroup) for g in procfs.cgroups(pid)):
                found.append(pid)
        return found

    def containers(self) -> dict[str, int]:
        """Pid by id of every container of ours that runs."""
        return running(self.kubelet.containerd.ctr)

    def until_only(self, ids: Iterable[str], seconds: float = 30.0) -> None:
        """Wait until nothing of ours runs on the node but these containers: what nobody wants goes at a pass of the cleanup."""
        wanted = set(ids)
        found = eventually(lambda: self.containers().keys(), lambda found: found == wanted, seconds)
        assert found == wanted

    def left_on_node(self) -> list[str]:
        """What there is of our containers on the node, in words; images may stay."""
        left = []
        for what in ("containers", "tasks", "leases"):
            left += self.kubelet.containerd.ctr(what, "ls", namespace=NAMESPACE).stdout.splitlines()[1:]
        kept = [f"/var/lib/moorage/{name}" for name in ("instances", *KEPT_OF_INSTANCES)]
        for folder in ("/var/log/moorage", "/run/moorage/netns", *kept):
            left += [str(path) for path in self.node.path(folder).glob("*")]
        left += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/moorage/{self.node.name}/*/")]
        return left


@contextmanager
def cluster(state: Path, image: Path) -> Iterator[Cluster]:
    """A cluster with Moorage's image on its node, and the test images for its workloads.

    Args:
        state: a folder for all that it keeps.
        image: the archive of Moorage's image.
    """
    with (
        Node(state / "node", name="installed1") as node,
        ControlPlane(state / "plane", address=node.gateway, pods=True) as plane,
        Kubelet(state / "kubelet", node, plane) as kubelet,
    ):
        claim(node.state, "cgroup", f"/moorage/{node.name}")
        images = state / "images.tar"
        write_archive(images, [made for made in all_images() if made.tag == "1"])
        ctr = kubelet.containerd.ctr
        for namespace, archive in (("k8s.io", images), ("k8s.io", image), (NAMESPACE, images)):
            ctr("images", "import", str(archive), namespace=namespace, timeout=60)
        yield Cluster(node, plane, kubelet, state)


def previous_chart(folder: Path, version: str) -> Path:
    """A chart as of an earlier version, whose workloads could not be suspended yet."""
    chart = folder / f"chart-{version}"
    shutil.copytree(CHART, chart)
    about = chart / "Chart.yaml"
    about.write_text(yaml.safe_dump(yaml.safe_load(about.read_text()) | {"version": version, "appVersion": version}))
    kind = chart / "files" / "crds" / "moorage.dev_containerworkloads.yaml"
    definition = yaml.safe_load(kind.read_text())
    del workload_spec(definition)["suspend"]
    kind.write_text(yaml.safe_dump(definition))
    return chart


def workload_spec(definition: Object) -> Object:
    """The fields of a workload's spec, in the definition of its kind."""
    (version,) = definition["spec"]["versions"]
    fields: Object = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return fields
