"""`runtimeClassName`, as kubernetes.io has it in "Runtime Class" and "Pod Overhead", on two handlers of one node.

The second one is the node's runc under another path, which notes what it is called for.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.handlers import logging_runc
from tests.harness import GROUP, Object, Site, condition, message, ready, reason, started, workload
from tests.integration.semantics.cases import Case, Check, command, is_ready, main
from tests.integration.semantics.world import World
from tests.waiting import eventually
from tools.lab import Containerd, ControlPlane, Registry

NODE = "classes"


def runtime_class(name: str, handler: str, **more: Any) -> Object:
    """A RuntimeClass of this module."""
    return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler, **more}


CLASSES = (
    runtime_class("classes-other", "other"),
    runtime_class("classes-plain", "runc"),
    runtime_class("classes-vm", "kata"),
    runtime_class("classes-brief", "other"),
    runtime_class("classes-heavy", "other", overhead={"podFixed": {"cpu": "100000"}}),
    runtime_class("classes-here", "other", scheduling={"nodeSelector": {"kubernetes.io/hostname": NODE}}),
    runtime_class("classes-away", "other", scheduling={"nodeSelector": {"kubernetes.io/hostname": "elsewhere"}}),
)


def stalled(*told: str) -> Check:
    """Ready is False and Stalled True for want of a class or handler, in these words, and nothing was made."""

    def true(obj: Object) -> bool:
        return (
            condition(obj, "Ready").get("status") == "False"
            and condition(obj, "Stalled").get("status") == "True"
            and reason(obj) == "RuntimeClassUnavailable"
            and all(words in message(obj) for words in told)
            and not main(obj).get("containerID")
        )

    return true


CASES = {
    "none": Case("An instance without a class runs by the node's default handler.", {}, is_ready),
    "plain": Case("A class may ask for the default handler by its name.", {}, is_ready, {"runtimeClassName": "classes-plain"}),
    "other": Case(
        "A class's handler runs the instance's containers; its processes are looked at and entered like any others.",
        {"readinessProbe": command("sh", "-c", "true") | {"periodSeconds": 1}},
        is_ready,
        {"runtimeClassName": "classes-other"},
    ),
    "pair": Case(
        "All containers of an instance run by the handler of its class.",
        {},
        lambda obj: ready(obj) and obj["status"]["ready"] == "2/2",
        {"runtimeClassName": "classes-other"},
    ),
    "unknown": Case(
        "A class that does not exist is a terminal failure, told in an Event too.",
        {},
        stalled("there is no RuntimeClass 'classes-none'"),
        {"runtimeClassName": "classes-none"},
        ("Failed: container 'main': there is no RuntimeClass",),
    ),
    "heavy": Case(
        "A class's overhead is asked of the node beside what the containers ask for.",
        {},
        lambda obj: reason(obj) == "OutOfcpu" and "requested: 100000000" in message(obj) and not main(obj).get("containerID"),
        {"runtimeClassName": "classes-heavy"},
    ),
    "lacking": Case(
        "So is a handler that the node does not have; what it has is told.",
        {},
        stalled("'kata'", "it has runc, other"),
        {"runtimeClassName": "classes-vm"},
    ),
}

STORY = {
    "crash": Case(
        "A container that crashes comes back by the same handler.", {}, is_ready, {"runtimeClassName": "classes-other"}
    ),
    "orphan": Case("What runs needs its class no more.", {}, is_ready, {"runtimeClassName": "classes-brief"}),
    "moved": Case("Another class replaces the containers.", {}, is_ready),
    "gone": Case("Whatever handler made a container removes it.", {}, is_ready, {"runtimeClassName": "classes-other"}),
    "later": Case(
        "It is mended when the class appears.",
        {},
        stalled("there is no RuntimeClass 'classes-later'"),
        {"runtimeClassName": "classes-later"},
    ),
}
"""Those to which more happens."""


class Handler:
    """The second OCI runtime."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "other.log"
        self.binary = logging_runc(folder / "other-runc", self.log)

    def calls(self, command: str, instance: str) -> int:
        """How often it was called for this, of the containers of an instance."""
        lines = self.log.read_text().splitlines()
        return sum(line.startswith(f"{command} ") and f" {instance}-" in line for line in lines)


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> Handler:
    """The handler `other`."""
    return Handler(tmp_path_factory.mktemp("handler"))


@pytest.fixture(scope="module")
def world(
    plane: ControlPlane, containerd: Containerd, registry: Registry, handler: Handler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """An installation whose node has a second handler, the classes, and all instances."""
    option = f"--runtime-handler=other=io.containerd.runc.v2,BinaryName={handler.binary}"
    site = Site(plane, containerd, registry, tmp_path_factory.mktemp("classes") / "s", NODE, [option])
    found = World(site)
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(CLASSES))
    try:
        with started(site):
            image = f"{registry.host}/busybox:1"
            both = [{"name": name, "image": image, "command": ["sleep", "1000000"]} for name in ("main", "side")]
            pair = replace(CASES["pair"], spec={**CASES["pair"].spec, "containers": both})
            found.apply({**CASES, **STORY, "pair": pair})
            yield found
    finally:
        plane.kubectl(
            "delete", "runtimeclass", "--ignore-not-found", "classes-later", *(c["metadata"]["name"] for c in CLASSES)
        )


@pytest.mark.parametrize("name", CASES)
def test_case(world: World, name: str) -> None:
    """Each leads to the state of the world that its sentence says."""
    world.holds(name, CASES[name])


def test_who_makes_what(world: World, handler: Handler) -> None:
    """The handler's program is called for its own containers alone, and the node tells which handlers it has."""
    for name in ("none", "plain", "other", "pair"):
        world.until(name, CASES[name].then)
    assert {name: handler.calls("create", name) for name in ("none", "plain", "other", "pair")} == {
        "none": 0,
        "plain": 0,
        "other": 1,
        "pair": 2,
    }
    assert handler.calls("exec", "other") >= 1
    node = world.site.api.objects(f"{GROUP}/runtimenodes")[NODE]
    assert node["status"]["runtimeHandlers"] == ["runc", "other"]


def test_a_story(world: World, handler: Handler) -> None:
    """A class goes, processes are killed, a class comes, another is asked for, the agent starts anew, and all is removed."""
    for name, case in STORY.items():
        world.until(name, case.then)
    world.site.plane.kubectl("delete", "runtimeclass", "classes-brief")
    for name in ("crash", "orphan"):
        os.kill(world.pid(name), signal.SIGKILL)
    for name in ("crash", "orphan"):
        world.until(name, lambda obj: ready(obj) and main(obj)["restartCount"] == 1)
        assert handler.calls("create", name) == 2

    world.site.apply(runtime_class("classes-later", "other"))
    world.until("later", is_ready)
    world.apply({"moved": Case("", {}, is_ready, {"runtimeClassName": "classes-other"})})
    world.until("moved", lambda obj: ready(obj) and main(obj)["restartCount"] == 1)
    assert [handler.calls("create", name) for name in ("later", "moved")] == [1, 1]

    before = world.site.containers()
    world.site.agent.stop()
    world.site.agent.start()
    os.kill(world.pid("crash"), signal.SIGKILL)
    world.until("crash", lambda obj: main(obj)["restartCount"] == 2 and "running" in main(obj)["state"])
    assert handler.calls("create", "crash") == 3
    after = world.site.containers()
    assert {id_ for id_, pid in before.items() if after.get(id_) != pid} == {i for i in before if i.startswith("crash-")}
    world.delete("gone", "later", "moved")
    assert all(handler.calls("delete", name) for name in ("gone", "later", "moved"))
    assert not [id_ for id_ in world.site.containers() if id_.startswith(("gone-", "later-", "moved-"))]


def of_class(world: World, name: str, class_name: str, **spec: Any) -> Object:
    """A workload with a class."""
    return workload(
        name, world.site.registry, instance={"runtimeClassName": class_name, "network": "None", "hostNetwork": False}, **spec
    )


def test_scheduling(world: World) -> None:
    """Labels of both must be there, and room for the overhead; what cannot be is told, and mended by the class that lacked."""
    contradiction = {"nodeSelector": {"kubernetes.io/hostname": "elsewhere"}}
    world.site.apply(
        of_class(world, "here", "classes-here"),
        of_class(world, "away", "classes-away"),
        of_class(world, "both", "classes-here", placement=contradiction),
        of_class(world, "missing", "classes-soon"),
        of_class(world, "room", "classes-heavy"),
    )
    told = world.site.workloads(
        lambda found: (
            ready(found["here"])
            and all(reason(found[name]) == "NoMatchingNode" for name in ("away", "room"))
            and all(condition(found[name], "Stalled").get("status") == "True" for name in ("both", "missing"))
        )
    )
    assert "kubernetes.io/hostname=elsewhere" in message(told["away"])
    assert "Insufficient cpu" in message(told["room"])
    assert "no node can be both" in message(told["both"])
    assert "there is no RuntimeClass 'classes-soon'" in message(told["missing"])
    try:
        world.site.apply(runtime_class("classes-soon", "other"))
        world.site.workloads(lambda found: ready(found["missing"]))
    finally:
        world.site.plane.kubectl("delete", "runtimeclass", "classes-soon", "--ignore-not-found")


def test_a_name_that_cannot_be_one(world: World) -> None:
    """Is refused by the API server, by the path of the field."""
    text = yaml.safe_dump(of_class(world, "bad", "No Such Class"))
    answer = world.site.plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=text, check=False)
    assert answer.returncode
    assert "spec.template.spec.runtimeClassName" in answer.stderr


def test_classes_are_known_without_the_api_server(world: World) -> None:
    """They are on the node's disk, beside its instances."""
    kept = world.site.state / "agent" / "runtimeclasses.json"
    found = eventually(kept.read_text, lambda text: '"classes-other":{"handler":"other"}' in text, 10)
    assert '"classes-other":{"handler":"other"}' in found
