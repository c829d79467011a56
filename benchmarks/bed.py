"""The test bed: real components, with one manager and one agent, in a state folder that vanishes afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import floor, sampler
from benchmarks.audit import AuditLog
from benchmarks.floor import Floor
from benchmarks.network import Network
from benchmarks.progress import note
from benchmarks.usage import Usage
from benchmarks.watch import Watch
from controller.kube.resources import CONTAINER_IMAGES, INSTANCES, WORKLOADS, Resource
from tools.images import all_images, push
from tools.lab import Containerd, ControlPlane, Process, Registry, ToolError, claim, down, guardian
from tools.lab.process import ROOT, make_state, reap
from tools.lab.rights import agent_user, install_rights, manager_user

NAMESPACE = "moorage"
"""Moorage's own namespace in containerd."""

FLOOR_CGROUP = "/moorage-floor"
"""Parent of the cgroups of the floor's containers, one for each run: several may be under way."""

IMAGE = "busybox:1"
NODE_SECONDS = 30.0
QUIET_SECONDS = 2.5
"""Longer than events are gathered before they are written, so that quiet means that all is written."""
SETTLE_SECONDS = 60.0
HALVES = ("manager", "agent")


class Bed:
    """Everything that takes part, started at the beginning of the block and removed at its end."""

    def __init__(self, state: Path, evidence: Path, *, profile: Mapping[str, Path], keep: bool = False) -> None:
        """Prepare all processes.

        Args:
            state: the folder for everything that they keep.
            evidence: a folder that is made when something fails, for logs and objects.
            profile: which of manager and agent run under the sampler, and where each one's profile goes.
            keep: leave everything running at the end.
        """
        self.state = make_state(state)
        self._keep = keep
        self._evidence = evidence
        self._sampled = tuple(profile)
        self.node = f"bench{os.getpid()}"
        self.registry = Registry(self.state / "registry")
        self.containerd = Containerd(self.state / "containerd")
        self.plane = ControlPlane(self.state / "control-plane", audit=True, crds=[ROOT / "crds"])
        self.image = f"{self.registry.host}/{IMAGE}"
        self.network = Network(self.state / "network")
        self.halves = {half: self._half(half, profile.get(half)) for half in HALVES}
        cgroup = f"{FLOOR_CGROUP}/{self.node}"
        self.floor = Floor(self.containerd.address, _chain_id(), self.state / "floor-logs", cgroup, self.network)
        self.usage = Usage(
            {
                "agent": lambda: self.halves["agent"].pid,
                "manager": lambda: self.halves["manager"].pid,
                "apiserver": lambda: self.plane.apiserver.pid,
                "etcd": lambda: self.plane.etcd.pid,
                "controller_manager": lambda: self.plane.controller_manager.pid,
                "containerd": lambda: self.containerd.process.pid,
            },
            self.containerd.address,
        )

    def __enter__(self) -> Self:
        if not self._keep:
            guardian.watch(self.state)
        try:
            self._start()
        except BaseException:
            if not self._keep:
                self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, ToolError):
            self._save_evidence()
        if self._keep:
            note(f"everything keeps running, with KUBECONFIG={self.plane.kubeconfig}")
            note(f"to end it: {sys.executable} -m tools.lab down --state {self.state}")
            return
        self._end()

    @property
    def pids(self) -> dict[str, int]:
        """Manager and agent."""
        return {half: process.pid for half, process in self.halves.items()}

    def audit(self) -> AuditLog:
        """The API server's audit log from now on."""
        return AuditLog(self.plane.audit_log)

    def workloads(self) -> Watch:
        """A watch of the workloads."""
        return self._watch(WORKLOADS)

    def instances(self) -> Watch:
        """A watch of the instances."""
        return self._watch(INSTANCES)

    def images(self) -> Watch:
        """A watch of the ContainerImages."""
        return self._watch(CONTAINER_IMAGES)

    def containers(self) -> list[str]:
        """Ids of all containers and tasks in Moorage's namespace of containerd."""
        ctr = self.containerd.ctr
        containers = ctr("containers", "list", "--quiet", namespace=NAMESPACE).stdout.split()
        return sorted({*containers, *self.tasks()})

    def tasks(self) -> dict[str, int]:
        """Pids of all processes in Moorage's namespace of containerd, by id of their container."""
        lines = self.containerd.ctr("tasks", "list", namespace=NAMESPACE).stdout.splitlines()[1:]
        return {fields[0]: int(fields[1]) for line in lines if len(fields := line.split()) >= 2}

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Let the processes that run under the sampler take samples as long as the block lasts."""
        pids = [self.halves[half].pid for half in self._sampled]
        for pid in pids:
            os.kill(pid, sampler.BEGIN)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, sampler.END)

    def settle(self) -> None:
        """Wait until nobody of Moorage writes to the API server any more.

        Raises:
            ToolError: when that does not come, or manager or agent has ended.
        """
        self.audit().wait_quiet(QUIET_SECONDS, SETTLE_SECONDS)
        self.check()

    def check(self) -> None:
        """Raise `ToolError` when the manager or the agent has ended."""
        for half in self.halves.values():
            if not half.running:
                raise ToolError(f"the {half.name} has ended; {half.log} ends with:\n{half.tail()}")

    def _start(self) -> None:
        for name, component in (("registry", self.registry), ("containerd", self.containerd), ("control plane", self.plane)):
            note(f"start {name}")
            component.start()
        push(self.registry.host, [image for image in all_images() if f"{image.name}:{image.tag}" == IMAGE])
        for namespace in (NAMESPACE, floor.NAMESPACE):
            self.containerd.ctr("images", "pull", "--plain-http", self.image, namespace=namespace, timeout=60)
        (self.state / "floor-logs").mkdir()
        self.network.make()
        for cgroup in (f"/moorage/{self.node}", f"{FLOOR_CGROUP}/{self.node}"):
            claim(self.state, "cgroup", cgroup)
        note("start manager and agent")
        install_rights(self.plane)
        self._write_kubeconfigs()
        for half in self.halves.values():
            half.start()
        self.halves["agent"].wait_ready(self._node_ready, NODE_SECONDS)
        self.settle()

    def _save_evidence(self) -> None:
        """Keep what tells why something failed: the logs of all processes, and the objects as they are."""
        folder = self._evidence
        for logs in (self.state / "logs", *self.state.glob("*/logs")):
            shutil.copytree(logs, folder / logs.parent.name)
        objects = self.plane.kubectl("get", "cw,ci,rn", "--output", "yaml", check=False)
        (folder / "objects.yaml").write_text(objects.stdout or objects.stderr)
        (folder / "containers.txt").write_text("".join(f"{line}\n" for line in self.containers()))
        note(f"logs and objects are kept in {folder}")

    def _end(self) -> None:
        note("remove everything")
        try:
            self.network.detach_all()
        finally:
            left = down(self.state)
            self.network.remove()
        reap()
        guardian.release(self.state)
        if left:
            raise ToolError(f"left behind by {self.state}:\n" + "\n".join(left.describe()))

    def _half(self, half: str, profile: Path | None) -> Process:
        options: list[str | Path] = ["--kubeconfig", self.plane.kubeconfig_path(half)]
        if half == "agent":
            options += ["--containerd", self.containerd.address, "--node-name", self.node]
            options += ["--state-dir", self.state / "agent", "--log-dir", self.state / "agent-logs"]
            options += ["--netns-dir", self.state / "netns", *self.network.options]
        start: Sequence[str | Path] = [Path(sys.executable).parent / "moorage"]
        if profile is not None:
            start = [sys.executable, "-m", "benchmarks.sampler", profile]
        return Process(half, [*start, half, *options], self.state, env={"PYTHONPATH": str(ROOT)})

    def _write_kubeconfigs(self) -> None:
        """Each half works with its own rights only, as in an installation: that has a price, too."""
        self.plane.kubeconfig_of("manager", manager_user(self.plane))
        self.plane.kubeconfig_of("agent", agent_user(self.plane, self.node))

    def _watch(self, resource: Resource) -> Watch:
        return Watch(self.plane.url, self.plane.token, self.plane.ca, resource.path())

    def _node_ready(self) -> bool:
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        done = self.plane.kubectl("get", f"rn/{self.node}", "--output", f"jsonpath={path}", check=False)
        return done.stdout.strip() == "True"

    def environment(self) -> dict[str, str | int | float]:
        """What a reader of the figures should know of the machine and the components."""
        uname = os.uname()
        return {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "cores": os.cpu_count() or 0,
            "machine": uname.machine,
            "kernel": uname.release,
            "python": sys.version.split()[0],
            "load_average": os.getloadavg()[0],
            "containerd": _version(self.containerd.ctr("--version").stdout),
            "kubernetes": _version(self.plane.kubectl("version", "--client").stdout.splitlines()[0]),
            "commit": _commit(),
        }


def _chain_id() -> str:
    """The snapshot that the image's only layer is unpacked to (OCI image spec, config.md#layer-chainid)."""
    image = next(image for image in all_images() if f"{image.name}:{image.tag}" == IMAGE)
    (layer,) = image.layers
    return layer.diff_id


def _version(text: str) -> str:
    return next((word for word in text.split() if word.lstrip("v")[:1].isdigit()), text.strip())


def _commit() -> str:
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
