"""Moorage by Helm on a cluster with a real kubelet: installed, upgraded, and uninstalled in both ways."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import controller
from tests.e2e.cluster import CHART, RELEASE, Cluster, cluster, previous_chart, workload_spec
from tests.harness import GROUP, Object, Objects, condition, ready
from tests.waiting import eventually
from tools.lab.procfs import ProcessId, cgroups, parent

PREVIOUS = "0.0.9"
FIRST_SECONDS = 60.0
"""Most of what may pass from `helm install` to the first workload that is Ready, on two busy cores."""

INSTANCES = f"{GROUP}/containerinstances"
WORKLOADS = f"{GROUP}/containerworkloads"
VOLUMES = "/var/lib/moorage/volumes"


@dataclass(frozen=True)
class State:
    """What of workloads must not change while nobody asks for it."""

    pids: dict[str, int]
    """By container ID."""
    restarts: dict[str, int]
    """By container ID, as the status tells."""
    ready_since: dict[str, str]
    """By workload."""

    def of(self, workload: str) -> "State":
        """The part of one workload."""
        own = f"{workload}-"
        return State(
            {key: value for key, value in self.pids.items() if key.startswith(own)},
            {key: value for key, value in self.restarts.items() if key.startswith(own)},
            {key: value for key, value in self.ready_since.items() if key == workload},
        )


@pytest.fixture(scope="module")
def installable(tmp_path_factory: pytest.TempPathFactory, product_image: Path) -> Iterator[Cluster]:
    """A cluster without Moorage, but with its image on the node, also under the version before."""
    with cluster(tmp_path_factory.mktemp("install"), product_image) as found:
        name = "docker.io/library/moorage"
        tag = (f"{name}:{controller.__version__}", f"{name}:{PREVIOUS}")
        found.kubelet.containerd.ctr("images", "tag", *tag, namespace="k8s.io")
        yield found


def workload(name: str, **instance: object) -> Object:
    """A ContainerWorkload with one container that sleeps, from an image that is on the node."""
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", "echo made fast; exec sleep 1000000"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1, **instance}
    meta = {"name": name, "namespace": "apps"}
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerWorkload",
        "metadata": meta,
        "spec": {"template": {"spec": spec}},
    }


@pytest.mark.timeout(300)
def test_the_life_of_an_installation(
    installable: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Containers come up outside of any pod, outlive the upgrade and one uninstallation, and go with the other.

    In between: two managers of which one leads, definitions that are upgraded with the chart, and nothing that is stuck.
    """
    site = installable
    levels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "warn", "audit")}
    site.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps", "labels": levels}})

    seconds = seconds_to_first_ready(site, previous_chart(tmp_path, PREVIOUS))
    record_property("seconds_from_helm_install_to_first_ready", round(seconds, 1))
    assert seconds < FIRST_SECONDS
    before = state_of(site, "host", "alone")
    for pid in before.pids.values():
        assert_outside_of_pods(site, pid)
    assert_confined(site)
    assert_one_leads(site)

    assert not knows_suspend(site)
    site.helm("upgrade", "moorage", CHART, "--wait", *site.values)
    site.wait_for_halves()
    assert knows_suspend(site)
    assert state_of(site, "host", "alone") == before
    assert_one_leads(site)
    assert_commands_answer(site)
    assert_attaches(site)
    assert_mounts(site)
    site.kubelet.containerd.kill()
    site.kubelet.containerd.start()
    assert state_of(site, "host", "alone") == before
    before = assert_restarts_in_its_network(site, before)
    assert_found_nothing_left(site)

    site.helm("uninstall", "moorage", "--wait")
    assert_gone_but_running(site, before)
    site.kubectl("delete", "containerworkload/alone", "--namespace", "apps", "--timeout=20s")
    site.api.until(INSTANCES, lambda found: len(found) == 1, 20)

    site.helm("install", "moorage", CHART, "--create-namespace", "--wait", *site.values, "--set", "uninstall.containers=Stop")
    site.wait_for_halves()
    site.until_only(before.of("host").pids)  # the other's workload was deleted while no agent was there
    assert state_of(site, "host") == before.of("host")

    site.helm("uninstall", "moorage", "--wait")
    assert_nothing_left(site, before)


def seconds_to_first_ready(site: Cluster, chart: Path) -> float:
    """Install, apply two workloads and wait for the first: the seconds from the start of `helm install` until it is Ready."""
    begun = time.monotonic()
    site.helm("install", "moorage", chart, "--create-namespace", "--wait", *site.values)
    site.apply(workload("host", hostNetwork=True), workload("alone", network="None"))
    site.api.until(WORKLOADS, lambda found: any(map(ready, found.values())), FIRST_SECONDS)
    seconds = time.monotonic() - begun
    print(f"helm install to the first workload Ready: {seconds:.1f} s")
    return seconds


def assert_attaches(site: Cluster) -> None:
    """An agent in a pod attaches instances by the node's own plugins, on the network that pods are on; and detaches them."""
    leases = site.node.path("/var/lib/cni/networks/pods")
    before = {path.name for path in leases.iterdir()}
    site.apply(workload("attached"))
    site.api.until(WORKLOADS, lambda found: ready(found["attached"]))
    (address,) = (o["status"]["ip"] for name, o in site.api.objects(INSTANCES).items() if name.startswith("attached-"))
    assert address.startswith("10.244.0.")
    assert address in {path.name for path in leases.iterdir()}
    site.kubectl("delete", "containerworkload/attached", "--namespace", "apps", "--timeout=20s")
    site.api.until(INSTANCES, lambda found: not any(name.startswith("attached-") for name in found), 20)
    assert {path.name for path in leases.iterdir()} - {"last_reserved_ip.0"} <= before


def assert_mounts(site: Cluster) -> None:
    """An agent in a pod makes volumes among the node's files, where the OCI runtime finds them; and removes all of it."""
    volumes = [
        {"name": "node", "hostPath": {"path": "/var/lib/moorage-e2e", "type": "DirectoryOrCreate"}},
        {"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "art", "image": {"reference": "busybox:1"}},
    ]
    mounts = [
        {"name": "node", "mountPath": "/node"},
        {"name": "fast", "mountPath": "/fast"},
        {"name": "fast", "mountPath": "/part", "subPath": "a/b"},
        {"name": "art", "mountPath": "/art", "subPath": "bin"},
    ]
    script = (
        "set -e; hostname > /node/name; [ $(stat -f -c %T /fast) = tmpfs ]; echo x > /part/f; [ $(cat /fast/a/b/f) = x ]; "
        "[ -e /art/busybox ]; exec sleep 1000000"
    )
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script], "volumeMounts": mounts}
    kept = site.node.path(VOLUMES)
    before = set(kept.iterdir()), mounted_below(site, VOLUMES)
    site.apply(workload("stores", network="None", volumes=volumes, containers=[container]))
    site.api.until(WORKLOADS, lambda found: ready(found["stores"]))
    written = site.node.path("/var/lib/moorage-e2e") / "name"
    name = eventually(lambda: written.read_text() if written.is_file() else "", bool)  # it is ready before it has written
    assert name.startswith("stores-")
    assert len(list(kept.glob("*/*~*.made"))) == 1
    site.kubectl("delete", "containerworkload/stores", "--namespace", "apps", "--timeout=20s")
    site.api.until(INSTANCES, lambda found: not any(name.startswith("stores-") for name in found), 20)
    assert (set(kept.iterdir()), mounted_below(site, VOLUMES)) == before


def mounted_below(site: Cluster, folder: str) -> list[str]:
    """Where something is mounted on the node below a folder."""
    places = (line.split()[4] for line in site.node.run("cat", "/proc/self/mountinfo").stdout.splitlines())
    return sorted(place for place in places if place.startswith(f"{folder}/"))


def assert_outside_of_pods(site: Cluster, pid: int) -> None:
    """A container is the runtime's: in a cgroup of its own, below a shim that is no process of a pod."""
    assert all(group.startswith(f"/moorage/{site.node.name}/") for group in cgroups(pid))
    assert not any("kubepods" in group for group in cgroups(parent(pid)))


def assert_confined(site: Cluster) -> None:
    """The kernel has the managers as an ordinary user without any capability, who cannot gain one and cannot write to `/`."""
    managers = site.processes("manager")
    assert len(managers) == 2
    for pid in managers:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert set(status["Uid"].split()) == {"65532"}
        assert {int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        root = next(line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if line.split()[4] == "/")
        assert "ro" in root[5].split(",")


def assert_one_leads(site: Cluster) -> None:
    """Of two managers one leads, by the Lease and by what both say of themselves."""
    managers = site.pods("manager", 2)
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{RELEASE}/leases"
    lease = site.api.until(leases, lambda found: holder(found) in managers, 20)
    # a manager says so a moment after it has the Lease
    leading = eventually(lambda: saying_so(site, managers), lambda leading: leading == [holder(lease)], 5)
    assert leading == [holder(lease)]


def saying_so(site: Cluster, managers: dict[str, str]) -> list[str]:
    """The managers whose metrics say that they lead."""
    return [name for name, address in managers.items() if site.metrics(address, 9440)["moorage_manager_leader"] == 1]


def holder(leases: Objects) -> str:
    """The pod that holds the managers' Lease: its identity is the host name and the process number."""
    identity = str(leases.get("moorage-manager", {}).get("spec", {}).get("holderIdentity") or "")
    return identity.rpartition("-")[0]


def knows_suspend(site: Cluster) -> bool:
    """Whether the definition in the cluster has a field that the one of the previous chart had not."""
    found = site.api.objects("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    return "suspend" in workload_spec(found["containerworkloads.moorage.dev"])


def state_of(site: Cluster, *names: str) -> State:
    """The state of these workloads, which are all that there are, once they are Ready and nothing else runs."""
    found = site.api.until(WORKLOADS, lambda found: found.keys() == set(names) and all(map(ready, found.values())))
    statuses = [status for obj in site.api.objects(INSTANCES).values() for status in obj["status"]["containers"]]
    return State(
        site.containers(),
        {status["containerID"].removeprefix("containerd://"): status["restartCount"] for status in statuses},
        {name: condition(obj, "Ready")["lastTransitionTime"] for name, obj in found.items()},
    )


def assert_commands_answer(site: Cluster) -> None:
    """The commands for people work in the agent's pod: its folders and pipes are the node's, under the same paths."""
    in_agent = ("exec", "--namespace", RELEASE, "daemonset/moorage-agent", "--", "moorage")
    name = next(name for name in site.api.objects(INSTANCES) if name.startswith("alone-"))
    assert name in site.kubectl(*in_agent, "ps")
    assert site.kubectl(*in_agent, "logs", name) == "made fast\n"
    assert site.kubectl(*in_agent, "exec", name, "--", "echo", "ahoy") == "ahoy\n"


def assert_restarts_in_its_network(site: Cluster, before: State) -> State:
    """An agent takes over the network that the agent before it made: a container that crashes comes back in it."""
    (pid,) = before.of("alone").pids.values()
    network = Path(f"/proc/{pid}/ns/net").readlink()
    os.kill(pid, signal.SIGKILL)
    site.api.until(INSTANCES, lambda found: any(restarts(obj) == 1 and ready(obj) for obj in found.values()))
    after = state_of(site, "host", "alone")
    assert after.of("host") == before.of("host")
    (pid,) = after.of("alone").pids.values()
    assert Path(f"/proc/{pid}/ns/net").readlink() == network
    return after


def restarts(instance: Object) -> int:
    """How often the containers of an instance were restarted."""
    return sum(status["restartCount"] for status in instance.get("status", {}).get("containers", []))


def assert_found_nothing_left(site: Cluster) -> None:
    """The agent has come upon nothing that no instance wanted."""
    told = site.metrics(site.node.address, 9441)
    assert "process_cpu_seconds_total" in told
    assert {value for name, value in told.items() if name.startswith("moorage_leftovers_total")} <= {0.0}


def assert_gone_but_running(site: Cluster, before: State) -> None:
    """After the uninstallation that keeps containers: they run on; no pod, no finalizer, no namespace is left or stuck."""
    assert site.containers() == before.pids
    assert all(ProcessId.of(pid) for pid in before.pids.values())
    assert site.api.objects(f"/api/v1/namespaces/{RELEASE}/pods") == {}
    assert not any(obj["metadata"].get("finalizers") for obj in site.api.objects(INSTANCES).values())
    site.kubectl("delete", "namespace", RELEASE, "--timeout=30s")
    assert {"moorage-node-lease", RELEASE} & site.api.objects("/api/v1/namespaces").keys() == set()


def assert_nothing_left(site: Cluster, before: State) -> None:
    """After the uninstallation that stops containers: no object of ours but the definitions, and nothing on the node."""
    for kind in ("containerworkloads", "containerinstances", "runtimenodes"):
        assert site.api.objects(f"{GROUP}/{kind}") == {}
    assert not any(ProcessId.of(pid) for pid in before.pids.values())
    assert site.left_on_node() == []
    site.kubectl("delete", "namespace", RELEASE, "--timeout=30s")
    kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,priorityclasses"
    assert "moorage" not in site.kubectl("get", f"namespaces,{kinds}", "--output", "name")
