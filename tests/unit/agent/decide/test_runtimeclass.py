"""RuntimeClasses on a node: by which handler an instance runs, and what becomes of it when there is none."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.agent.decide.hashing import spec_hash
from controller.agent.decide.observation import RuntimeChoice
from controller.agent.decide.runtimeclass import choose
from controller.agent.runtimeclasses import RuntimeClasses
from controller.api import labels
from controller.runtime.port import ContainerState, Phase
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import container, desired

HANDLERS = ("runc", "other")
CLASSES = {"fast": "other", "strange": "kata"}


def made(restarts: int, **own: str) -> ContainerState:
    """A container of an instance; `own` are its class and handler."""
    known = {"class_": labels.RUNTIME_CLASS, "handler": labels.RUNTIME_HANDLER}
    found = {known[key]: value for key, value in own.items()}
    return ContainerState(f"c{restarts}", Phase.EXITED, {labels.RESTART_COUNT: str(restarts), **found})


CASES: Mapping[str, tuple[str | None, tuple[ContainerState, ...], Mapping[str, str], bool, RuntimeChoice | str]] = {
    "no class: the node's default": (None, (), CLASSES, True, RuntimeChoice()),
    "a class whose handler the node has": ("fast", (), CLASSES, True, RuntimeChoice("other")),
    "a class known from disk, while the API server is away": ("fast", (), CLASSES, False, RuntimeChoice("other")),
    "a class that does not exist": ("none", (), CLASSES, True, "there is no RuntimeClass 'none'"),
    "a class that was not read yet": ("none", (), CLASSES, False, "was not read yet"),
    "a handler that the node does not have": ("strange", (), CLASSES, True, "(it has runc, other)"),
    "a class that is gone: as the containers there": (
        "fast",
        (made(0, class_="fast", handler="other"),),
        {},
        True,
        RuntimeChoice("other"),
    ),
    "a class that was made anew: the instance keeps its handler": (
        "fast",
        (made(0, class_="fast", handler="other"),),
        {"fast": "kata"},
        True,
        RuntimeChoice("other"),
    ),
    "containers of another class do not count": (
        "fast",
        (made(0, class_="slow", handler="runc"),),
        CLASSES,
        True,
        RuntimeChoice("other"),
    ),
    "the newest container says": (
        "fast",
        (made(3, class_="fast", handler="runc"), made(2, class_="fast", handler="other")),
        {},
        True,
        RuntimeChoice("runc"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_by_which_handler(case: str) -> None:
    """What does not exist is terminal; what was only not read yet is waited for."""
    name, there, classes, complete, expected = CASES[case]
    found = choose(name, there, classes, HANDLERS, complete=complete)
    if isinstance(expected, RuntimeChoice):
        assert found == expected
    else:
        assert expected in found.problem
        assert found.terminal == complete


def test_the_class_counts_for_the_hash_only_when_it_is_set() -> None:
    """A release that knows the field restarts nothing; another class replaces the containers."""

    def hashed(**spec: Any) -> str:
        found = desired(container(), **spec).instance.spec
        return spec_hash(found.containers[0], found)

    assert hashed() == "d6f1b453f6097fa0"
    assert len({hashed(), hashed(runtimeClassName="a"), hashed(runtimeClassName="b")}) == 3


def class_object(name: str, handler: str) -> dict[str, Any]:
    """A RuntimeClass as the API server gives it."""
    return {"metadata": {"name": name}, "handler": handler}


async def test_classes_outlive_the_agent(tmp_path: Path) -> None:
    """From disk they are known without an API server; what went meanwhile is forgotten when all that exists was read."""
    path = tmp_path / "c.json"
    before = RuntimeClasses(path, HANDLERS, lambda _: None)
    keeping = asyncio.create_task(before.keep_for_ever())
    before.put(class_object("a", "other"))
    before.put(class_object("b", "other"))
    await until(lambda: path.exists() and set(json.loads(path.read_text())) == {"a", "b"})
    keeping.cancel()
    told: list[str] = []
    after = RuntimeClasses(path, HANDLERS, told.append)
    after.load()
    assert after.choose("a", ()) == RuntimeChoice("other")
    assert not after.choose("c", ()).terminal
    after.put(class_object("a", "other"))
    after.complete()
    assert told == ["b", ""]
    assert after.choose("b", ()).terminal
    after.complete()
    assert told == ["b", ""]


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_file_is_no_end(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is told, and the API server still has the classes."""
    path = tmp_path / "c.json"
    path.write_text(content)
    found = RuntimeClasses(path, HANDLERS, lambda _: None)
    found.load()
    assert "cannot be used" in caplog.text
    assert "waiting" in found.choose("a", ()).problem


# --- a whole node half


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


async def test_an_instance_runs_by_its_class(rig: Rig) -> None:
    """The handler reaches the runtime, and is kept with the container."""
    rig.node.handlers = ("memory", "other")
    await rig.restart()
    rig.runtime_class("fast", "other")
    rig.apply(runtimeClassName="fast")
    await rig.settle()
    (made_one,) = rig.node.containers.values()
    assert made_one.config.runtime_handler == "other"
    assert made_one.state.labels[labels.RUNTIME_CLASS] == "fast"


async def test_an_unknown_class_is_told_and_mended_when_it_appears(rig: Rig) -> None:
    """Nothing is made, not even a network; Ready is False and Stalled is True; no change of the instance is needed."""
    rig.apply(hostNetwork=False, network="None", runtimeClassName="fast")
    await rig.settle("RuntimeClassUnavailable")
    status = rig.api.instance()["status"]  # type: ignore[index]  # it is there
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Ready": "False", "Stalled": "True"}
    assert status["containers"][0]["state"]["waiting"]["reason"] == "RuntimeClassUnavailable"
    assert rig.networks.there == {}
    rig.runtime_class("fast", "memory")
    await rig.settle()


async def test_a_handler_that_the_node_lacks_is_terminal(rig: Rig) -> None:
    """Until the node has it, or the instance another class; an instance without a class is not concerned."""
    rig.runtime_class("vm", "kata")
    rig.apply(runtimeClassName="vm")
    rig.apply(name="plain")
    await rig.settle("RuntimeClassUnavailable")
    await rig.settle(name="plain")
    rig.node.handlers = ("memory", "kata")
    await rig.restart()
    await rig.settle()


async def test_what_runs_goes_on_without_its_class(rig: Rig) -> None:
    """The class is deleted, the agent starts again, the container crashes: it comes back by the same handler."""
    rig.node.handlers = ("memory", "other")
    await rig.restart()
    rig.runtime_class("fast", "other")
    rig.apply(runtimeClassName="fast")
    await rig.settle()
    rig.runtime_class("fast", "")
    await rig.restart()
    first = rig.running()
    assert first is not None
    rig.node.crash(first.id)
    await until(lambda: (now := rig.running()) is not None and now.id != first.id)
    assert {c.config.runtime_handler for c in rig.node.containers.values()} == {"other"}


async def test_overhead_takes_room_on_the_node(rig: Rig) -> None:
    """Beside what containers ask for, over a restart of the agent too; a class that costs less makes room."""
    rig.runtime_class("vm", "memory", cpu="1500m")
    rig.apply(name="first", runtimeClassName="vm")
    await rig.settle(name="first")
    await rig.restart()
    rig.apply(runtimeClassName="vm")
    await rig.settle("OutOfcpu")
    rig.runtime_class("vm", "memory", cpu="500m")
    await rig.settle()


async def test_a_changed_class_that_cannot_be_used_leaves_the_old_container(rig: Rig) -> None:
    """As with an image that cannot be pulled: the old one runs on, and the status says why it was not replaced."""
    rig.apply(container(image=IMAGE))
    await rig.settle()
    before = rig.running()
    rig.apply(container(image=IMAGE), runtimeClassName="none")
    await rig.settle("RuntimeClassUnavailable")
    assert rig.running() == before
