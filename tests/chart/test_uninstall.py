"""`moorage uninstall` as the chart's hook runs it: with the hook's rights, against a real API server and a real agent."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from controller.api.labels import FINALIZER
from tests.chart.rendering import Object, is_hook, pods, render
from tests.harness import GROUP, MOORAGE, Objects, Site, Watcher, ready, started, workload
from tests.waiting import eventually
from tools.lab import Containerd, ControlPlane, Registry

KEEP: Object = {}
STOP: Object = {"uninstall": {"containers": "Stop"}}
NODE = "chart1"
HALVES = ("deployment/moorage-manager", "daemonset/moorage-agent")

Hook = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site(plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path: Path) -> Iterator[Site]:
    """Manager and agent, started; at the end everything is deleted, and nothing may be left."""
    with started(Site(plane, containerd, registry, tmp_path / "s", NODE)) as found:
        yield found


@pytest.fixture
def hook(plane: ControlPlane, tmp_path: Path) -> Iterator[Hook]:
    """Run the pre-delete hook of a release with some values, whose halves are there as objects only."""
    plane.kubectl("create", "namespace", "moorage-system", check=False)
    made: list[str] = []

    def run(values: Object, *options: str) -> subprocess.CompletedProcess[str]:
        objects = render(values)
        rights = [o for o in objects if is_hook(o) and o["kind"] != "Job"]
        halves = [o for o in objects if o["kind"] in {"Deployment", "DaemonSet"}]
        made.append(yaml.safe_dump_all([*rights, *halves]))
        plane.kubectl("apply", "--filename", "-", stdin=made[-1])
        token = plane.kubectl("create", "token", "moorage-uninstall", "--namespace", "moorage-system").stdout.strip()
        config = json.loads(plane.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        limited = tmp_path / "uninstall.kubeconfig"
        limited.write_text(json.dumps(config))
        arguments = pods(objects)["moorage-uninstall"]["containers"][0]["args"]
        command = [MOORAGE, *arguments, "--kubeconfig", limited, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    yield run
    for objects in made:
        plane.kubectl("delete", "--ignore-not-found", "--wait=false", "--filename", "-", stdin=objects)


def _there(plane: ControlPlane) -> list[str]:
    """What of both halves is there."""
    options = ("--namespace", "moorage-system", "--ignore-not-found", "--output", "name")
    return plane.kubectl("get", *HALVES, *options).stdout.split()


def _running(count: int) -> Callable[[Objects], bool]:
    return lambda found: len(found) == count and all(ready(o) for o in found.values())


def _image(registry: Registry) -> Object:
    """A ContainerImage."""
    meta, spec = {"name": "web", "namespace": "default"}, {"image": f"{registry.host}/web:1"}
    return {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "metadata": meta, "spec": spec}


def _held(obj: Object) -> bool:
    return FINALIZER in obj["metadata"].get("finalizers", [])


def test_stop_leaves_nothing_running(site: Site, hook: Hook) -> None:
    """Workloads and instances are gone when the command ends, the agent has stopped their containers, and both halves end."""
    site.apply(workload("web", site.registry, replicas=3), _image(site.registry))
    site.instances(_running(3))
    assert len(site.containers()) == 3
    done = hook(STOP)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert site.containers() == {}
    assert site.api.objects(f"{GROUP}/containerinstances") == {}
    assert site.api.objects(f"{GROUP}/containerworkloads") == {}
    assert site.api.objects(f"{GROUP}/containerimages") == {}
    assert _there(site.plane) == []
    lines = done.stdout.splitlines()
    assert lines[0] == "3 instances and 1 workload left, on chart1 (3)"
    assert lines[-3:] == ["ending moorage-agent", "ending moorage-manager", "nothing of Moorage runs on any node any more"]


def test_keep_lets_containers_run_and_instances_go(site: Site, hook: Hook) -> None:
    """Nothing holds instances up any more, and the containers of those that stay are adopted when Moorage is installed again.

    An agent that runs outside of the cluster's pods would put its finalizer back, so it must be stopped first, and is told of.
    The next agent puts it back, too, and removes the container whose instance was deleted meanwhile.
    """
    site.apply(workload("web", site.registry), workload("gone", site.registry), _image(site.registry))
    site.instances(_running(2))
    before = site.containers()
    done = hook(KEEP)
    assert done.returncode == 1
    assert "an agent still runs on chart1. Stop the agents that run outside of the cluster's pods" in done.stderr
    assert _there(site.plane) == []

    site.manager.stop()
    site.agent.stop()
    done = hook(KEEP)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.splitlines() == [
        "ending moorage-manager",
        "ending moorage-agent",
        "took the agents' finalizer off 2 instances",
        "2 instances left in place; the containers run on",
    ]
    site.plane.kubectl("delete", "containerworkload/gone", "--cascade=foreground", "--timeout=30s")
    site.plane.kubectl("delete", "containerimage/web", "--cascade=foreground", "--timeout=30s")
    (kept,) = site.instances().values()
    assert not _held(kept)
    assert site.containers() == before

    site.manager.start()
    site.agent.start()
    (adopted,) = site.instances(lambda found: all(_held(o) and ready(o) for o in found.values())).values()
    assert adopted["metadata"]["uid"] == kept["metadata"]["uid"]
    name = kept["status"]["containers"][0]["containerID"].partition("://")[2]
    left = eventually(site.containers, lambda left: len(left) <= 1, 20)
    assert left == {name: before[name]}


def test_stop_gives_up_in_time_and_says_who_is_silent(plane: ControlPlane, hook: Hook) -> None:
    """A node that does not answer does not hang the uninstallation: it fails before Helm does, and both halves stay."""
    lost: Object = {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerInstance",
        "metadata": {"name": "lost", "namespace": "default", "finalizers": [FINALIZER]},
        "spec": {"nodeName": "far", "hostNetwork": True, "containers": [{"name": "web", "image": "web:1"}]},
    }
    plane.kubectl("create", "--filename", "-", stdin=yaml.safe_dump(lost))
    try:
        done = hook(STOP, "--timeout", "1")
        assert done.returncode == 1
        assert done.stderr == (
            "moorage: not everything is confirmed to have stopped: 1 instance left, on far (1; it has no RuntimeNode). Nobody "
            "confirms that the containers on far have stopped. Start the agent there and try again; or, when a node will not "
            "come back, `kubectl delete runtimenode far`, and its instances are let go of a minute later.\n"
        )
        assert len(_there(plane)) == 2
    finally:
        release = json.dumps({"metadata": {"finalizers": None}})
        plane.kubectl("patch", "containerinstance/lost", "--type=merge", "--patch", release, check=False)
    Watcher(plane).until(f"{GROUP}/containerinstances", lambda found: not found)


def test_uninstalling_nothing_succeeds(plane: ControlPlane, hook: Hook) -> None:
    """Run again, or where nothing was installed, there is nothing to do and nothing to complain of."""
    for values in (KEEP, STOP):
        assert hook(values).returncode == 0
        assert _there(plane) == []
