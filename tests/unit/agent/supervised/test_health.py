"""Hooks and probes of a simulated container, from the spec to the status. Time passes by itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.agent.probes.attendant import GIVE_WAY_SECONDS
from controller.api import labels
from controller.runtime.memory.script import Script
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import now, until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import container

WELL, SICK = Script(0, 0), Script(0, 1)
CHECK = {"exec": {"command": ["check"]}, "periodSeconds": 10}


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        rig.node.commands["check"] = WELL
        yield rig


def main(rig: Rig) -> dict[str, Any]:
    """Status of the container."""
    found: list[dict[str, Any]] = (rig.api.instance() or {}).get("status", {}).get("containers") or [{}]
    return found[0]


def apply(rig: Rig, spec: dict[str, Any] | None = None, **fields: Any) -> None:
    """Create or change the instance."""
    rig.apply(container(image=IMAGE, **fields), **(spec or {}))


async def test_it_is_ready_soon_after_its_probe_says_so(rig: Rig) -> None:
    """Until it is ready it is probed more often than once a period; to be unready then takes failureThreshold periods."""
    rig.node.commands["check"] = SICK
    apply(rig, readinessProbe=CHECK)
    await until(lambda: rig.reason() == "ContainersNotReady")
    await until(lambda: rig.running() is not None)
    rig.node.commands["check"] = WELL
    assert await rig.settle() < 5
    rig.node.commands["check"] = SICK
    assert 20 <= await rig.settle("ContainersNotReady") <= 31
    assert main(rig)["restartCount"] == 0
    rig.node.commands["check"] = WELL
    assert await rig.settle() <= 11


async def test_commands_give_way_to_restarts_for_a_while_only(rig: Rig) -> None:
    """On a node where crashed containers come back without end, a probe by command is made none the less."""
    apply(rig, livenessProbe=CHECK, spec={"terminationGracePeriodSeconds": 1})
    await rig.settle()
    rig.hands.slots.calm.clear()
    rig.node.commands["check"] = SICK
    assert 20 <= await until(lambda: main(rig).get("restartCount") == 1) <= 33 + 3 * GIVE_WAY_SECONDS


async def test_a_failed_liveness_probe_restarts_it(rig: Rig) -> None:
    """After failureThreshold periods; with Events that say so."""
    apply(rig, livenessProbe=CHECK, spec={"terminationGracePeriodSeconds": 1})
    await rig.settle()
    rig.node.commands["check"] = SICK
    assert 20 <= await until(lambda: main(rig).get("restartCount") == 1) <= 33
    rig.node.commands["check"] = WELL
    await rig.settle()
    await until(lambda: {"Unhealthy", "Killing"} <= {o.get("reason") for o in rig.api.objects.values()})


async def test_a_startup_probe_has_all_its_periods(rig: Rig) -> None:
    """The others wait for it; it is restarted after failureThreshold whole periods, and not before."""
    rig.node.commands["check"] = SICK
    startup = CHECK | {"failureThreshold": 3}
    apply(rig, startupProbe=startup, livenessProbe=CHECK | {"failureThreshold": 1, "periodSeconds": 1})
    await until(lambda: rig.running() is not None)
    assert 30 <= await until(lambda: main(rig).get("restartCount") == 1) <= 33
    rig.node.commands["check"] = WELL
    assert await rig.settle() < 11
    assert main(rig)["started"]


async def test_a_new_agent_knows_what_had_started_and_was_ready(rig: Rig) -> None:
    """Nothing of the status changes by its start, and the startup probe is not made again."""
    apply(rig, startupProbe=CHECK, readinessProbe=CHECK)
    await rig.settle()
    await until(lambda: labels.READINESS in rig.containers()[0].labels)
    await rig.kill()
    before = rig.api.instance()
    rig.node.commands["check"] = SICK
    rig.build()
    await rig.start()
    began = now()
    await until(lambda: now() > began + 15)
    assert rig.api.instance() == before
    await rig.settle("ContainersNotReady")
    assert (main(rig)["started"], main(rig)["ready"], main(rig)["restartCount"]) == (True, False, 0)


async def test_a_probe_that_is_given_later_does_not_make_it_unready(rig: Rig) -> None:
    """A container that runs has started, and stays ready until the new probe says otherwise."""
    apply(rig)
    await rig.settle()
    running = rig.running()
    rig.node.commands["check"] = SICK
    apply(rig, startupProbe=CHECK, readinessProbe=CHECK)
    began = now()
    await until(lambda: now() > began + 15)
    assert (rig.reason(), rig.running()) == ("Running", running and rig.containers()[0])
    await rig.settle("ContainersNotReady")
    assert main(rig)["started"]
    assert running is not None
    assert rig.containers()[0].id == running.id


async def test_post_start_that_hangs_is_no_hindrance_to_a_deletion(rig: Rig) -> None:
    """The container is stopped as any other, and nothing is left."""
    apply(rig, lifecycle={"postStart": {"exec": {"command": ["sleep", "infinity"]}}})
    await until(lambda: rig.running() is not None)
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    assert rig.node.containers == {}


async def test_post_start_is_run_once(rig: Rig) -> None:
    """A new agent runs it again only if it had not ended."""
    rig.node.commands["hook"] = Script(5, 0)
    apply(rig, lifecycle={"postStart": {"exec": {"command": ["hook"]}}})
    await until(lambda: rig.running() is not None)
    await rig.restart()
    await rig.settle()
    rig.node.commands["hook"] = Script(0, 1)
    await rig.restart()
    began = now()
    await until(lambda: now() > began + 15)
    assert (rig.reason(), main(rig)["restartCount"]) == ("Running", 0)


async def test_pre_stop_takes_of_the_grace_period(rig: Rig) -> None:
    """One that hangs is given up at its end."""
    hook = {"preStop": {"exec": {"command": ["sleep", "infinity"]}}}
    apply(rig, lifecycle=hook, spec={"terminationGracePeriodSeconds": 20})
    await rig.settle()
    rig.api.delete("web")
    assert 19 <= await until(lambda: rig.api.instance() is None) <= 23


async def test_that_a_pre_stop_was_given_up_is_told_however_soon_the_container_ends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Giving a process up takes a moment, in which the stop signal may end the container that it is in."""
    given_up: list[float] = []

    async def hang(*_: object) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            given_up.append(now())
            await asyncio.sleep(5)

    monkeypatch.setattr("controller.agent.probes.handlers.Handlers.hook", hang)
    apply(rig, lifecycle={"preStop": {"exec": {"command": ["sleep", "infinity"]}}}, spec={"terminationGracePeriodSeconds": 20})
    await rig.settle()
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    await asyncio.sleep(20)
    assert len(given_up) == 1
    events = [obj for (plural, _, _), obj in rig.api.objects.items() if plural == "events"]
    (told,) = [event["message"] for event in events if event["reason"] == "FailedPreStopHook"]
    assert told.endswith("it did not end within the grace period of 20 s")
