"""What the informer makes good that Kopf does not promise: deletions that nobody saw, and a watch that has gone blind."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import kopf
import pytest
from prometheus_client import REGISTRY

from controller.kube.errors import ApiUnavailable
from controller.kube.informer import (
    BLIND_SECONDS,
    INCURABLE_TIMES,
    SETTLE_SECONDS,
    SWEEP_SECONDS,
    Informer,
    Watch,
)
from controller.kube.pauses import LONGEST_SECONDS, Forever
from controller.kube.resources import INSTANCES, NODES
from controller.kube.settings import settings
from tests.unit.agent.clock import until

MINE = Watch(INSTANCES, "spec.nodeName=node1")

Object = dict[str, Any]

EVENT: ContextVar[str] = ContextVar("EVENT", default="")
"""As Kopf has some, which name the event that is handled."""


def obj(uid: str, version: int = 1) -> Object:
    """An object as a watch brings it."""
    return {
        "metadata": {"uid": uid, "name": f"name-{uid}", "namespace": "default", "resourceVersion": str(version)},
        "spec": {},
    }


class Server:
    """What the API server has, and whether it answers."""

    def __init__(self) -> None:
        self.objects: dict[str, int] = {}
        self.down = False
        self.lists: list[str] = []
        self.slow = 0.0

    async def list_metadata(self, resource: Any, namespace: str = "", field_selector: str = "") -> list[Object]:
        """As it is when asked."""
        del resource, namespace
        if self.down:
            raise ApiUnavailable("refused")
        self.lists.append(field_selector)
        found = [obj(uid, version) for uid, version in self.objects.items()]
        await asyncio.sleep(self.slow)
        return found


class Quiet(Informer):
    """An informer whose Kopf is the test."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.restarts = 0

    def _run(self) -> None:
        self._stopping.wait()

    def restart(self) -> None:
        """Count."""
        self.restarts += not self._stopping.is_set()

    def kopf(self, kind: str, found: Object) -> None:
        """Kopf brings an event."""
        self._receive(MINE, kind, found)

    async def call(self, found: Object) -> None:
        """Kopf calls the handler that it was given."""
        await self._handler(MINE)(event={"type": "MODIFIED", "object": found})

    def listed(self) -> None:
        """Kopf has begun to watch."""
        self._started.set()


class Rig:
    """An informer on a server, and what it delivered."""

    def __init__(self) -> None:
        self.server = Server()
        self.events: list[tuple[str, str]] = []
        self.syncs: list[frozenset[str]] = []
        self.informer = Quiet(None, self.server, [MINE], self.deliver, lambda _, exists: self.syncs.append(exists))

    def deliver(self, watch: Watch, kind: str, found: Object) -> None:
        """Take in an event."""
        assert watch == MINE
        self.events.append((kind, found["metadata"]["uid"]))

    def have(self, uid: str, version: int = 1) -> None:
        """The server has it, and Kopf brings it."""
        self.server.objects[uid] = version
        self.informer.kopf("MODIFIED", obj(uid, version))

    async def restarted(self, times: int) -> None:
        """Wait until it has watched anew so many times."""
        await until(lambda: self.informer.restarts == times, 60)


@pytest.fixture(name="rig")
async def _rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.informer.start()
    yield rig
    await rig.informer.stop()
    assert len(asyncio.all_tasks()) == 1, "nothing of it is left"


async def test_the_first_sweep_is_at_once_and_then_now_and_then(rig: Rig) -> None:
    """Whoever knows instances from before learns soon which of them exist; later a list costs the server little."""
    await until(lambda: rig.syncs, 1)
    assert rig.syncs == [frozenset()]
    await asyncio.sleep(10 * SWEEP_SECONDS)
    assert 8 <= len([s for s in rig.server.lists if s == MINE.field_selector]) <= 25


async def test_an_object_that_vanished_unseen_is_delivered_as_deleted(rig: Rig) -> None:
    """With its metadata, once."""
    rig.have("a")
    rig.have("b")
    del rig.server.objects["a"]
    await asyncio.sleep(3 * SWEEP_SECONDS)
    assert [e for e in rig.events if e[0] == "DELETED"] == [("DELETED", "a")]


async def test_what_comes_of_an_event_does_not_keep_kopfs_context(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task that is started takes the context along, and with it, as long as it lasts, the whole object of that event."""
    kept: list[str] = []
    monkeypatch.setattr(rig.informer, "_deliver", lambda *_: kept.append(EVENT.get()))
    EVENT.set("a")
    await rig.informer.call(obj("a"))
    await until(lambda: kept, 1)
    assert kept == [""]


async def test_after_kopf_has_listed_deletions_are_found_soon(rig: Rig) -> None:
    """Kopf tells of no deletion that happened while it was not watching: a sweep follows each of its starts."""
    rig.have("a")
    await asyncio.sleep(1)
    del rig.server.objects["a"]
    rig.informer.listed()
    assert await until(lambda: ("DELETED", "a") in rig.events) == pytest.approx(SETTLE_SECONDS, abs=0.1)


async def test_what_was_known_from_a_list_of_ones_own_can_vanish_too(rig: Rig) -> None:
    """Although Kopf never brought it."""
    rig.informer.known(MINE, obj("a"))
    await asyncio.sleep(2 * SWEEP_SECONDS)
    assert ("DELETED", "a") in rig.events


async def test_what_kopf_tells_during_the_list_is_not_told_again(rig: Rig) -> None:
    """A deletion that both see is delivered once; an object that comes meanwhile is not taken for vanished."""
    await asyncio.sleep(1)
    rig.have("a")
    rig.server.slow = 1
    rig.informer.listed()
    await asyncio.sleep(SETTLE_SECONDS + 0.5)
    del rig.server.objects["a"]
    rig.informer.kopf("DELETED", obj("a"))
    rig.have("new")
    await asyncio.sleep(60)
    assert [e for e in rig.events if e[0] == "DELETED"] == [("DELETED", "a")]


async def test_a_server_that_does_not_answer_has_deleted_nothing(rig: Rig) -> None:
    """Asked again soon, until it answers."""
    rig.have("a")
    rig.server.down = True
    await asyncio.sleep(3 * SWEEP_SECONDS)
    assert ("DELETED", "a") not in rig.events
    rig.server.down = False
    rig.server.objects.clear()
    await until(lambda: ("DELETED", "a") in rig.events, 4)


@pytest.mark.parametrize(
    ("sentence", "seen", "later"),
    [
        ("a change that is not delivered", 1, {"a": 2}),
        ("an object that is not delivered", None, {"a": 1}),
    ],
)
async def test_a_blind_watch_is_begun_anew(rig: Rig, sentence: str, seen: int | None, later: dict[str, int]) -> None:
    """The server has had it for half a minute, and Kopf has not brought it."""
    await asyncio.sleep(1)
    if seen is not None:
        rig.have("a", seen)
    rig.server.objects = later
    rig.informer.listed()
    took = await until(lambda: rig.informer.restarts, 60)
    assert took == pytest.approx(SETTLE_SECONDS + BLIND_SECONDS, abs=0.5), sentence


@pytest.mark.parametrize("history", ["delivered late", "deleted meanwhile", "changed again and again", "server away"])
async def test_a_watch_that_is_only_slow_is_left_alone(rig: Rig, history: str) -> None:
    """No restart for what is delivered in time, is gone again, keeps changing, or cannot be asked for."""
    await asyncio.sleep(1)
    rig.server.objects = {"a": 1}
    rig.informer.listed()
    await asyncio.sleep(SETTLE_SECONDS + 1)
    if history == "delivered late":
        rig.have("a")
    elif history == "deleted meanwhile":
        rig.server.objects.clear()
    elif history == "changed again and again":
        rig.server.objects = {"a": 2}
    else:
        rig.server.down = True
    await asyncio.sleep(BLIND_SECONDS + 10)
    assert rig.informer.restarts == 0


async def test_blindness_that_watching_anew_does_not_cure_is_told(rig: Rig) -> None:
    """After some tries in vain the process asks to be restarted; an outage of the API server never adds to that."""
    await asyncio.sleep(1)
    rig.server.objects = {"a": 1}
    for times in range(1, INCURABLE_TIMES + 1):
        assert rig.informer.incurable() == ""
        rig.informer.listed()
        await rig.restarted(times)
        rig.server.down = True
        await asyncio.sleep(10 * BLIND_SECONDS)
        rig.server.down = False
    assert "containerinstances" in rig.informer.incurable()


async def test_blindness_that_is_over_is_forgotten(rig: Rig) -> None:
    """Only tries in a row count."""
    await asyncio.sleep(1)
    for version in range(1, INCURABLE_TIMES + 2):
        rig.server.objects = {"a": version}
        rig.informer.listed()
        await rig.restarted(version)
        rig.have("a", version)
        rig.informer.listed()
        await asyncio.sleep(SETTLE_SECONDS + BLIND_SECONDS + 1)
    assert rig.informer.incurable() == ""


async def test_a_change_between_the_list_and_its_answer_is_no_blindness(rig: Rig) -> None:
    """Kopf may be ahead of the list."""
    await asyncio.sleep(1)
    rig.have("a", 1)
    rig.server.slow = 1
    rig.informer.listed()
    await asyncio.sleep(SETTLE_SECONDS + 0.5)
    rig.have("a", 2)
    await asyncio.sleep(2 * BLIND_SECONDS)
    assert rig.informer.restarts == 0


def _confirmed() -> float:
    labels = {"half": "agent", "resource": "containerinstances"}
    return REGISTRY.get_sample_value("moorage_watch_confirmed_timestamp_seconds", labels) or 0.0


async def test_a_watch_that_has_all_or_is_ahead_is_confirmed(rig: Rig) -> None:
    """What changes all the time is confirmed as well: everything that was listed was delivered, or something newer."""
    await asyncio.sleep(1)
    rig.server.objects = {"a": 9, "b": 10}
    before = _confirmed()
    rig.informer.listed()
    await asyncio.sleep(SETTLE_SECONDS + 1)
    rig.have("a", 10)
    await asyncio.sleep(BLIND_SECONDS + 1)
    assert _confirmed() == before, "b was not delivered"
    rig.have("b", 11)
    rig.informer.listed()
    await asyncio.sleep(SETTLE_SECONDS + 1)
    assert _confirmed() > before


async def test_after_the_end_nothing_is_delivered() -> None:
    """What was still on its way from Kopf's thread is dropped."""
    rig = Rig()
    await rig.informer.start()
    await rig.informer.stop()
    rig.informer.kopf("ADDED", obj("a"))
    assert rig.events == []


def test_kopf_retries_for_ever_with_growing_pauses() -> None:
    """The row has no end, no length, and begins anew each time; a server that is back is noticed soon."""
    row = Forever()
    first = list(itertools.islice(row, 50))
    again = list(itertools.islice(row, 50))
    assert not hasattr(row, "__len__")
    assert max(first + again) <= LONGEST_SECONDS * 1.3
    assert first[0] < 1
    assert again[0] < 1
    assert min(first[20:]) >= LONGEST_SECONDS * 0.7


def test_kopf_is_set_up_to_write_nothing() -> None:
    """No annotations, no events, no peering; only the objects that are asked for."""
    found = settings([MINE, Watch(NODES)])
    storage = found.persistence.diffbase_storage
    assert storage.build(body=kopf.Body({}), extra_fields=None) == {}
    assert storage.fetch(body=kopf.Body({})) is None
    assert not found.posting.enabled
    assert found.peering.standalone
    assert found.process.ultimate_exiting_timeout is None
    assert list(found.watching.field_selectors.values()) == ["spec.nodeName=node1"]
    assert found.watching.field_selectors["moorage.dev", "v1alpha1", "containerinstances"] == "spec.nodeName=node1"
