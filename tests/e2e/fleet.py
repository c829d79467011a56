"""A fleet on one machine: nodes with a containerd, an agent and a network of their own, one control plane, one manager.

All agents and the manager have short heartbeats, so that a test of a lost node takes seconds.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from tests.harness import GROUP, KEPT_OF_INSTANCES, MOORAGE, NAMESPACE, Object, Objects, Watcher, condition, ready, running
from tests.runtime_events import Happened, RuntimeEvents
from tests.waiting import eventually
from tools.images import all_images
from tools.images.store import write_archive
from tools.lab import Containerd, ControlPlane, Node, Process, sweep
from tools.lab.rights import agent_user, install_rights, manager_user

ROOT = Path(__file__).resolve().parents[2]
HEARTBEAT_SECONDS = 1
GRACE_SECONDS = 4

INSTANCES = f"{GROUP}/namespaces/default/containerinstances"
WORKLOADS = f"{GROUP}/namespaces/default/containerworkloads"
NODES = f"{GROUP}/runtimenodes"

OBEDIENT = "trap 'exit 0' TERM; sleep 1000000 & wait"
"""A script that ends at once when it is asked to."""


class Member:
    """One node of the fleet, with everything at its usual paths there."""

    def __init__(self, state: Path, name: str) -> None:
        self.name = name
        self.node = Node(state / "node", name=name)
        self._state = state

    def start(self, stack: ExitStack, plane: ControlPlane, images: Path) -> None:
        """Start containerd with the images, then the agent, with the rights of its node; all that ends with the stack."""
        self.containerd = stack.enter_context(Containerd(self._state / "containerd", node=self.node))
        self.containerd.ctr("images", "import", str(images), namespace=NAMESPACE)
        kubeconfig = plane.kubeconfig_of(f"agent-{self.name}", agent_user(plane, self.name))
        options = ["--kubeconfig", str(kubeconfig), "--node-name", self.name]
        command: list[str | Path] = [MOORAGE, "agent", *options, "--heartbeat-seconds", str(HEARTBEAT_SECONDS)]
        self.agent = stack.enter_context(Process("agent", self.node.inside(command), self.node.state))

    def running(self) -> dict[str, int]:
        """Pid by id of every container of ours that runs."""
        return running(self.containerd.ctr)

    def leftovers(self) -> list[str]:
        """Everything of ours that is left on the node, images aside."""
        left = [f"shim {pid}" for pid in self._shims()]
        left += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/moorage/{self.name}/*") if path.is_dir()]
        kept = [f"/var/lib/moorage/{name}" for name in ("instances", *KEPT_OF_INSTANCES)]
        for folder in ("/run/moorage/netns", "/var/log/moorage", *kept):
            left += [f"{folder}/{path.name}" for path in self.node.path(folder).glob("*")]
        for what in ("containers", "tasks", "snapshots", "leases"):
            lines = self.containerd.ctr(what, "ls", namespace=NAMESPACE).stdout.splitlines()[1:]
            left += [f"{what}: {line}" for line in lines if "Committed" not in line]  # those are layers of images
        return [f"{self.name}: {line}" for line in left]

    def _shims(self) -> list[int]:
        found = sweep(self.node.state).processes + sweep(self._state / "containerd").processes
        commands = {p.pid: Path(f"/proc/{p.pid}/cmdline") for p in found}
        return [pid for pid, file in commands.items() if file.exists() and b"containerd-shim" in file.read_bytes()]


class Fleet:
    """Nodes, control plane and manager; a context manager that leaves nothing."""

    def __init__(self, state: Path, names: tuple[str, ...]) -> None:
        self._state = state
        self.members = {name: Member(state / name, name) for name in names}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for member in self.members.values():
                stack.enter_context(member.node)
            first = next(iter(self.members.values()))
            plane = ControlPlane(self._state / "plane", crds=[ROOT / "crds"], address=first.node.gateway)
            self.plane = stack.enter_context(plane)
            install_rights(plane)
            plane.kubectl("label", "namespace", "default", "pod-security.kubernetes.io/enforce=privileged")
            self.api = Watcher(plane)
            kubeconfig = plane.kubeconfig_of("manager", manager_user(plane))
            options = ["--kubeconfig", str(kubeconfig), "--node-grace-seconds", str(GRACE_SECONDS)]
            stack.enter_context(Process("manager", [MOORAGE, "manager", *options], plane.state))
            images = self._state / "images.tar"
            write_archive(images, [image for image in all_images() if (image.name, image.tag) == ("busybox", "1")])
            for member in self.members.values():
                member.start(stack, plane, images)
            self.api.until(NODES, lambda found: len(found) == len(self.members) and all(map(ready, found.values())))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def apply(self, *objects: Object) -> None:
        """`kubectl apply` of some objects in one file."""
        self.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def instances(self, true: Callable[[Objects], bool] = lambda _: True, seconds: float = 30.0) -> Objects:
        """The instances, once something is true of them."""
        return self.api.until(INSTANCES, true, seconds)

    def running(self) -> dict[str, str]:
        """Node by id of every container that runs."""
        return {one: member.name for member in self.members.values() for one in member.running()}

    def clear(self) -> None:
        """Delete every workload, and see that nothing is left on any node."""
        self.plane.kubectl("delete", "cw", "--all", "--wait=false")
        self.instances(lambda found: not found, 40)
        left = eventually(self.leftovers, lambda left: not left)  # a shim ends a moment after its last container
        assert not left, left

    def leftovers(self) -> list[str]:
        """Everything of ours that is left on any node."""
        return [line for member in self.members.values() for line in member.leftovers()]


def workload(name: str, **spec: object) -> Object:
    """A workload of obedient processes on the host network."""
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", OBEDIENT]}
    instance = {"hostNetwork": True, "terminationGracePeriodSeconds": 1, "containers": [container]}
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerWorkload",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": {"spec": instance}, **spec},
    }


def of(found: Objects, name: str) -> list[Object]:
    """The instances of a workload, those on their way out not counted."""
    mine = (o for o in found.values() if o["metadata"]["labels"]["moorage.dev/workload"] == name)
    return [o for o in mine if "deletionTimestamp" not in o["metadata"]]


def counted(instances: list[Object]) -> int:
    """How many of them are ready for their present generation."""
    return sum(map(ready, instances))


# --- what happened meanwhile


@dataclass(frozen=True)
class Run:
    """One process of a container, from start to end, in seconds since the epoch."""

    node: str
    container: str
    begin: float
    end: float


@contextmanager
def runs(fleet: Fleet) -> Iterator[list[Run]]:
    """The runs of containers that begin within the block, from containerd's own events; filled when the block ends."""
    found: list[Run] = []
    with ExitStack() as stack:
        heard: dict[str, RuntimeEvents] = {}
        for name, member in fleet.members.items():
            heard[name] = RuntimeEvents(member.containerd, member.node.state / "events.txt", member.node.inside)
            stack.callback(heard[name].end)
        yield found
    for name, events in heard.items():
        found += _read(name, events.told())


def _read(node: str, told: Iterable[Happened]) -> Iterator[Run]:
    begun: dict[str, tuple[float, int]] = {}
    for event in told:
        body = event.body
        if event.topic == "/tasks/start":
            begun[body["container_id"]] = (event.at, body["pid"])
        elif event.topic == "/tasks/exit" and begun.get(body["container_id"], (0.0, 0))[1] == body["pid"]:
            yield Run(node, body["container_id"], begun.pop(body["container_id"])[0], event.at)
    for container, (at, _) in begun.items():
        yield Run(node, container, at, float("inf"))


def overlaps(found: list[Run], place: Callable[[Run], object]) -> list[tuple[float, float]]:
    """When two runs of one place went on at the same time: begin and end of each such pair."""
    pairs = [(a, b) for i, a in enumerate(found) for b in found[i + 1 :] if place(a) == place(b)]
    both = ((max(a.begin, b.begin), min(a.end, b.end)) for a, b in pairs)
    return [(begin, end) for begin, end in both if begin < end]


def end_process(pid: int) -> None:
    """End a process as a crash does."""
    os.kill(pid, 9)


def node_reason(found: Objects, name: str) -> str:
    """Why a node is as it is."""
    return str(condition(found[name], "Ready").get("reason", ""))
