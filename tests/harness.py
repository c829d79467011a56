"""What tests of the whole product share: a one-node installation on real components, and a way to wait for what happens.

Waiting is done on watches of the API server, so that a test goes on the moment that something is true, and never sleeps.
"""

import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.waiting import eventually
from tools.lab import Containerd, ControlPlane, Process, Registry
from tools.lab.rights import agent_user, manager_user
from tools.lab.teardown import down

Object = dict[str, Any]
Objects = Mapping[str, Object]

MOORAGE = Path(sys.executable).with_name("moorage")
GROUP = "/apis/moorage.dev/v1alpha1"
NAMESPACE = "moorage"
"""Moorage's own namespace of containerd."""
ANY_DISK = ("--image-gc-high-percent", "100", "--disk-pressure-percent", "0")
"""Options of an agent to which it is all the same how full the disk is that the tests happen to run on."""
KEPT_OF_INSTANCES = ("files", "networks", "volumes", "configmaps")
"""Folders below an agent's state folder that hold something for each instance, and nothing without."""


class Watcher:
    """Reads and watches the API server as its admin."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._tls = ssl.create_default_context(cafile=str(plane.ca))

    def get(self, path: str, timeout: float = 15.0) -> Object:
        """One object or list; a server that says "not yet" (429, while it opens the storage of new kinds) is asked again."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                with self._open(path, timeout) as answer:
                    found: Object = json.load(answer)
                    return found
            except urllib.error.HTTPError as exc:
                if exc.code != 429 or time.monotonic() > deadline:
                    raise
                time.sleep(float(exc.headers.get("Retry-After", "1")))

    def objects(self, path: str) -> dict[str, Object]:
        """The objects of a collection, by name."""
        return {item["metadata"]["name"]: item for item in self.get(path)["items"]}

    def until(self, path: str, true: Callable[[Objects], bool], seconds: float = 30.0) -> Objects:
        """Watch a collection until something is true of all its objects by name; what it was then.

        An object or a field that is asked about and is not there yet is waited for.

        Raises:
            AssertionError: with the objects' statuses, when that does not come true in time.
        """
        deadline = time.monotonic() + seconds
        found: dict[str, Object] = {}
        listed = self.get(path)
        found.update({item["metadata"]["name"]: item for item in listed["items"]})
        version = listed["metadata"]["resourceVersion"]
        if _holds(true, found):
            return found
        for event in self._events(path, version, deadline):
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                found.pop(name, None)
            elif event["type"] in {"ADDED", "MODIFIED"}:
                found[name] = event["object"]
            if _holds(true, found):
                return found
        shown = json.dumps({name: obj.get("status") for name, obj in found.items()}, indent=1)
        raise AssertionError(f"not true within {seconds:g} s at {path}: {shown}")

    def changes(self, path: str, version: str, seconds: int) -> Iterator[Object]:
        """One watch: the events of a collection after a version, for that many seconds as the API server counts them."""
        with self._open(f"{path}?watch=1&resourceVersion={version}&timeoutSeconds={seconds}", seconds + 10) as stream:
            yield from map(json.loads, stream)

    def _events(self, path: str, version: str, deadline: float) -> Iterator[Object]:
        while (left := deadline - time.monotonic()) > 0:
            query = f"watch=1&resourceVersion={version}&timeoutSeconds={max(int(left) + 1, 1)}"
            try:
                with self._open(f"{path}?{query}", left) as stream:
                    for line in stream:
                        event: Object = json.loads(line)
                        version = event["object"]["metadata"].get("resourceVersion", version)
                        yield event
            except TimeoutError:
                return

    def _open(self, path: str, timeout: float) -> Any:
        request = urllib.request.Request(self._plane.url + path, headers={"Authorization": f"Bearer {self._plane.token}"})
        return urllib.request.urlopen(request, timeout=timeout, context=self._tls)


class Site:
    """A one-node installation: manager and agent as processes of their own on real components, each with its own rights only.

    The control plane must have the chart's roles and policies (`install_rights`).
    """

    def __init__(
        self,
        plane: ControlPlane,
        containerd: Containerd,
        registry: Registry,
        state: Path,
        node: str,
        options: Sequence[str] = (),
    ) -> None:
        """`options` are further ones of the agent. Without, its node has no CNI configuration."""
        self.plane, self.containerd, self.registry, self.node = plane, containerd, registry, node
        self.state = state
        self.api = Watcher(plane)
        as_manager = plane.kubeconfig_of("manager", manager_user(plane))
        as_agent = plane.kubeconfig_of(f"agent-{node}", agent_user(plane, node))
        own = ["--containerd", containerd.address, "--node-name", node, *self.dirs, *ANY_DISK]
        own += ["--cni-conf-dir", str(state / "cni-conf"), "--cni-bin-dir", str(state / "cni-bin"), *options]
        self.manager = Process("manager", [MOORAGE, "manager", "--kubeconfig", as_manager], state)
        self.agent = Process("agent", [MOORAGE, "agent", "--kubeconfig", as_agent, *own], state)

    @property
    def dirs(self) -> list[str]:
        """Options that name the agent's folders."""
        return [*self.state_dirs, "--netns-dir", str(self.netns), "--memory-dir", str(self.memory)]

    @property
    def state_dirs(self) -> list[str]:
        """Those of them that commands need that look at the node."""
        return ["--state-dir", str(self.state / "agent"), "--log-dir", str(self.state / "containers")]

    @property
    def netns(self) -> Path:
        """Folder of the instances' network namespaces."""
        return self.state / "netns"

    @property
    def memory(self) -> Path:
        """Folder of what must not reach a disk."""
        return self.state / "memory"

    def start(self) -> None:
        """Start both halves and wait until the node is Ready."""
        self.manager.start()
        self.agent.start()
        self.api.until(f"{GROUP}/runtimenodes", lambda nodes: self.node in nodes and ready(nodes[self.node]))

    def stop(self) -> None:
        """`clear`, and stop both halves."""
        self.clear()
        self._halt()

    def clear(self) -> None:
        """Delete every workload and instance, and see that nothing is left on the node; both halves run on.

        When that fails, both are stopped and what is left is removed by force, so that the machine stays clean and other tests
        are not disturbed.
        """
        try:
            self._empty()
        except BaseException:
            self._halt()
            for name in self.api.objects(f"{GROUP}/namespaces/default/containerinstances"):
                self.plane.kubectl("patch", "ci", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)
            down(self.state, cgroup_parents=[f"/moorage/{self.node}"], keep_logs=True)
            raise

    def _empty(self) -> None:
        self.agent.start()
        self.manager.start()
        for kind in ("containerworkloads", "containerinstances"):
            self.plane.kubectl("delete", kind, "--all", "--all-namespaces", "--wait=false")
        self.api.until(f"{GROUP}/containerinstances", lambda found: not found, 60)
        assert self._late() or self.containers() == {}, "containers are left in containerd"
        # a shim ends after its last container, a lost one after two passes
        left = eventually(lambda: [*self._late(), *self.leftovers()], lambda left: not left, 30)
        assert not left, f"left on the node: {left}"

    def _late(self) -> list[str]:
        """Instances of workloads that are gone, made by a manager that had not heard of that yet, as after an outage.

        They are deleted, as Kubernetes' garbage collector does half a minute later.
        """
        late = self.api.objects(f"{GROUP}/containerinstances")
        if late:
            self.plane.kubectl("delete", "containerinstances", "--all", "--all-namespaces", "--wait=false")
        return [f"instance: {name}" for name in late]

    def _halt(self) -> None:
        self.agent.stop()
        self.manager.stop()
        self.plane.kubectl("delete", "runtimenodes", "--all", "--wait=false", check=False)
        self.plane.kubectl("delete", "leases", "--all", "-n", "moorage-node-lease", check=False)

    def apply(self, *objects: Object) -> None:
        """`kubectl apply` of some objects in one file."""
        self.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def instances(self, true: Callable[[Objects], bool] = lambda _: True, seconds: float = 30.0) -> Objects:
        """The instances of the default namespace, once something is true of them."""
        return self.api.until(f"{GROUP}/namespaces/default/containerinstances", true, seconds)

    def workloads(self, true: Callable[[Objects], bool] = lambda _: True, seconds: float = 30.0) -> Objects:
        """The workloads of the default namespace, once something is true of them."""
        return self.api.until(f"{GROUP}/namespaces/default/containerworkloads", true, seconds)

    def containers(self) -> dict[str, int]:
        """Pid by id of every container of ours that runs."""
        return running(self.containerd.ctr)

    def shims(self) -> list[int]:
        """The shims of this containerd, by its address on their command lines."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if b"containerd-shim-runc-v2" in words[0] and self.containerd.address.encode() in words:
                    found.append(int(entry.name))
        return found

    def leftovers(self) -> list[str]:
        """Everything of ours that is left on the node, in words."""
        left = [f"shim: {pid}" for pid in self.shims()]
        left += [f"network namespace: {path}" for path in self.netns.glob("*")]
        places = (f" {self.netns}/", f" {self.state / 'agent' / 'volumes'}/", f" {self.memory}")
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        left += [f"mount: {line}" for line in mounts if any(place in line for place in places)]
        left += [f"in memory: {path}" for path in self.memory.rglob("*")]
        left += [f"cgroup: {path}" for path in Path("/sys/fs/cgroup").glob(f"*/moorage/{self.node}/*") if path.is_dir()]
        left += [f"state: {path}" for name in KEPT_OF_INSTANCES for path in (self.state / "agent" / name).glob("*")]
        for what in ("containers", "tasks", "snapshots", "leases"):
            lines = self.containerd.ctr(what, "ls", namespace=NAMESPACE).stdout.splitlines()[1:]
            left += [f"{what}: {line}" for line in lines if "Committed" not in line]  # those are layers of images
        held = any(line.startswith("leases") and "containerd.io/gc.expire" in line for line in left)
        if held:  # by containerd, for a pull that was interrupted, until it expires: what is there need not be fetched again
            left = [line for line in left if not line.startswith(("leases", "snapshots: extract-"))]
        return left


@contextmanager
def started(site: Site) -> Iterator[Site]:
    """A site, started; it is stopped at the end, and when its start fails. Nothing may be left on the node then."""
    try:
        site.start()
        yield site
    finally:
        site.stop()


def running(ctr: Callable[..., subprocess.CompletedProcess[str]]) -> dict[str, int]:
    """Pid by id of every container of ours that runs in the containerd that `ctr` asks."""
    rows = [line.split() for line in ctr("tasks", "ls", namespace=NAMESPACE).stdout.splitlines()[1:]]
    return {row[0]: int(row[1]) for row in rows if row[2] == "RUNNING"}


def workload(name: str, registry: Registry, **changes: Any) -> Object:
    """A ContainerWorkload with one container that sleeps; `changes` go into its spec (or `template.spec`: see below)."""
    container = {"name": "main", "image": f"{registry.host}/busybox:1", "command": ["sleep", "1000000"]}
    container |= changes.pop("container", {})
    instance = {"hostNetwork": True, "containers": [container], "terminationGracePeriodSeconds": 1}
    instance |= changes.pop("instance", {})
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerWorkload",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": {"spec": instance}, **changes},
    }


def condition(obj: Object, kind: str) -> Object:
    """A condition of an object; empty when it is not there."""
    found = obj.get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == kind), {})


def _holds(true: Callable[[Objects], bool], found: Objects) -> bool:
    try:
        return true(found)
    except LookupError:
        return False


def ready(obj: Object) -> bool:
    """Whether an object is Ready for its present generation."""
    status = obj.get("status", {})
    return condition(obj, "Ready").get("status") == "True" and status.get("observedGeneration") == obj["metadata"]["generation"]


def reason(obj: Object) -> str:
    """The reason of the Ready condition."""
    return str(condition(obj, "Ready").get("reason", ""))


def message(obj: Object) -> str:
    """The message of the Ready condition."""
    return str(condition(obj, "Ready").get("message", ""))


def until_logged(path: Path, text: str, seconds: float = 15.0) -> None:
    """Wait until a container has said something; a file tells nobody that it has grown, so it is looked at."""
    said = eventually(path.read_text, lambda said: text in said, seconds)
    assert text in said, f"not in {path.name} within {seconds:g} s, but: {said!r}"
