"""Events: gathered, counted, and dropped before they are in anybody's way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.agent.report import events as module
from controller.agent.report.events import DRAIN_SECONDS, GATHER_SECONDS, GIVE_WAY_SECONDS, EventRecorder
from controller.api.instance import ContainerInstance
from controller.api.reasons import Reason
from controller.kube.errors import ApiForbidden
from tests.unit.agent.api import Api, Object
from tests.unit.agent.clock import until
from tests.unit.agent.values import UID, instance_object

WEB = ContainerInstance.model_validate(instance_object())


class Rig:
    """A recorder on an API server."""

    def __init__(self) -> None:
        self.api = Api()
        client: Any = self.api
        self.quiet = asyncio.Event()
        self.quiet.set()
        self.recorder = EventRecorder(client, "node1", self.quiet)
        self.task = asyncio.create_task(self.recorder.run())

    @property
    def events(self) -> list[Object]:
        """What the API server has."""
        return [o for (plural, _, _), o in self.api.objects.items() if plural == "events"]

    def record(self, reason: Reason, message: str, **fields: Any) -> None:
        """Something happened."""
        self.recorder.record(fields.pop("instance", WEB), reason, message, **fields)


@pytest.fixture(name="rig")
async def _rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    assert not rig.task.done()
    rig.task.cancel()
    await asyncio.gather(rig.task, return_exceptions=True)


async def end(rig: Rig, after: float = 0.0) -> None:
    """End the recorder's task, as an agent that ends does."""
    await asyncio.sleep(after)
    rig.task.cancel()
    await asyncio.gather(rig.task, return_exceptions=True)
    rig.task = asyncio.create_task(asyncio.sleep(3600))


async def test_the_steps_of_a_start_are_one_event(rig: Rig) -> None:
    """The last reason, all messages, one write, a moment later."""
    for reason, message in ((Reason.CREATED, "Created"), (Reason.STARTED, "Started")):
        rig.record(reason, message)
        await asyncio.sleep(0.1)
    assert await until(lambda: rig.events) < GATHER_SECONDS
    await asyncio.sleep(60)
    (event,) = rig.events
    assert (event["reason"], event["message"], event["type"], event["count"]) == (
        "Started",
        "Created; Started",
        "Normal",
        1,
    )


async def test_the_events_of_an_agent_that_ends_are_written(rig: Rig) -> None:
    """At once, also those that were still gathered or gave way, and one whose writing was broken off."""
    rig.quiet.clear()
    rig.record(Reason.EVICTED, "too much", warning=True)
    rig.record(Reason.KILLING, "Stopping container main")
    await end(rig, after=GATHER_SECONDS + 1)
    began = asyncio.get_running_loop().time()
    await rig.recorder.drain()
    assert [event["reason"] for event in rig.events] == ["Evicted", "Killing"]
    assert asyncio.get_running_loop().time() - began < 1


async def test_an_agent_ends_soon_also_without_an_api_server(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Events are lost then, whether that refuses them, cannot be reached or does not answer."""
    rig.record(Reason.EVICTED, "too much", warning=True)
    await end(rig)
    rig.api.down = True
    began = asyncio.get_running_loop().time()
    await rig.recorder.drain()
    assert asyncio.get_running_loop().time() == began

    rig.api.down = False
    monkeypatch.setattr(rig.api, "create", lambda *_: asyncio.sleep(3600))
    await rig.recorder.drain()
    assert asyncio.get_running_loop().time() - began == DRAIN_SECONDS
    assert rig.events == []


async def test_a_pull_is_told_by_events_of_its_own(rig: Rig) -> None:
    """Who looks for the reason Pulling or Pulled finds it."""
    for reason in (Reason.PULLING, Reason.PULLED, Reason.CREATED, Reason.STARTED):
        rig.record(reason, reason.value)
    await until(lambda: len(rig.events) == 3)
    assert [e["reason"] for e in rig.events] == ["Pulling", "Pulled", "Started"]


async def test_an_event_gives_way_to_starts(rig: Rig) -> None:
    """While containers wait for their start it is held back, but not for ever."""
    rig.quiet.clear()
    rig.record(Reason.STARTED, "Started")
    await asyncio.sleep(GIVE_WAY_SECONDS - 1)
    assert rig.events == []
    await asyncio.sleep(2)
    assert len(rig.events) == 1
    rig.record(Reason.KILLING, "Stopping")
    await asyncio.sleep(GIVE_WAY_SECONDS / 2)
    rig.quiet.set()
    await asyncio.sleep(0.1)
    assert len(rig.events) == 2


async def test_an_event_has_what_kubectl_describe_needs(rig: Rig) -> None:
    """It refers to the object by uid, and says who tells it."""
    rig.record(Reason.FAILED, "no such tag", warning=True)
    await until(lambda: rig.events)
    (event,) = rig.events
    assert event["involvedObject"] == {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerInstance",
        "namespace": "default",
        "name": "web",
        "uid": UID,
    }
    assert event["metadata"]["namespace"] == "default"
    assert event["metadata"]["name"].startswith("web.")
    assert (event["type"], event["source"]) == ("Warning", {"component": "moorage-agent", "host": "node1"})
    assert event["firstTimestamp"] == event["lastTimestamp"]


async def test_what_is_of_the_whole_cluster_has_its_events_in_one_namespace(rig: Rig) -> None:
    """As core/v1 has it: in `default`, whatever the namespaces of instances."""
    node = {"apiVersion": "moorage.dev/v1alpha1", "kind": "RuntimeNode", "name": "node1", "uid": "n1"}
    for _ in range(2):
        rig.recorder.tell(node, Reason.FREE_DISK_SPACE_FAILED, "no room", warning=True)
        rig.recorder.tell(node, Reason.IMAGE_GC_REMOVED, "removed 1 image")
    await until(lambda: len(rig.events) == 2 and all(event["count"] == 2 for event in rig.events))
    for event in rig.events:
        assert event["involvedObject"] == node
        assert event["metadata"]["namespace"] == "default"
    assert {event["reason"]: event["type"] for event in rig.events} == {
        "FreeDiskSpaceFailed": "Warning",
        "ImageGCRemoved": "Normal",
    }


async def test_warnings_stand_for_themselves(rig: Rig) -> None:
    """Each keeps its own reason; what follows one is not mixed into it."""
    rig.record(Reason.PULLING, "Pulling")
    rig.record(Reason.FAILED, "one", warning=True)
    rig.record(Reason.FAILED, "two", warning=True)
    rig.record(Reason.STARTED, "Started")
    await until(lambda: len(rig.events) == 4)
    assert [(e["type"], e["message"]) for e in rig.events] == [
        ("Normal", "Pulling"),
        ("Warning", "one"),
        ("Warning", "two"),
        ("Normal", "Started"),
    ]


async def test_the_same_again_counts_up(rig: Rig) -> None:
    """One Event object, its count and its last time, however often."""
    for _ in range(3):
        rig.record(Reason.FAILED, "no such tag", warning=True)
        await asyncio.sleep(10)
    (event,) = rig.events
    assert event["count"] == 3
    assert event["lastTimestamp"] > event["firstTimestamp"]


async def test_an_event_that_expired_is_written_anew(rig: Rig) -> None:
    """The API server forgets Events after an hour."""
    rig.record(Reason.FAILED, "x", warning=True)
    await until(lambda: rig.events)
    rig.api.objects.clear()
    rig.record(Reason.FAILED, "x", warning=True)
    await until(lambda: rig.events)
    assert rig.events[0]["count"] == 1
    rig.record(Reason.FAILED, "x", warning=True)
    await until(lambda: rig.events[0]["count"] == 2)


async def test_instances_are_not_mixed(rig: Rig) -> None:
    """Each has Events of its own."""
    other = ContainerInstance.model_validate(instance_object(name="other", uid="other"))
    rig.record(Reason.CREATED, "Created")
    rig.record(Reason.CREATED, "Created", instance=other)
    rig.record(Reason.STARTED, "Started")
    await until(lambda: len(rig.events) == 2)
    assert {(e["involvedObject"]["name"], e["message"]) for e in rig.events} == {
        ("web", "Created; Started"),
        ("other", "Created"),
    }


async def test_an_outage_delays_them(rig: Rig) -> None:
    """In their order, with the times of what happened."""
    rig.api.down = True
    rig.record(Reason.FAILED, "one", warning=True)
    await asyncio.sleep(100)
    rig.record(Reason.FAILED, "two", warning=True)
    await asyncio.sleep(100)
    rig.api.down = False
    await until(lambda: len(rig.events) == 2)
    assert [e["message"] for e in rig.events] == ["one", "two"]
    assert rig.events[0]["lastTimestamp"] < rig.events[1]["lastTimestamp"]


async def test_a_long_outage_drops_the_oldest(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; the newest are the ones that people look for; and no trace of the dropped ones is kept."""
    monkeypatch.setattr(module, "_MOST_WAITING", 10)
    rig.api.down = True
    for number in range(100):
        one = ContainerInstance.model_validate(instance_object(name=f"n{number}", uid=f"u{number}"))
        rig.record(Reason.CREATED, f"number {number}", instance=one)
        await asyncio.sleep(0.01)
    assert len(rig.recorder._latest) <= 10
    rig.api.down = False
    await until(lambda: any(e["message"] == "number 99" for e in rig.events))
    assert 10 <= len(rig.events) <= 11


async def test_a_refused_event_is_dropped(rig: Rig) -> None:
    """A namespace that is being deleted takes none: the others are written."""
    rig.api.refusal = ApiForbidden("namespace is being terminated")
    rig.record(Reason.FAILED, "one", warning=True)
    await asyncio.sleep(10)
    rig.api.refusal = None
    rig.record(Reason.FAILED, "two", warning=True)
    await until(lambda: rig.events)
    assert [e["message"] for e in rig.events] == ["two"]


async def test_long_names_and_messages_fit(rig: Rig) -> None:
    """A name has 253 characters, a message 1024."""
    one = ContainerInstance.model_validate(instance_object(name="n" * 253))
    rig.record(Reason.FAILED, "m" * 5000, warning=True, instance=one)
    await until(lambda: rig.events)
    (event,) = rig.events
    assert len(event["metadata"]["name"]) <= 253
    assert len(event["message"]) == 1024
