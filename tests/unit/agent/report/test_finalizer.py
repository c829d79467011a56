"""The agent's finalizer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from controller.agent.decide.observation import Desired
from controller.agent.report.finalizer import Finalizer
from controller.api.instance import ContainerInstance
from controller.api.labels import FINALIZER
from controller.kube.errors import ApiForbidden
from tests.unit.agent.api import Api, Object
from tests.unit.agent.values import instance_object


class Rig:
    """An instance in the API, and what the store has of it."""

    def __init__(self, *finalizers: str) -> None:
        self.api = Api()
        self.known: Object = self.api.apply(instance_object(meta={"finalizers": list(finalizers)}))
        client: Any = self.api
        self.finalizer = Finalizer(client, self.take)

    def take(self, obj: Object) -> None:
        """The store takes it in."""
        self.known = obj

    @property
    def desired(self) -> Desired:
        """As the store has it."""
        return Desired(ContainerInstance.model_validate(self.known))

    @property
    def finalizers(self) -> list[str]:
        """In the API."""
        return list((self.api.instance() or {})["metadata"]["finalizers"])

    def touch(self, **meta: Any) -> None:
        """Somebody else writes."""
        self.api._store(("containerinstances", "default", "web"), _resource(), "MODIFIED", _with(self.api.instance(), meta))


def _resource() -> Any:
    return None


def _with(obj: Object | None, meta: Object) -> Object:
    assert obj is not None
    return {**obj, "metadata": {**obj["metadata"], **meta}}


async def test_one_that_is_set_costs_nothing() -> None:
    """The manager creates instances with it."""
    rig = Rig("other/x", FINALIZER)
    rig.finalizer.ensure(rig.desired)
    await asyncio.sleep(1)
    assert rig.api.writes == []


async def test_it_is_added_to_those_of_others_once() -> None:
    """However often it is asked for; and the answer is taken in."""
    rig = Rig("other/x")
    rig.api.slow = 1
    for _ in range(3):
        rig.finalizer.ensure(rig.desired)
    await asyncio.sleep(2)
    assert rig.finalizers == ["other/x", FINALIZER]
    assert list(rig.desired.instance.metadata.finalizers) == ["other/x", FINALIZER]
    rig.finalizer.ensure(rig.desired)
    await asyncio.sleep(2)
    assert len(rig.api.writes) == 1


@pytest.mark.parametrize("happens", ["an outage", "a refusal"])
async def test_setting_it_is_never_in_the_way(happens: str) -> None:
    """It is tried until it is done."""
    rig = Rig()
    rig.api.down = happens == "an outage"
    rig.api.refusal = ApiForbidden("no") if happens == "a refusal" else None
    rig.finalizer.ensure(rig.desired)
    await asyncio.sleep(1)
    rig.api.down, rig.api.refusal = False, None
    await asyncio.sleep(2)
    assert rig.finalizers == [FINALIZER]


async def test_a_write_in_between_is_not_undone() -> None:
    """Finalizers are a list: written only onto the version that was read, else looked at again."""
    rig = Rig()
    rig.touch(finalizers=["new/one"])
    rig.finalizer.ensure(rig.desired)
    await asyncio.sleep(2)
    assert rig.finalizers == ["new/one", FINALIZER]
    assert list(rig.desired.instance.metadata.finalizers) == ["new/one", FINALIZER]


async def test_it_is_removed_and_the_others_stay() -> None:
    """Only ours."""
    rig = Rig(FINALIZER, "other/x")
    assert await rig.finalizer.remove(rig.desired)
    assert rig.finalizers == ["other/x"]


async def test_removing_survives_a_write_in_between() -> None:
    """Said to be not done, and done the next time."""
    rig = Rig(FINALIZER)
    rig.touch(finalizers=[FINALIZER, "new/one"])
    assert not await rig.finalizer.remove(rig.desired)
    assert await rig.finalizer.remove(rig.desired)
    assert rig.finalizers == ["new/one"]


async def test_removing_waits_for_an_api_server_that_is_away() -> None:
    """Not done is said, not raised."""
    rig = Rig(FINALIZER)
    rig.api.down = True
    assert not await rig.finalizer.remove(rig.desired)
    rig.api.down = False
    assert await rig.finalizer.remove(rig.desired)


async def test_a_refused_removal_is_told_and_repeated(caplog: pytest.LogCaptureFixture) -> None:
    """An administrator has to know why an object stays."""
    rig = Rig(FINALIZER)
    rig.api.refusal = ApiForbidden("a rule says no")
    assert not await rig.finalizer.remove(rig.desired)
    assert "a rule says no" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda rig: rig.api.objects.clear(),
        lambda rig: rig.take(_with(rig.known, {"finalizers": []})),
    ],
    ids=["the object is gone", "somebody removed it"],
)
async def test_what_is_already_so_is_done(change: Callable[[Rig], None]) -> None:
    """Nothing to remove is success."""
    rig = Rig(FINALIZER)
    change(rig)
    assert await rig.finalizer.remove(rig.desired)


async def test_a_namesake_keeps_its_finalizer() -> None:
    """Another object of the same name is not touched, nor taken for ours."""
    rig = Rig(FINALIZER)
    rig.touch(uid="another")
    before = rig.known
    assert not await rig.finalizer.remove(rig.desired)
    assert rig.finalizers == [FINALIZER]
    assert rig.known == before
    gone = Desired(rig.desired.instance, gone=True)
    assert await rig.finalizer.remove(gone), "the watch tells that ours is gone"
    assert rig.finalizers == [FINALIZER]
