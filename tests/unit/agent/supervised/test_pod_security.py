"""What the Pod Security level of a namespace leads to, from the labels to the status: the agent's own check."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.agent.decide.plan import LABELS_PATIENCE_SECONDS
from controller.kube.resources import EVENTS
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import now, until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import container


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def conditions(rig: Rig, name: str = "web") -> dict[str, dict[str, str]]:
    """An instance's conditions by type."""
    found = (rig.api.instance(name) or {}).get("status", {}).get("conditions", [])
    return {condition["type"]: condition for condition in found}


def events(rig: Rig) -> list[str]:
    """Messages of the Events of failures."""
    found = [o for (plural, _, _), o in rig.api.objects.items() if plural == EVENTS.plural]
    return [o["message"] for o in found if o["reason"] == "Failed"]


async def test_a_violation_is_terminal_and_nothing_is_made(rig: Rig) -> None:
    """Stalled with the words of Pod Security admission, no pull, no container, one Event for the instance."""
    rig.label("baseline")
    rig.apply(container(image=IMAGE), container("other", image="registry.test/absent:1"), hostNetwork=True)
    await rig.settle("PodSecurity")
    told = conditions(rig)
    assert (told["Ready"]["status"], told["Stalled"]["status"]) == ("False", "True")
    message = 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    assert told["Ready"]["message"] == message
    assert (rig.api.instance() or {})["status"]["observedGeneration"] == 1
    assert rig.node.containers == {}
    await until(lambda: events(rig) == [message])


async def test_no_network_is_made_for_what_is_refused(rig: Rig) -> None:
    """An own network comes with the first container that may be started, and not before."""
    rig.label("restricted")
    rig.apply(hostNetwork=False, network="None")
    await rig.settle("PodSecurity")
    assert rig.networks.there == {}
    rig.label("baseline")
    await rig.settle()
    assert list(rig.networks.there) == ["uid-of-web"]


async def test_other_labels_are_another_chance(rig: Rig) -> None:
    """The instance is looked at again at once."""
    rig.label("baseline")
    rig.apply(hostNetwork=True)
    await rig.settle("PodSecurity")
    began = now()
    rig.label("privileged")
    await rig.settle()
    assert now() - began < 2


async def test_what_runs_is_left_alone_and_not_started_again(rig: Rig) -> None:
    """A namespace that becomes stricter ends nothing; an end is then the end."""
    rig.apply(hostNetwork=True)
    await rig.settle()
    running = rig.running()
    assert running is not None
    rig.label("baseline")
    rig.apply(hostNetwork=True, terminationGracePeriodSeconds=1)  # so that it is looked at again
    await until(lambda: (rig.api.instance() or {})["status"]["observedGeneration"] == 2)
    assert rig.reason() == "Running"
    assert rig.running() == running
    rig.node.crash(running.id, 1)
    await rig.settle("PodSecurity")
    assert rig.running() is None


async def test_a_changed_spec_that_violates_does_not_replace_what_runs(rig: Rig) -> None:
    """The old container runs on, and the instance says why the new one does not come."""
    rig.apply(hostNetwork=True)
    await rig.settle()
    running = rig.running()
    rig.label("baseline")
    rig.apply(container(image=IMAGE, args=["new"]), hostNetwork=True)
    await rig.settle("PodSecurity")
    assert rig.running() == running
    assert conditions(rig)["Stalled"]["status"] == "True"


async def test_a_violating_instance_can_be_deleted(rig: Rig) -> None:
    """Nothing keeps it."""
    rig.label("baseline")
    rig.apply(hostNetwork=True)
    await rig.settle("PodSecurity")
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)


async def test_without_labels_nothing_starts_and_somebody_is_told_later(tmp_path: Path) -> None:
    """Fail closed; a moment's delay is not told, a longer one is; and when they come, it starts."""
    async with rigs.node(tmp_path) as rig:
        rig.level = ""
        await rig.kill()
        (tmp_path / "levels.json").unlink(missing_ok=True)
        rig.build()
        await rig.start()
        began = now()
        rig.apply()
        await rig.settle("PodSecurity")
        assert now() - began >= LABELS_PATIENCE_SECONDS - 0.1
        told = conditions(rig)
        assert (told["Ready"]["status"], told["Reconciling"]["status"]) == ("Unknown", "True")
        assert "labels of its namespace were never seen" in told["Ready"]["message"]
        assert rig.node.containers == {}
        rig.label("privileged")
        await rig.settle()


@pytest.mark.parametrize("level", ["privileged", "baseline"])
async def test_a_boot_without_an_api_server_knows_the_level(rig: Rig, level: str) -> None:
    """The labels are on disk: what is allowed starts, what is not stays away."""
    rig.apply(hostNetwork=True)
    await rig.settle()
    rig.label(level)
    await until(lambda: level in (rig.folder / "levels.json").read_text())
    rig.api.down = True
    rig.node.reboot()
    await rig.restart()
    if level == "privileged":
        await until(lambda: rig.running() is not None)
        return
    assert str(rig.levels.level("default")) == "baseline:latest"
    rig.api.down, rig.level = False, level
    rig.relist()
    await rig.settle("PodSecurity")
    assert rig.running() is None


async def tightened(rig: Rig) -> None:
    """An agent that starts with a level on disk which has been tightened since; the namespace is not listed yet."""
    rig.apply(hostNetwork=True)
    await rig.settle()
    await until(lambda: "privileged" in (rig.folder / "levels.json").read_text())
    await rig.kill()
    rig.level = ""
    rig.build()


async def test_what_came_while_no_agent_ran_waits_for_the_level_as_it_is_now(rig: Rig) -> None:
    """What was kept with the old level runs on, and comes back when it crashes; what is new does not start by it."""
    await tightened(rig)
    rig.apply(container("new", image=IMAGE), name="other", hostNetwork=True)
    await rig.start()
    running = rig.running()
    assert running is not None
    rig.node.crash(running.id, 1)
    await until(lambda: len(rig.runtime.started) == 2)
    await rig.settle("PodSecurity", "other")
    assert rig.containers("new") == []
    rig.label("baseline")
    await until(lambda: "Stalled" in conditions(rig, "other"))
    assert conditions(rig, "other")["Ready"]["message"].startswith('violates PodSecurity "baseline:latest"')
    assert rig.containers("new") == []


async def test_a_level_that_is_confirmed_wakes_who_waits_for_it(rig: Rig) -> None:
    """Also a spec that was changed meanwhile; with the same labels as before nothing else is news."""
    await tightened(rig)
    rig.apply(container(image=IMAGE, args=["new"]), hostNetwork=True)
    await rig.start()
    await rig.settle("PodSecurity")
    assert len(rig.runtime.started) == 1
    began = now()
    rig.label("privileged")
    await rig.settle()
    assert len(rig.runtime.started) == 2
    assert now() - began < 2
