"""emptyDir and hostPath volumes, and how containers mount them: a table of cases, side by side on one node.

Source of the rules: kubernetes.io, "Volumes" (emptyDir, hostPath, subPath, mount propagation, read-only mounts), "Configure a
Security Context for a Pod or Container" (fsGroup); core/v1 `HostPathType` and `VolumeMount`.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.harness import Object, Objects, ready, workload
from tests.integration.semantics.cases import Case, is_ready, main, restarted, shell
from tests.integration.semantics.volumes.cases import EMPTY, LIMITED, MEMORY, at, empty_dirs, host_paths, mounts, sub_paths
from tests.integration.semantics.volumes.host import SECRET, mount_late, mounted
from tests.integration.semantics.volumes.images import images
from tests.integration.semantics.world import COLLECTION, SECONDS, World
from tests.waiting import eventually
from tools.lab import Registry

NODE = "volumes-1"
"""The node's name, and so that of its cgroups."""


def table(folder: Path, registry: Any) -> dict[str, Case]:
    """All cases; `folder` is the node's, `registry` has a `host`."""
    return empty_dirs(folder) | host_paths(folder) | mounts(folder) | sub_paths(folder) | images(registry)


NAMES = tuple(table(Path("/"), SimpleNamespace(host="")))


@pytest.fixture(scope="module", name="cases")
def _cases(world: World, folder: Path, registry: Registry) -> dict[str, Case]:
    """They are all applied at once; then what some of them wait for is done."""
    (folder / "links").mkdir()
    (folder / "links" / "absolute").symlink_to(folder)
    (folder / "links" / "upwards").symlink_to("../../../../../../../../../..")
    cases = table(folder, registry)
    world.apply(cases)
    world.site.apply(filling(world, folder))
    world.until("late", is_running)
    mount_late(folder)
    world.told("later", ("FailedMount: ",))
    (folder / "later").mkdir()
    world.told("beyond", cases["beyond"].events)  # an agent that a test kills by then would have told nobody
    eventually(lambda: evicted(world), bool, SECONDS)
    return cases


def evicted(world: World) -> set[str]:
    """Uids of the workload's instances that were evicted, as Events tell."""
    events = world.site.api.get("/api/v1/namespaces/default/events")["items"]
    about = [e["involvedObject"] for e in events if e["reason"] == "Evicted"]
    return {o["uid"] for o in about if o["name"].startswith("filling-")}


@pytest.mark.parametrize("name", NAMES)
def test_case(world: World, cases: dict[str, Case], name: str) -> None:
    """The instance comes to be as its case says."""
    world.holds(name, cases[name])


def test_the_node_is_as_before(world: World, cases: dict[str, Case], folder: Path) -> None:
    """Nothing was made, mounted or changed outside of the volumes but what the cases ask for."""
    for name, case in cases.items():
        world.holds(name, case)
    assert (folder / "secret").read_text() == SECRET
    assert not (folder / "inner").exists()
    assert not (folder / "made" / "here").exists()
    assert not Path("/inner").exists()
    assert not Path("/srv/inner").exists()
    assert not Path("/srv/other").exists()
    assert f"{folder}/shared/made" in mounted(folder)
    assert {p.name for p in (folder / "inside").iterdir()} == {"file", "folder", "to-root", "to-secret", "upwards", "within"}


def test_a_volume_outlives_containers_agents_and_updates(world: World) -> None:
    """What is in an emptyDir stays over a restart of the container, of the agent, and over an update of one that mounts it."""
    count = shell("echo run >> /d/log; echo run >> /m/log; [ $(wc -l < /d/log) -gt 1 ] || exit 1; exec sleep 1000000")
    mounted_at, volumes = [at("/d"), at("/m", "memory")], named(data=EMPTY, memory=MEMORY)
    world.apply({"kept": Case("", count | {"volumeMounts": mounted_at}, is_ready, {"volumes": volumes})})
    world.until("kept", lambda o: restarted(1, exitCode=1)(o) and is_running(o))
    world.site.agent.kill()
    world.site.agent.start()
    more = count | {"volumeMounts": [*mounted_at, at("/more", "more")]}
    world.apply({"kept": Case("", more, is_ready, {"volumes": [*volumes, *named(more=EMPTY)]})})
    world.until("kept", lambda o: restarted(2)(o) and is_running(o))
    for path in ("d", "m"):
        assert Path(f"/proc/{world.pid('kept')}/root/{path}/log").read_text() == "run\n" * 3


def filling(world: World, folder: Path) -> Object:
    """A workload that outgrows the limit of its volume, but for the second time that it is there."""
    text = f'[ -z "$(ls -A /d)" ] || exit 9; ls /host/filled || head -c {2 << 20} /dev/zero > /d/f; touch /host/filled'
    mounts = [at("/d"), at("/host", "host")]
    volumes = named(data=LIMITED, host={"hostPath": {"path": str(folder / "filling"), "type": "DirectoryOrCreate"}})
    container = shell(f"{text}; exec sleep 1000000") | {"volumeMounts": mounts}
    spec = {"volumes": volumes, "hostNetwork": False, "network": "None", "backoff": {"maxSeconds": 1}}
    return workload("filling", world.site.registry, container=container, instance=spec)


def test_of_a_workload_another_one_comes_for_one_that_is_evicted(world: World, cases: dict[str, Case]) -> None:
    """With empty volumes; what was in the old ones is gone from the node. The workload is never Stalled."""
    assert cases

    def another(found: Objects) -> bool:
        """Whether there is one that is Ready, and is none of them."""
        mine = [o for name, o in found.items() if name.startswith("filling-")]
        return len(mine) == 1 and ready(mine[0]) and mine[0]["metadata"]["uid"] not in evicted(world)

    (old,) = evicted(world)
    found = world.site.instances(another, SECONDS)
    new = next(o["metadata"]["uid"] for name, o in found.items() if name.startswith("filling-"))
    volumes = world.site.state / "agent" / "volumes"
    assert not (volumes / old).exists()
    (volume,) = (path for path in (volumes / new).glob("emptyDir~data~*") if path.is_dir())
    assert not list(volume.iterdir())
    world.site.workloads(lambda o: ready(o["filling"]), SECONDS)
    world.until("within", is_ready)


def test_only_containers_that_mount_a_changed_volume_are_replaced(world: World) -> None:
    """Two share a volume; a volume that enters the spec, and its mount in one of them, leave the other alone."""
    image = f"{world.site.registry.host}/busybox:1"
    one = {"name": "main", "image": image, **shell("echo x > /d/f; exec sleep 1000000"), "volumeMounts": [at("/d")]}
    two = {"name": "side", "image": image, **shell("until [ -e /e/f ]; do sleep 0.05; done; exec sleep 1000000")}
    both, more = [at("/e")], [at("/e"), at("/more", "more")]
    spec = {"containers": [one, two | {"volumeMounts": both}], "volumes": named(data=EMPTY)}
    world.apply({"shared": Case("", {}, is_ready, spec)})
    world.until("shared", lambda o: o.get("status", {}).get("ready") == "2/2")
    before = world.pid("shared")
    wider = {"containers": [one, two | {"volumeMounts": more}], "volumes": named(data=EMPTY, more=EMPTY)}
    world.apply({"shared": Case("", {}, is_ready, wider)})
    world.until("shared", lambda o: o["status"]["restarts"] == 1 and o["status"]["ready"] == "2/2")
    folder = world.site.state / "agent" / "volumes" / uid(world, "shared")
    assert list(folder.glob("emptyDir~more~*"))
    world.apply({"shared": Case("", {}, is_ready, spec)})
    world.until("shared", lambda o: o["status"]["restarts"] == 2 and o["status"]["ready"] == "2/2")
    assert not eventually(lambda: list(folder.glob("emptyDir~more~*")), lambda left: not left, 10)
    assert world.pid("shared") == before


def test_nothing_is_left_when_an_agent_is_killed_while_it_makes_and_removes(world: World) -> None:
    """Whenever it is killed: what it had begun is gone on with, and with the instance its folders and mounts go."""
    volumes = [{"name": f"m{i}", **MEMORY} for i in range(8)]
    many = {"volumeMounts": [at(f"/m{i}", f"m{i}", subPath="a") for i in range(8)]}
    world.apply({"many": Case("", many, is_ready, {"volumes": volumes})})
    folder = world.site.state / "agent" / "volumes" / uid(world, "many")
    eventually(folder.exists, lambda there: there, 10)
    world.site.agent.kill()
    world.site.agent.start()
    world.until("many", is_running)
    assert len(mounted(folder)) == 18  # with IPC and /dev/shm
    world.site.plane.kubectl("delete", "ci/many", "--wait=false")
    world.site.agent.kill()
    world.site.agent.start()
    world.delete("many")
    assert not folder.exists()
    assert not mounted(folder)


def named(**sources: Object) -> list[Object]:
    """Volumes by their names."""
    return [{"name": name, **source} for name, source in sources.items()]


def uid(world: World, name: str) -> str:
    """Of an instance."""
    return str(world.site.api.get(f"{COLLECTION}/{name}")["metadata"]["uid"])


def is_running(obj: Object) -> bool:
    """Its container runs."""
    return "running" in main(obj).get("state", {})
