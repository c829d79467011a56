"""What the informer brings, and what the cleanup pass does with what nobody wants."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.agent import metrics
from controller.agent.cleanup import PASS_SECONDS
from controller.api import labels
from controller.api.podsecurity.levels import BASELINE
from controller.kube.resources import INSTANCES
from controller.network.port import NetworkState
from controller.runtime.memory import MemoryRuntime
from controller.runtime.port import ContainerConfig, Unavailable
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import container, instance_object


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def removed(kind: str) -> float:
    """What the metric says that was cleaned up."""
    return next(
        s.value
        for m in metrics.LEFTOVERS.collect()
        for s in m.samples
        if s.labels.get("kind") == kind and s.name.endswith("_total")
    )


@pytest.fixture(name="metric", autouse=True)
def _metric() -> None:
    """The metric counts from here."""
    metrics.LEFTOVERS.clear()
    metrics.LEFTOVERS.labels("container")
    metrics.LEFTOVERS.labels("log")
    metrics.LEFTOVERS.labels("network")


async def leave(rig: Rig, uid: str, name: str = "leftover") -> None:
    """A container and logs of an instance that nobody knows."""
    await rig.runtime.pull(IMAGE)
    await MemoryRuntime(rig.node).create(ContainerConfig(name, IMAGE, ("app",), {labels.INSTANCE_UID: uid}))
    await rig.runtime.start(name)
    await rig.view.refresh(name)
    (rig.folder / "logs" / f"ns_x_{uid}" / "main").mkdir(parents=True)


async def passes(rig: Rig, count: int) -> None:
    """Let the cleanup look so often."""
    for _ in range(count):
        await rig.cleanup.once()


async def test_what_no_instance_wants_is_removed_when_it_is_found_twice(rig: Rig) -> None:
    """Container and logs, each counted; not at the first sight, since an instance may be on its way."""
    await rig.view.listed.wait()
    await leave(rig, "nobody")
    await passes(rig, 1)
    assert "leftover" in rig.node.containers
    await passes(rig, 1)
    assert rig.node.containers == {}
    assert list((rig.folder / "logs").iterdir()) == []
    assert (removed("container"), removed("log")) == (1, 1)
    await passes(rig, 3)
    assert (removed("container"), removed("log")) == (1, 1)


async def test_a_network_that_no_instance_wants_is_removed_when_it_is_found_twice(rig: Rig) -> None:
    """Counted; the one of an instance stays, and so does one with a container in it; a failure is tried again."""
    rig.apply(hostNetwork=False, network="None")
    await rig.settle()
    await leave(rig, "nobody")
    rig.networks.there |= {"nobody": NetworkState.READY, "crashed": NetworkState.BROKEN}
    await passes(rig, 1)
    assert set(rig.networks.there) == {"uid-of-web", "nobody", "crashed"}
    rig.networks.failures.append("busy")
    await passes(rig, 1)
    assert "crashed" in rig.networks.there
    await passes(rig, 3)
    assert set(rig.networks.there) == {"uid-of-web"}
    assert removed("network") == 2


async def test_what_is_wanted_is_left_alone(rig: Rig) -> None:
    """A healthy node has nothing to clean, for days."""
    rig.apply()
    await rig.settle()
    await passes(rig, 5)
    assert rig.running() is not None
    assert (removed("container"), removed("log")) == (0, 0)


async def test_what_becomes_wanted_in_between_is_left_alone(rig: Rig) -> None:
    """Found once, then its instance comes."""
    await rig.view.listed.wait()
    await leave(rig, "uid-of-web")
    await passes(rig, 1)
    rig.store.put(instance_object(container(image=IMAGE), uid="uid-of-web"))
    await passes(rig, 3)
    assert removed("container") == 0


async def test_nothing_is_removed_before_the_api_server_has_said_what_there_is(tmp_path: Path) -> None:
    """A state folder was lost, the API server is away: the containers run on."""
    rig = Rig(tmp_path)
    rig.api.down = True
    await rig.start()
    await rig.view.listed.wait()
    await leave(rig, "unknown")
    with pytest.raises(AssertionError):
        await until(lambda: not rig.node.containers, 10 * PASS_SECONDS)
    rig.api.down = False
    rig.relist()
    await until(lambda: not rig.node.containers, 3 * PASS_SECONDS)
    await rig.kill()


async def test_what_the_api_server_has_and_we_do_not_understand_is_left_alone(rig: Rig) -> None:
    """An instance of a newer version, or one that the watch has not brought yet: its containers are not ours to remove."""
    await rig.view.listed.wait()
    await leave(rig, "uid-of-new")
    rig.api.apply(instance_object({"name": "newer"}, name="new", uid="uid-of-new"))
    await until(lambda: rig.api.instance("new"))
    rig.relist()
    assert "uid-of-new" not in rig.store
    await passes(rig, 5)
    assert "leftover" in rig.node.containers
    rig.api.objects.clear()
    rig.relist()
    await passes(rig, 2)
    assert rig.node.containers == {}


async def test_nothing_is_removed_while_the_runtime_is_away(rig: Rig) -> None:
    """What is seen may be old."""
    await rig.view.listed.wait()
    await leave(rig, "nobody")
    rig.node.stop_answering()
    await until(lambda: rig.view.error)
    await passes(rig, 5)
    assert removed("container") == 0


async def test_a_removal_that_fails_is_repeated(rig: Rig) -> None:
    """And counted when it is done."""
    await rig.view.listed.wait()
    await leave(rig, "nobody")
    rig.runtime.troubles["remove"] = [Unavailable("busy")]
    await passes(rig, 2)
    assert (removed("container"), len(rig.node.containers)) == (0, 1)
    await passes(rig, 1)
    assert (removed("container"), len(rig.node.containers)) == (1, 0)


async def test_containers_of_others_are_not_looked_at(rig: Rig) -> None:
    """What carries no uid of ours was made by somebody else."""
    await rig.view.listed.wait()
    await leave(rig, "")
    await passes(rig, 5)
    assert "leftover" in rig.node.containers


async def test_an_object_that_is_not_understood_is_told_and_harms_nobody(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """It is left as it is, and no memory is kept for it."""
    rig.apply({"name": "no-image"}, name="odd")
    rig.apply(name="web")
    await rig.settle()
    assert "default/odd" in caplog.text
    assert set(rig.writer._entries) == {"uid-of-web"}


async def test_late_news_of_what_is_finished_cost_nothing(rig: Rig) -> None:
    """After the teardown of an instance nothing of it is kept, whatever still comes."""
    rig.apply()
    await rig.settle()
    obj = rig.api.instance()
    assert obj is not None
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    await until(lambda: not rig.supervisors)
    rig.operator.deliver(rig.watches[0], "MODIFIED", obj)
    rig.operator.deliver(rig.watches[0], "DELETED", obj)
    assert (rig.writer._entries, rig.supervisors) == ({}, {})


async def test_what_vanished_from_the_api_server_is_torn_down(rig: Rig) -> None:
    """The finalizer was removed by force: the watch says DELETED, and the node is cleaned."""
    rig.apply()
    await rig.settle()
    obj = rig.api.objects.pop((INSTANCES.plural, "default", "web"))
    rig.operator.deliver(rig.watches[0], "DELETED", obj)
    await until(lambda: not rig.node.containers)
    await until(lambda: not list(rig.store))


async def test_a_sync_ends_only_what_was_known_from_before(rig: Rig) -> None:
    """An instance that came by the watch while the list was on its way is not taken for gone."""
    rig.apply()
    await rig.settle()
    rig.operator.synced(rig.watches[0], frozenset())
    await rig.cleanup.once()
    await rig.cleanup.once()
    assert rig.running() is not None
    rig.operator.synced(rig.watches[1], frozenset())


async def test_a_deleted_node_object_is_registered_again(rig: Rig) -> None:
    """The watch on the own RuntimeNode tells it to the heartbeat."""
    rig.operator.deliver(rig.watches[1], "ADDED", {"metadata": {"generation": 3}})
    assert rig.heartbeat._generation == 3
    rig.heartbeat._sent = {}
    rig.operator.deliver(rig.watches[1], "DELETED", {"metadata": {"generation": 3}})
    assert rig.heartbeat._sent is None


async def test_files_of_nobody_are_removed_and_counted(rig: Rig) -> None:
    """Found twice, a pass apart; those of an instance that is wanted stay."""
    rig.apply()
    await rig.settle()
    lost = rig.folder / "files" / "nobody"
    lost.mkdir()
    before = metrics.LEFTOVERS.labels("files")._value.get()
    await passes(rig, 1)
    assert lost.exists()
    await passes(rig, 1)
    assert rig.files.uids() == {"uid-of-web"}
    assert metrics.LEFTOVERS.labels("files")._value.get() == before + 1


async def test_namespaces_that_went_while_nobody_watched_are_forgotten(rig: Rig) -> None:
    """Once all that exist have been brought; one that came after the list was made is not among it, and stays."""
    watch = rig.watches[2]
    rig.label("baseline")
    rig.operator.deliver(watch, "ADDED", {"metadata": {"name": "old", "uid": "old"}})
    await until(lambda: "old" in (rig.folder / "levels.json").read_text())
    await rig.restart()
    rig.operator.synced(watch, frozenset({"default", "other"}))
    assert rig.levels.level("old") == BASELINE, "the watch is not as far as the list"
    rig.operator.deliver(watch, "ADDED", {"metadata": {"name": "other", "uid": "other"}})
    rig.operator.deliver(watch, "ADDED", {"metadata": {"name": "new", "uid": "new"}})
    rig.operator.synced(watch, frozenset({"default", "other"}))
    assert [rig.levels.level(name) is not None for name in ("default", "old", "other", "new")] == [True, False, True, True]
    await until(lambda: "old" not in (rig.folder / "levels.json").read_text())
