"""One installation lives through every moment that those who wait for a workload meet, all at once, and all is recorded."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import Object, Site, ready, reason, workload
from tests.recording import Recorder, Truth
from tests.verdicts import kubectl_wait
from tools.images import File, Image, all_images, make_layer, push
from tools.lab import Containerd, ControlPlane, FaultyRegistry, Process, Registry

SLOW_BYTES = 600_000
SLOW_BYTES_PER_SECOND = 200_000

GRACE_SECONDS = 4
"""The manager's patience with a node that does not report, for the one moment where a node falls silent."""


@dataclass
class Wait:
    """A `kubectl wait` that runs beside the story."""

    code: int = -1
    ended: float = 0.0
    thread: threading.Thread | None = None


@dataclass
class Story:
    """What happened."""

    recorder: Recorder
    truth: Truth
    waits: dict[str, Wait] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)
    """When something was done, by what it was."""


class Teller:
    """Does to the installation what the story tells."""

    def __init__(self, site: Site, story: Story, slow: FaultyRegistry) -> None:
        self.site, self.story, self.slow = site, story, slow
        self.seen = story.recorder

    def begin(self) -> None:
        """All that can begin at once begins at once."""
        registry = self.site.registry
        web = {"image": f"{registry.host}/web:1", "command": ["sleep", "1000000"]}
        short = {"progressDeadlineSeconds": 4}
        crash, quick = {"command": ["sh", "-c", "sleep 0.6; exit 1"]}, {"initialSeconds": 2, "maxSeconds": 4}
        stubborn = {"command": ["sh", "-c", "trap '' TERM; sleep 1000000 & wait; wait"]}
        deadline = {"progressDeadlineSeconds": 6}
        asked = [
            workload("good", registry, replicas=2),
            workload("slow", registry, container={"image": f"{self.slow.host}/large:1"}),
            workload("crash", registry, container=crash, update=deadline, instance={"backoff": quick}),
            workload(
                "sturdy", registry, container=crash, update=deadline | {"minReadySeconds": 5}, instance={"backoff": quick}
            ),
            workload("untagged", registry, container={"image": f"{registry.host}/busybox:none"}, update=short),
            workload("misnamed", registry, container={"image": "registry.example/Upper:1"}),
            workload("paused", registry),
            workload("rolling", registry, replicas=3, container=web),
            workload("failing", registry, container=web, update=short),
            workload("gone", registry, container=stubborn),
            workload("going", registry, container=stubborn),
            workload("job", registry, container={"command": ["sleep", "1"]}, instance={"restartPolicy": "Never"}),
            workload(
                "hopeless",
                registry,
                container={"command": ["sh", "-c", "sleep 1; exit 3"]},
                instance={"restartPolicy": "Never"},
            ),
            workload("lost", registry, nodeLost={"policy": "Wait"}),
        ]
        self.site.apply(*asked)
        self.wait("good", "Ready")
        self.wait("untagged", "Stalled")
        self.wait("misnamed", "Ready", seconds=3)
        self.wait("job", "Complete")
        self.wait("hopeless", "Failed")

    def change(self) -> None:
        """What runs is changed: updated, spoiled, suspended, deleted."""
        for name in ("good", "rolling", "failing", "paused", "gone", "going", "job"):
            self.until_ready(name)
        self.image("rolling", "web:2")
        self.wait("rolling", "Ready", "rolling updated")
        self.image("failing", "busybox:none")
        self.wait("failing", "Stalled")
        self.patch("paused", {"suspend": True})
        self.site.plane.kubectl("delete", "cw/gone", "--wait=false")
        self.site.plane.kubectl("delete", "cw/going", "--wait=false", "--cascade=foreground")
        self.until_ready("paused", 2)
        self.patch("paused", {"suspend": False})
        self.until_ready("rolling", 2)
        self.until_ready("paused", 3)
        self.seen.until(lambda: self.verdict("failing") == "Stalled")
        self.image("failing", "busybox:docker")
        self.until_ready("failing", 3)
        self.seen.until(lambda: self.seen.last("ContainerWorkload", "going") is None)
        self.seen.until(lambda: self.verdict("untagged") == "Stalled")
        self.seen.until(lambda: self.verdict("crash") == "Stalled")
        self.seen.until(lambda: self.verdict("sturdy") == "Stalled")
        self.until_ready("slow")
        self.seen.until(lambda: self.verdict("hopeless") == "Stalled")

    def cordon(self) -> None:
        """The node is cordoned and uncordoned."""
        for generation, cordoned in ((2, "true"), (3, "false")):
            patch = f'{{"spec": {{"unschedulable": {cordoned}}}}}'
            self.site.plane.kubectl("patch", f"rn/{self.site.node}", "--type=merge", "-p", patch)
            self.until_node_ready(generation)

    def lose_the_node(self) -> None:
        """The agent is killed; its containers run on. Then it comes back."""
        self.until_ready("lost")
        self.story.marks["agent killed"] = time.time()
        self.site.agent.kill()
        self.site.manager.stop()
        impatient = [*self.site.manager.arguments, "--node-grace-seconds", str(GRACE_SECONDS)]
        with Process("impatient-manager", impatient, self.site.state):
            self.seen.until(lambda: reason(self.seen.last("ContainerWorkload", "lost") or {}) == "NodeLost")
            self.seen.until(lambda: reason(self.seen.last("RuntimeNode", self.site.node) or {}) == "AgentStopped")
        self.site.agent.start()
        self.site.manager.start()
        self.until_ready("lost")
        self.until_node_ready(3)

    def end(self) -> None:
        """Everything is deleted."""
        self.site.plane.kubectl("delete", "cw", "--all", "--wait=false")
        self.seen.until(lambda: all(v is None for v in self.latest("ContainerWorkload", "ContainerInstance").values()))
        for wait in self.story.waits.values():
            assert wait.thread is not None
            wait.thread.join()

    def latest(self, *kinds: str) -> dict[str, Object | None]:
        """Every object of these kinds that there ever was, as it was last seen."""
        return {v.name: v.object for v in self.seen.versions if v.kind in kinds}

    def verdict(self, name: str) -> str:
        """What `kubectl wait` makes of a workload as it is now."""
        return kubectl_wait(self.seen.last("ContainerWorkload", name))

    def until_ready(self, name: str, generation: int = 1) -> None:
        """Wait until a workload is Ready in that generation."""

        def true() -> bool:
            found = self.seen.last("ContainerWorkload", name)
            return found is not None and ready(found) and found["metadata"]["generation"] == generation

        self.story.marks[f"{name} ready {generation}"] = self.seen.until(true, 60)

    def until_node_ready(self, generation: int) -> None:
        """Wait until the node is Ready in that generation; it tells so at once, not with its next beat after 10 s."""

        def true() -> bool:
            found = self.seen.last("RuntimeNode", self.site.node)
            return found is not None and ready(found) and found["metadata"]["generation"] == generation

        self.seen.until(true, 5)

    def wait(self, name: str, condition: str, mark: str = "", seconds: int = 60) -> None:
        """Start a `kubectl wait`."""
        wait = self.story.waits[mark or name] = Wait()

        def run() -> None:
            words = ("wait", f"--for=condition={condition}", f"cw/{name}", f"--timeout={seconds}s")
            wait.code = self.site.plane.kubectl(*words, check=False, timeout=seconds + 10).returncode
            wait.ended = time.time()

        wait.thread = threading.Thread(target=run)
        wait.thread.start()

    def patch(self, name: str, spec: Object) -> None:
        """Change a workload's spec."""
        self.site.plane.kubectl("patch", f"cw/{name}", "--type=merge", "-p", json.dumps({"spec": spec}))
        self.story.marks[f"{name} patched"] = time.time()

    def image(self, name: str, image: str) -> None:
        """Change a workload's image."""
        change = [
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"{self.site.registry.host}/{image}"}
        ]
        self.site.plane.kubectl("patch", f"cw/{name}", "--type=json", "-p", json.dumps(change))


@contextmanager
def told(plane: ControlPlane, containerd: Containerd, registry: Registry, state: Path) -> Iterator[Story]:
    """Tell the whole story; what was recorded."""
    base = all_images()[0].layers[0]
    large = Image("large", "1", [base, make_layer({"ballast": File(os.urandom(SLOW_BYTES))})], {"Cmd": ["sh"]})
    push(registry.host, [large])
    site = Site(plane, containerd, registry, state / "s", f"story-{os.getpid()}")
    with ExitStack() as stack:
        slow = stack.enter_context(FaultyRegistry(registry.host, bytes_per_second=SLOW_BYTES_PER_SECOND))
        truth = Truth(containerd, state)
        stack.callback(truth.end)
        stack.callback(site.stop)
        recorder = stack.enter_context(Recorder(site.api).running())
        site.start()
        teller = Teller(site, Story(recorder, truth), slow)
        for chapter in (teller.begin, teller.change, teller.cordon, teller.lose_the_node, teller.end):
            chapter()
        yield teller.story
