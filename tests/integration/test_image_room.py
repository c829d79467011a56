"""Room on the disk of images: a small disk of its own under a real containerd, filled by images, emptied by the agent."""

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import GROUP, NAMESPACE, Object, Objects, Site, condition, message, ready, started, workload
from tests.waiting import eventually
from tools.images import File, Image, all_images, make_layer, push
from tools.lab import Containerd, ControlPlane, FaultyRegistry, Registry, free_port

MIB = 2**20
DISK = 400 * MIB
BALLAST = 9 * MIB
"""Of each image; it takes that twice: as it is stored, and unpacked."""
LARGE = 5 * BALLAST
HIGH, LOW, PRESSURE = 85, 70, 10
NODE = "small"
NODES = f"{GROUP}/runtimenodes"
EVENTS = "/api/v1/namespaces/default/events"
HELD = ("running", "stopped", "volume", "pinned", "before", "after")
"""Images that somebody uses, and how."""


class SmallContainerd(Containerd):
    """A containerd whose root folder is a file system of its own, on a loop device."""

    @property
    def root(self) -> Path:
        """Where that is mounted; what takes containerd down unmounts it, too."""
        return self.state / "root"

    def start(self) -> None:
        """Mount it, and start."""
        if not self.root.is_mount():
            self.root.mkdir(exist_ok=True)
            file = self.state / "disk.img"
            with file.open("wb") as disk:
                disk.truncate(DISK)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", file], check=True)
            subprocess.run(["mount", "-o", "loop,noatime", file, self.root], check=True)
        super().start()

    @property
    def percent(self) -> float:
        """How much of it is in use."""
        numbers = os.statvfs(self.root)
        return 100 * (1 - numbers.f_bavail / numbers.f_blocks)


class Small:
    """A site on a small disk, and images to fill it with."""

    def __init__(self, site: Site, disk: SmallContainerd, port: int) -> None:
        self.site, self.disk, self._port = site, disk, port
        self.filled: list[str] = []
        """What was pulled for nobody, the oldest first."""

    def push(self, *names: str, size: int = BALLAST) -> None:
        """Images of which none has anything of another but the shell."""
        base = all_images()[0].layers[0]
        for name in names:
            layer = make_layer({f"ballast/{name}": File(os.urandom(size))}, level=1)
            push(self.site.registry.host, [Image("room", name, [base, layer], {"Cmd": ["sh"]})])

    def ref(self, name: str) -> str:
        """One of them."""
        return f"{self.site.registry.host}/room:{name}"

    def there(self) -> list[str]:
        """The images that the node has."""
        return self.site.containerd.ctr("images", "ls", "-q", namespace=NAMESPACE).stdout.split()

    def fill(self, percent: float) -> None:
        """Pull images behind the agent's back until so much of the disk is in use."""
        while self.disk.percent < percent:
            name = f"filler{len(self.filled)}"
            self.push(name)
            self.site.containerd.ctr("images", "pull", "--plain-http", self.ref(name), namespace=NAMESPACE)
            self.filled.append(self.ref(name))

    def metric(self, name: str) -> float:
        """One of the agent's, now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
            found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
        assert found, name
        return float(found[1])

    def told(self, reason: str, seen: frozenset[str]) -> Object:
        """The Event about the node with this reason that was not seen before: other tests had a node of its name, too."""

        def true(found: Objects) -> bool:
            return bool(_of_node(found, reason).keys() - seen)

        found = _of_node(self.site.api.until(EVENTS, true, 90), reason)
        return next(event for name, event in found.items() if name not in seen)

    def events(self, reason: str) -> frozenset[str]:
        """The names of those that there are."""
        return frozenset(_of_node(self.site.api.objects(EVENTS), reason))

    def until_ready(self, *names: str, seconds: float = 60.0) -> Objects:
        """The workloads' instances, once all of them are Ready."""
        return self.site.workloads(lambda found: all(ready(found[name]) for name in names), seconds)

    def run(self, name: str, image: str, *command: str, **instance: Any) -> Object:
        """A workload of an image that may not be pulled anew."""
        container = {"image": self.ref(image), "command": list(command) or ["sleep", "1000000"]}
        container["imagePullPolicy"] = instance.pop("policy", "IfNotPresent")
        if mounts := instance.pop("mounts", None):
            container["volumeMounts"] = mounts
        return workload(name, self.site.registry, container=container, instance=instance)


def _of_node(found: Objects, reason: str) -> dict[str, Object]:
    about = ("RuntimeNode", NODE, reason)
    return {
        name: event
        for name, event in found.items()
        if (event["involvedObject"]["kind"], event["involvedObject"]["name"], event["reason"]) == about
    }


@pytest.fixture
def small(plane: ControlPlane, registry: Registry, tmp_path: Path) -> Iterator[Small]:
    """It has marks that a few images reach, and takes none for young."""
    port = free_port()
    options = ["--image-gc-high-percent", str(HIGH), "--image-gc-low-percent", str(LOW), "--image-gc-minimum-age", "0"]
    options += ["--disk-pressure-percent", str(PRESSURE), "--metrics-port", str(port)]
    with SmallContainerd(tmp_path / "c") as disk, started(Site(plane, disk, registry, tmp_path / "s", NODE, options)) as site:
        try:
            yield Small(site, disk, port)
        finally:
            plane.kubectl("delete", "cimg", "--all", "-n", "default", "--wait=false", check=False)


def test_what_nobody_uses_goes_and_what_somebody_uses_stays(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    """From over 90 per cent to below 70, the oldest first, while a pull is under way; all that is used works after it."""
    site, disk = small.site, small.disk
    small.push(*HELD, "flight")
    image = {"reference": small.ref("volume"), "pullPolicy": "IfNotPresent"}
    mount = {"volumes": [{"name": "files", "image": image}], "mounts": [{"name": "files", "mountPath": "/files"}]}
    wanted = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "spec": {"image": small.ref("pinned")}}
    site.apply(
        small.run("running", "running", "sh", "-c", "sha256sum /ballast/running; sleep 1000000"),
        small.run("stopped", "stopped", "true", restartPolicy="Never"),
        small.run("volume", "running", **mount),
        small.run("changed", "before"),
        {**wanted, "metadata": {"name": "pinned", "namespace": "default"}},
    )
    small.until_ready("running", "stopped", "volume", "changed")
    site.api.until(f"{GROUP}/namespaces/default/containerimages", lambda found: all(map(ready, found.values())))
    site.apply(small.run("changed", "after"))
    small.until_ready("changed")
    pids = site.containers()

    with FaultyRegistry(site.registry.host, bytes_per_second=MIB) as slow:
        flight = f"{slow.host}/room:flight"
        site.apply(workload("flight", site.registry, container={"image": flight}))
        site.instances(lambda found: any("pull" in obj.get("status", {}) for obj in found.values()))
        site.agent.stop()
        small.fill(90)
        before, seen, began = disk.percent, small.events("ImageGCRemoved"), time.monotonic()
        site.agent.start()
        event = small.told("ImageGCRemoved", seen)
        seconds, after = time.monotonic() - began, disk.percent
        slow.bytes_per_second = 0
        small.until_ready("flight")

    there = small.there()
    removed = [ref for ref in small.filled if ref not in there]
    wrong = [ref for ref in (*map(small.ref, HELD), flight) if ref not in there]
    assert wrong == []
    assert removed == small.filled[: len(removed)]
    assert before >= 90
    step = 100 * 2 * BALLAST / DISK
    assert LOW - step - 3 < after <= LOW + 3  # the pull that is under way fills it meanwhile
    assert f"removed {len(removed)} images, " in event["message"]
    assert f"{removed[0]} (never used, there for " in event["message"]
    assert (event["type"], event["source"]["component"]) == ("Normal", "moorage-agent")
    log = (site.state / "logs" / "agent.log").read_text()
    assert all(f"image {ref} is removed for room: never used" in log for ref in removed)
    assert small.metric('moorage_agent_image_gc_removed_total{kind="unused"}') == len(removed)
    assert small.metric("moorage_agent_image_gc_freed_bytes_total") == pytest.approx(2 * BALLAST * len(removed), rel=0.3)
    with capsys.disabled():
        print(
            f"\nroom: {before:.1f}% -> {after:.1f}%, {len(removed)} of {len(small.filled)} removed, {len(wrong)} wrong, "
            f"{seconds:.1f} s from the agent's start to the Event"
        )

    assert {name: pid for name, pid in site.containers().items() if name in pids} == pids
    small.filled = [ref for ref in small.filled if ref in there]
    _still_work(small, pids)


def _still_work(small: Small, pids: dict[str, int]) -> None:
    """Nothing has to be pulled for any of what was used: the registry is away."""
    site, old = small.site, set(pids.values())
    site.registry.stop()
    try:
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        found = eventually(site.containers, lambda found: len(found) > len(old) and not old & set(found.values()), 30)
        assert len(found) == len(old) + 1  # and the one whose image was on its way
        small.until_ready("running", "volume", "changed", "flight")
        site.apply(
            small.run("changed", "before", policy="Never"),
            small.run("again", "stopped", policy="Never"),
            small.run("fetched", "pinned", "sh", "-c", "cat /ballast/pinned > /dev/null; sleep 1000000", policy="Never"),
        )
        small.until_ready("changed", "again", "fetched")
        (mounted,) = [path for path in (site.state / "agent" / "volumes").glob("*/image~files~*") if path.is_dir()]
        assert len((mounted / "ballast" / "volume").read_bytes()) == BALLAST
    finally:
        site.registry.start()


def test_a_pull_without_room_makes_some_and_succeeds(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the high mark, too; it tells so first, and is not left to the pause after a failure."""
    site, disk = small.site, small.disk
    small.push("large", size=LARGE)
    small.fill(HIGH - 3)
    before, seen, began = disk.percent, small.events("ImageGCRemoved"), time.monotonic()
    assert before < HIGH
    site.apply(small.run("large", "large"))

    def refused(found: Objects) -> bool:
        return any(f"{small.ref('large')}: no room on the node's disk" in event["message"] for event in found.values())

    site.api.until(EVENTS, refused, 60)
    event = small.told("ImageGCRemoved", seen)
    small.until_ready("large")
    seconds = time.monotonic() - began
    after = eventually(lambda: disk.percent, lambda now: now < HIGH, 30)  # with the new one it may be beyond the mark again
    assert after < HIGH
    removed = [ref for ref in small.filled if ref not in small.there()]
    assert removed
    assert removed == small.filled[: len(removed)]
    assert f"{removed[0]} (never used, there for " in event["message"]
    with capsys.disabled():
        print(
            f"\nroom: a pull at {before:.1f}% found none; {len(removed)} removed, Ready in {seconds:.1f} s, then {after:.1f}%"
        )
    small.filled = small.filled[len(removed) :]


def test_a_disk_that_stays_full_closes_the_node(small: Small) -> None:
    """When nothing more may go: a condition, an Event that says what keeps the rest, no new instances; what runs runs on."""
    site, disk = small.site, small.disk
    site.apply(workload("there", site.registry))
    small.until_ready("there")
    pids, file, seen = site.containers(), disk.root / "somebody-elses", small.events("FreeDiskSpaceFailed")
    site.agent.stop()
    try:
        numbers = os.statvfs(disk.root)
        with file.open("wb") as data:
            os.posix_fallocate(data.fileno(), 0, numbers.f_bavail * numbers.f_frsize - DISK // 50)
        site.agent.start()
        found = site.api.until(NODES, lambda nodes: condition(nodes[NODE], "DiskPressure").get("status") == "True", 60)
        told = condition(found[NODE], "DiskPressure")
        assert told["reason"] == "AgentHasDiskPressure"
        assert told["message"].startswith(f"less than {PRESSURE}% of the disk of images is free")
        kept = small.told("FreeDiskSpaceFailed", seen)
        assert kept["type"] == "Warning"
        assert kept["message"].endswith("no further image may be removed: 1 used by containers")
        assert small.metric("moorage_agent_disk_pressure") == 1
        site.apply(workload("more", site.registry))
        more = site.workloads(lambda found: "more" in found and "disk pressure" in message(found["more"]))["more"]
        assert "0/1 nodes are available: 1 node(s) had disk pressure" in message(more)
        assert site.containers() == pids
    finally:
        file.unlink(missing_ok=True)
        site.agent.start()
