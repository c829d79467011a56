"""ConfigMaps and Secrets that an instance names, from the spec to the status."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.agent.sources.port import Absent, Unread
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.sources import config_map, found, secret
from tests.unit.agent.values import container

PASSWORD, SETTINGS = secret(), config_map()


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def names(kind: str = "secret", name: str = "password", **more: Any) -> dict[str, Any]:
    """A container whose variable A is the key `k` of an object."""
    return container(image=IMAGE, env=[{"name": "A", "valueFrom": {f"{kind}KeyRef": {"name": name, "key": "k", **more}}}])


def environment(rig: Rig) -> dict[str, str]:
    """That of the container that runs."""
    state = rig.running()
    assert state is not None
    return dict(rig.node.containers[state.id].config.env)


def condition(rig: Rig) -> dict[str, str]:
    """The instance's Ready condition."""
    found: dict[str, str] = (rig.api.instance() or {})["status"]["conditions"][0]
    return found


def events(rig: Rig) -> list[str]:
    """Reasons and messages of the Events."""
    return [f"{o['reason']}: {o['message']}" for (plural, _, _), o in rig.api.objects.items() if plural == "events"]


async def test_what_is_missing_is_told_and_waited_for(rig: Rig) -> None:
    """In Kubernetes' words, in status and Event; not stalled, since it goes on as soon as it is there."""
    rig.apply(names())
    await rig.settle("CreateContainerConfigError")
    assert condition(rig)["message"] == "container 'main': secret \"password\" not found"
    assert condition(rig)["status"] == "Unknown"
    await until(lambda: any(e == "Failed: container 'main': secret \"password\" not found" for e in events(rig)))
    rig.sources.change(PASSWORD, found(other="x"))
    await until(lambda: "couldn't find key k in Secret default/password" in condition(rig)["message"])
    await until(lambda: any("couldn't find key" in e for e in events(rig)))
    rig.sources.change(PASSWORD, found(k="hidden"))
    await rig.settle()
    assert environment(rig)["A"] == "hidden"
    assert len([e for e in events(rig) if e.startswith("Failed")]) == 2


async def test_values_are_those_of_the_start(rig: Rig) -> None:
    """A change restarts nothing; the next start takes it."""
    rig.objects[PASSWORD] = found(k="1")
    rig.apply(names())
    await rig.settle()
    before = rig.running()
    rig.sources.change(PASSWORD, found(k="2"))
    await until(lambda: True)
    assert rig.running() == before
    assert environment(rig)["A"] == "1"
    assert before is not None
    rig.node.crash(before.id, 1)
    await until(lambda: (now := rig.running()) is not None and now.id != before.id)
    assert environment(rig)["A"] == "2"


async def test_what_runs_goes_on_when_its_new_spec_names_what_is_missing(rig: Rig) -> None:
    """It is swapped when what it names has come."""
    rig.apply()
    await rig.settle()
    before = rig.running()
    rig.apply(names("configMap", "settings"))
    await rig.settle("CreateContainerConfigError")
    assert rig.running() == before
    rig.sources.change(SETTINGS, found(k="v"))
    await rig.settle()
    assert rig.running() != before
    assert environment(rig)["A"] == "v"


async def test_what_is_just_being_read_is_not_told(rig: Rig) -> None:
    """It is a matter of moments; that it cannot be read is told, with what is in the way."""
    rig.objects[PASSWORD] = Unread()
    rig.apply(names(optional=True))
    await until(lambda: rig.sources.followed)
    assert rig.running() is None
    assert rig.reason() == ""
    rig.sources.change(PASSWORD, Unread('secret "password" cannot be read: it is away'))
    await rig.settle("CreateContainerConfigError")
    assert "it is away" in condition(rig)["message"]
    rig.sources.change(PASSWORD, Absent())
    await rig.settle()
    assert "A" not in environment(rig)


async def test_it_is_followed_for_as_long_as_an_instance_names_it(rig: Rig) -> None:
    """From the first look until the spec names something else, or the instance goes."""
    rig.objects |= {PASSWORD: found(k="1"), SETTINGS: found(k="1")}
    uid = rig.apply(names())
    await rig.settle()
    assert rig.sources.followed == {uid: {PASSWORD}}
    rig.apply(names("configMap", "settings"))
    await until(lambda: rig.sources.followed == {uid: {SETTINGS}})
    rig.apply(names("configMap", "settings"), suspend=True)
    await rig.settle("Suspended")
    assert rig.sources.followed == {uid: {SETTINGS}}
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    assert rig.sources.followed == {}


async def test_a_value_is_in_nothing_that_is_told_or_kept(rig: Rig) -> None:
    """Neither in the API's objects, nor in labels, nor in files."""
    rig.objects[PASSWORD] = found(k="hidden")
    rig.apply(names())
    await rig.settle()
    assert environment(rig)["A"] == "hidden"
    assert "hidden" not in repr(rig.api.objects) + repr(rig.api.bodies)
    assert "hidden" not in repr([c.labels for c in rig.containers()])
    assert not [p for p in rig.folder.rglob("*") if p.is_file() and b"hidden" in p.read_bytes()]
