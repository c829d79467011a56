"""What a node has, and instances that ask for it: from the spec to the status."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.port import Resources
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.supervised.test_security import conditions
from tests.unit.agent.values import container


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def asks(cpu: str, **fields: Any) -> dict[str, Any]:
    """A container that asks for so much of the two cores."""
    return container(image=IMAGE, resources={"requests": {"cpu": cpu}}, **fields)


async def test_who_finds_no_room_waits_for_it(rig: Rig) -> None:
    """The kubelet's reason and words; in progress, for it starts by itself when another one goes."""
    rig.apply(asks("1500m"), name="first")
    await rig.settle(name="first")
    rig.apply(asks("600m"))
    await rig.settle("OutOfcpu")
    told = conditions(rig)
    assert (told["Ready"]["status"], "Stalled" in told) == ("Unknown", False)
    assert told["Ready"]["message"] == "node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000"
    assert len(rig.containers()) == 1
    rig.api.delete("first")
    await rig.settle()


async def test_room_is_made_by_an_end_too(rig: Rig) -> None:
    """What ran to its end, or is suspended, has no place any more; nor does it take one again by being looked at."""
    rig.apply(asks("2", command=["true"]), name="first", restartPolicy="Never")
    rig.apply(asks("2"))
    await rig.settle()
    assert rig.reason("first") == "Completed"
    rig.apply(asks("2"), suspend=True)
    await rig.settle("Suspended")
    rig.apply(asks("2"), name="third")
    await rig.settle(name="third")
    rig.apply(asks("2"))
    await rig.settle("OutOfcpu")


async def test_what_is_more_than_the_node_has_is_stalled(rig: Rig) -> None:
    """Until somebody asks for less."""
    rig.apply(asks("2001m"))
    await rig.settle("OutOfcpu")
    assert conditions(rig)["Stalled"]["status"] == "True"
    rig.apply(asks("2"))
    await rig.settle()


async def test_a_larger_request_of_what_runs_waits_for_room(rig: Rig) -> None:
    """It runs on as it was, and comes back as it was; when there is room, it gets what it asks for without a restart."""
    rig.apply(asks("1"), name="first")
    await rig.settle(name="first")
    rig.apply(asks("500m"))
    await rig.settle()
    rig.apply(asks("1500m"))
    await rig.settle("Deferred")
    made = next(c for c in rig.node.containers.values() if c.config.group == "uid-of-web")
    assert made.resources == Resources(cpu_request_millis=500)
    rig.node.crash(made.config.id)
    await until(lambda: any(c.config.id.endswith("-1") for c in rig.node.containers.values()))
    await rig.settle("Deferred")
    again = next(c for c in rig.node.containers.values() if c.config.group == "uid-of-web" and c.state.pid)
    assert again.resources == Resources(cpu_request_millis=500)
    rig.api.delete("first")
    await rig.settle()
    assert again.resources == Resources(cpu_request_millis=1500)


async def test_a_request_that_the_node_never_has_is_infeasible(rig: Rig) -> None:
    """It runs on as it was, and somebody has to change something."""
    rig.apply(asks("1"))
    await rig.settle()
    rig.apply(asks("3"))
    await rig.settle("Infeasible")
    assert conditions(rig)["Stalled"]["status"] == "True"
    assert (rig.running() or pytest.fail("it was stopped")).pid
    rig.apply(asks("2"))
    await rig.settle()


async def test_who_ran_before_the_agent_has_its_place(rig: Rig) -> None:
    """A new agent lets nobody in before it has counted them."""
    rig.apply(asks("1500m"), name="first")
    await rig.settle(name="first")
    await rig.kill()
    rig.apply(asks("1500m"), name="before-all")
    rig.build()
    await rig.start()
    await rig.settle("OutOfcpu", name="before-all")
    await rig.settle(name="first")
