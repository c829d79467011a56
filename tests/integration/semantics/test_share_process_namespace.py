"""`shareProcessNamespace`, as kubernetes.io has it in "Share Process Namespace between Containers in a Pod"."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Object, Site, ready, started
from tests.integration.semantics.cases import Case, Check, is_ready, main, shell
from tests.integration.semantics.world import World
from tests.waiting import eventually
from tools.lab import Containerd, ControlPlane, Registry

SHARED = {"shareProcessNamespace": True}
SLEEP = ["sleep", "1000000"]
SEES = "until grep -qs m[a]rker /proc/[0-9]*/cmdline; do sleep 0.05; done; echo seen"


def two(registry: Registry, first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """Containers `main` and `side`."""
    image = f"{registry.host}/busybox:1"
    return [{"name": "main", "image": image, **first}, {"name": "side", "image": image, **second}]


def both(obj: Object) -> bool:
    """Both containers run, for the first time."""
    return ready(obj) and obj["status"]["ready"] == "2/2" and obj["status"]["restarts"] == 0


def statuses(*wanted: tuple[str, int]) -> Check:
    """Ready, with these restarts by container."""

    def true(obj: Object) -> bool:
        found = [(c["name"], c["restartCount"]) for c in obj["status"]["containers"]]
        return ready(obj) and found == list(wanted)

    return true


def pairs(registry: Registry) -> dict[str, Case]:
    """Instances of two containers."""
    marked = shell("exec sh -c 'while true; do sleep 1; done' marker")
    return {
        "sees": Case(
            "Processes of the other container are visible.",
            {},
            both,
            SHARED | {"containers": two(registry, marked, shell(f"{SEES}; exec sleep 1000000"))},
        ),
        "signals": Case(
            "One container may signal the other's process, which is restarted as after any end.",
            {},
            lambda obj: ready(obj) and [c["restartCount"] for c in obj["status"]["containers"]] == [1, 0],
            SHARED
            | {
                "containers": two(
                    registry,
                    shell("exec sh -c 'while true; do sleep 1; done' marker"),
                    shell(
                        "while sleep 0.05; do for f in /proc/[0-9]*; do "
                        "grep -qs m[a]rker $f/cmdline && kill ${f#/proc/} && exec sleep 1000000; done; done"
                    ),
                )
            },
        ),
        "files": Case(
            "The other container's files are reached by /proc/PID/root, as its permissions allow.",
            {},
            both,
            SHARED
            | {
                "containers": two(
                    registry,
                    shell("echo hello >/tmp/word; exec sh -c 'while true; do sleep 1; done' marker"),
                    shell(
                        "while sleep 0.05; do for f in /proc/[0-9]*; do "
                        "grep -qs m[a]rker $f/cmdline && cat $f/root/tmp/word && exec sleep 1000000; done; done"
                    ),
                )
            },
        ),
        "apart": Case(
            "Without it each container has process ids of its own.",
            {},
            both,
            {"containers": two(registry, shell("echo $$$$; exec sleep 1000000"), shell("echo $$$$; exec sleep 1000000"))},
        ),
        "outlive": Case(
            "The ids outlive the container that started first.",
            {},
            both,
            SHARED | {"containers": two(registry, {"command": SLEEP}, {"command": SLEEP})},
        ),
        "held": Case(
            "When the first process is killed, all are, and come back.",
            {},
            both,
            SHARED | {"containers": two(registry, {"command": SLEEP}, {"command": SLEEP})},
        ),
        "changed": Case(
            "A change replaces the containers.", {}, both, {"containers": two(registry, {"command": SLEEP}, {"command": SLEEP})}
        ),
    }


SINGLE = {
    "pause": Case(
        "The first process is none of the containers', as a pod's.",
        shell("cat /proc/1/comm; echo $$$$; exec sleep 1000000"),
        is_ready,
        SHARED,
    ),
    "done": Case(
        "An instance that has run to its end has ended, whatever holds its ids.",
        {"command": ["true"]},
        lambda obj: obj["status"]["phase"] == "Succeeded" and obj["status"]["ready"] == "0/1",
        SHARED | {"restartPolicy": "Never"},
    ),
}


@pytest.fixture(scope="module")
def cases(registry: Registry) -> dict[str, Case]:
    """All."""
    return {**SINGLE, **pairs(registry)}


@pytest.fixture(scope="module")
def world(
    plane: ControlPlane,
    containerd: Containerd,
    registry: Registry,
    cases: dict[str, Case],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """An installation with all instances; at the end nothing may be left, no holder either."""
    site = Site(plane, containerd, registry, tmp_path_factory.mktemp("pids") / "s", "pids")
    with started(site):
        found = World(site)
        found.apply(cases)
        yield found


NAMES = (*SINGLE, "sees", "signals", "files", "apart")


@pytest.mark.parametrize("name", NAMES)
def test_case(world: World, cases: dict[str, Case], name: str) -> None:
    """Each leads to the state of the world that its sentence says."""
    world.holds(name, cases[name])


def test_what_containers_see(world: World, cases: dict[str, Case]) -> None:
    """In their own words."""
    world.until_said("pause", "pause")
    assert int(world.said("pause")[1]) > 1
    world.until_said("sees", "seen", "side")
    world.until_said("files", "hello", "side")
    world.until_said("apart", "1")
    world.until_said("apart", "1", "side")


def test_only_containers_of_the_spec_are_told(world: World, cases: dict[str, Case]) -> None:
    """What holds the ids is in no status, and the node's own commands do not show it."""
    obj = world.until("pause", is_ready)
    assert [c["name"] for c in obj["status"]["containers"]] == ["main"]
    assert main(obj)["restartCount"] == 0


def namespace(pid: int) -> str:
    """The PID namespace of a process."""
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def pid(world: World, name: str, container: str) -> int:
    """Process id of a container."""
    (found,) = (pid for key, pid in world.site.containers().items() if key.startswith(f"{name}-{container}-"))
    return found


def test_over_ends_and_a_restart_of_the_agent(world: World, cases: dict[str, Case]) -> None:
    """The first container is killed, the agent starts anew, the second is killed: the ids stay the same."""
    world.until("outlive", cases["outlive"].then)
    before = namespace(pid(world, "outlive", "side"))
    os.kill(pid(world, "outlive", "main"), signal.SIGKILL)
    world.until("outlive", statuses(("main", 1), ("side", 0)))
    assert namespace(pid(world, "outlive", "main")) == before
    world.site.agent.stop()
    world.site.agent.start()
    os.kill(pid(world, "outlive", "side"), signal.SIGKILL)
    world.until("outlive", statuses(("main", 1), ("side", 1)))
    assert namespace(pid(world, "outlive", "side")) == before


def test_when_the_first_process_is_killed(world: World, cases: dict[str, Case]) -> None:
    """The kernel ends all of them; they are restarted with new ids, which they share again."""
    world.until("held", cases["held"].then)
    before = namespace(pid(world, "held", "main"))
    (holder,) = (p for key, p in world.site.containers().items() if key.endswith(".pause") and namespace(p) == before)
    os.kill(holder, signal.SIGKILL)
    world.until("held", statuses(("main", 1), ("side", 1)))
    assert not Path(f"/proc/{holder}").exists()
    (after,) = {namespace(pid(world, "held", name)) for name in ("main", "side")}
    assert [p for key, p in world.site.containers().items() if key.endswith(".pause") and namespace(p) == after] != [holder]


def test_a_change_replaces_the_containers(world: World, cases: dict[str, Case]) -> None:
    """Into shared ids, and out of them again; then nothing holds any."""
    case = cases["changed"]
    world.until("changed", case.then)
    world.apply({"changed": Case("", {}, both, case.spec | SHARED)})
    world.until("changed", statuses(("main", 1), ("side", 1)))
    assert len({namespace(pid(world, "changed", name)) for name in ("main", "side")}) == 1
    uid = world.until("changed", ready)["metadata"]["uid"]
    assert f"{uid}.pause" in world.site.containers()
    world.apply({"changed": case})
    world.until("changed", statuses(("main", 2), ("side", 2)))
    assert len({namespace(pid(world, "changed", name)) for name in ("main", "side")}) == 2
    # It goes with the last record that names it, which is removed when those that came after run.
    assert f"{uid}.pause" not in eventually(world.site.containers, lambda found: f"{uid}.pause" not in found)
