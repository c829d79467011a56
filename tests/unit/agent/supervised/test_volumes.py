"""What volumes lead to, from the spec to the status, and that they go with their instance."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.agent import metrics
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import container

VOLUMES = [{"name": "data", "emptyDir": {}}]
UID = "uid-of-web"


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def mounting(**mount: Any) -> dict[str, Any]:
    """A container that mounts the volume."""
    return container(image=IMAGE, volumeMounts=[{"name": "data", "mountPath": "/d", **mount}])


def told(rig: Rig) -> str:
    """Message of the Ready condition."""
    return str(((rig.api.instance() or {}).get("status", {}).get("conditions") or [{"message": ""}])[0]["message"])


async def test_volumes_come_before_containers_and_go_after_them(rig: Rig) -> None:
    """They stay over a restart of agent and container; the object is gone when they are."""
    rig.apply(mounting(subPath="a"), volumes=VOLUMES)
    await rig.settle()
    (volume,) = rig.volumes.there[UID]
    assert [p.sub_path for p in rig.volumes.prepared] == ["a"]
    (made,) = rig.node.containers.values()
    assert made.config.mounts[-1].source.endswith(f"{UID}/subpaths/main/0")
    await rig.restart()
    rig.node.crash(made.state.id)
    await until(lambda: len(rig.runtime.started) == 2)
    assert rig.volumes.there == {UID: {volume}}
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    assert rig.volumes.there == {}
    assert rig.volumes.uids() == frozenset()


async def test_volumes_are_made_once_and_removed_once(rig: Rig) -> None:
    """Each costs a thread, and a failure that is counted twice makes the pause before the next try longer than it should be."""
    rig.apply(mounting(), volumes=VOLUMES)
    await rig.settle()
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    assert rig.volumes.asked == ["make", "remove"]


async def test_a_volume_that_cannot_be_made_is_told_and_tried_again(rig: Rig) -> None:
    """Its reason and words in status and Event; no container is made meanwhile."""
    rig.volumes.failures = ["hostPath type check failed: /srv is not a directory"] * 4
    rig.apply(mounting(), volumes=VOLUMES)
    await rig.settle("FailedMount")
    assert 'MountVolume.SetUp failed for volume "data" : hostPath type check failed: /srv is not a directory' in told(rig)
    assert rig.containers() == []
    await rig.settle()
    assert rig.running() is not None


async def test_a_volume_that_cannot_be_removed_keeps_the_object(rig: Rig) -> None:
    """It is tried again until nothing is left."""
    rig.apply(mounting(), volumes=VOLUMES)
    await rig.settle()
    rig.volumes.failures = ["busy"] * 4
    rig.api.delete("web")
    await until(lambda: len(rig.volumes.failures) < 4)
    assert rig.api.instance() is not None
    assert rig.node.containers == {}
    await until(lambda: rig.api.instance() is None)
    assert rig.volumes.there == {}


async def test_an_image_volume_is_pulled_and_held(rig: Rig) -> None:
    """Once, whatever the policy; the container's own image is another matter."""
    rig.apply(mounting(), volumes=[{"name": "data", "image": {"reference": IMAGE, "pullPolicy": "Always"}}])
    await rig.settle()
    (id_,) = rig.volumes.there[UID]
    assert id_.startswith("image~data~")


async def test_volumes_of_nobody_are_removed_and_counted(rig: Rig) -> None:
    """Found twice, a pass apart; those of an instance that is wanted stay."""
    rig.apply(mounting(), volumes=VOLUMES)
    await rig.settle()
    rig.volumes.there["nobody"] = {"emptyDir~x~00000000"}
    rig.volumes.states["nobody"] = {"emptyDir~x~00000000": ""}
    before = metrics.LEFTOVERS.labels("volumes")._value.get()
    await rig.cleanup.once()
    assert "nobody" in rig.volumes.there
    rig.volumes.failures = ["busy"]
    await rig.cleanup.once()
    assert "nobody" in rig.volumes.there
    await rig.cleanup.once()
    assert rig.volumes.there.keys() == {UID}
    assert metrics.LEFTOVERS.labels("volumes")._value.get() == before + 1
