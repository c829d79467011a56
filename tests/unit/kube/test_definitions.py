"""Whether the installed definitions are this release's: looked at, told once, and forgotten when they are."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import pytest

from controller.api import schema
from controller.kube.client import Objects
from controller.kube.definitions import DefinitionCheck
from controller.kube.errors import ApiFailure, ApiForbidden, ApiUnavailable
from controller.kube.resources import DEFINITIONS, INSTANCES, NODES, Resource
from tests.unit.agent.api import Api, Object

NAME = "containerinstances.moorage.dev"
OWN = {crd["metadata"]["name"]: crd for crd in schema.crds()}


class Cluster(Api):
    """An API server that has our definitions."""

    def __init__(self) -> None:
        super().__init__()
        self.whole_lists = 0
        self.read_refusal: ApiFailure | None = None
        for name in OWN:
            self.install(name)

    def install(self, name: str, change: Callable[[Object], object] = lambda _: None) -> None:
        """Install a definition, changed."""
        key = (DEFINITIONS.plural, "", name)
        definition = deepcopy(OWN[name])
        change(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])
        before = self.objects.get(key, {"metadata": {"generation": 0}})
        definition["metadata"] |= {"uid": f"uid-of-{name}", "generation": before["metadata"]["generation"] + 1}
        self.objects[key] = definition

    async def list(self, resource: Resource, namespace: str = "", field_selector: str = "") -> Objects:
        """Whole objects."""
        self.whole_lists += 1
        return await self.list_metadata(resource, namespace, field_selector)

    async def list_metadata(self, resource: Resource, namespace: str = "", field_selector: str = "") -> Objects:
        """Those of one name."""
        if self.read_refusal is not None:
            raise self.read_refusal
        found = await super().list_metadata(resource, namespace)
        return [o for o in found if f"metadata.name={o['metadata']['name']}" == field_selector]

    @property
    def events(self) -> Objects:
        """All Events."""
        return [o for (plural, _, _), o in self.objects.items() if plural == "events"]


@asynccontextmanager
async def checking(cluster: Cluster, changes: list[str] | None = None) -> AsyncIterator[DefinitionCheck]:
    """A check that runs, and has looked; `changes` gets the message at each change."""
    client: Any = cluster
    check = DefinitionCheck(
        client, "agent", (INSTANCES, NODES), lambda: (changes if changes is not None else []).append(check.message)
    )
    task = asyncio.create_task(check.run())
    await asyncio.sleep(1)
    try:
        yield check
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def again(check: DefinitionCheck) -> None:
    """Have it look again, and wait until it has."""
    check.wake()
    await asyncio.sleep(10)


def without_host_pid(fields: Object) -> None:
    """As an older release had it."""
    del fields["hostPID"]


async def test_what_is_well_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """No Event, no message; and what has not changed is not fetched again."""
    cluster = Cluster()
    changes: list[str] = []
    async with checking(cluster, changes) as check:
        assert check.message == ""
        fetched = cluster.whole_lists
        await again(check)
    assert (cluster.events, changes, caplog.records) == ([], [], [])
    assert (fetched, cluster.whole_lists) == (2, 2)


async def test_what_is_stale_is_told_once_in_every_way(caplog: pytest.LogCaptureFixture) -> None:
    """Log, Event and message; again only when it changes, and no more when it is mended."""
    cluster = Cluster()
    changes: list[str] = []
    cluster.install(NAME, without_host_pid)
    async with checking(cluster, changes) as check:
        assert "lacks spec.hostPID" in check.message
        await again(check)
        cluster.install(NAME, without_host_pid)  # a new generation, and nothing else
        await again(check)
        (event,) = cluster.events
        assert (event["reason"], event["type"], event["message"]) == ("SchemaStale", "Warning", check.message)
        assert event["involvedObject"]["uid"] == f"uid-of-{NAME}"
        assert event["metadata"]["namespace"] == "default"
        cluster.install(NAME)
        await again(check)
        assert check.message == ""
    assert [bool(message) for message in changes] == [True, False]
    assert [r.message for r in caplog.records if r.levelno == logging.ERROR] == [event["message"]]


async def test_what_was_found_before_the_api_server_went_away_is_announced() -> None:
    """A condition must not wait for the next change because the definition after the stale one could not be asked for."""
    changes: list[str] = []

    class Failing(Cluster):
        failed = False

        async def list_metadata(self, resource: Resource, namespace: str = "", field_selector: str = "") -> Objects:
            if resource == DEFINITIONS and "runtimenodes" in field_selector and not self.failed:
                self.failed = True
                raise ApiUnavailable("away")
            return await super().list_metadata(resource, namespace, field_selector)

    cluster = Failing()
    cluster.install(NAME, without_host_pid)
    async with checking(cluster, changes):
        await asyncio.sleep(10)
    assert [bool(message) for message in changes] == [True]


async def test_one_that_is_renewed_long_after_the_one_that_is_watched_is_looked_at_too() -> None:
    """On a busy cluster each takes seconds; nothing tells of the second."""
    cluster = Cluster()
    async with checking(cluster) as check:
        cluster.install("runtimenodes.moorage.dev")
        check.wake()
        await asyncio.sleep(5)
        cluster.install(NAME, without_host_pid)
        await asyncio.sleep(10)
        assert "lacks spec.hostPID" in check.message


async def test_the_same_event_of_a_restarted_half_adds_none() -> None:
    """It renews the one that is there."""
    cluster = Cluster()
    cluster.install(NAME, without_host_pid)
    for _ in range(2):
        async with checking(cluster):
            assert len(cluster.events) == 1


async def test_an_api_server_that_is_away_is_asked_until_it_answers() -> None:
    """Nothing is concluded meanwhile, and nothing is left untold."""
    cluster = Cluster()
    cluster.install(NAME, without_host_pid)
    cluster.down = True
    async with checking(cluster) as check:
        assert check.message == ""
        cluster.down = False
        await asyncio.sleep(10)
        assert len(cluster.events) == 1
        cluster.down = True
        cluster.install(NAME)
        await again(check)
        assert "lacks spec.hostPID" in check.message
        cluster.down = False
        await asyncio.sleep(10)
        assert check.message == ""


@pytest.mark.parametrize("what", ["reading", "Events"])
async def test_a_missing_right_is_said_and_stops_nothing(what: str, caplog: pytest.LogCaptureFixture) -> None:
    """Without the right to read the definitions nothing can be told of them; without that to Events, the rest is."""
    cluster = Cluster()
    cluster.install(NAME, without_host_pid)
    if what == "reading":
        cluster.read_refusal = ApiForbidden("list customresourcedefinitions: forbidden")
    else:
        cluster.refusal = ApiForbidden("create events: forbidden")
    async with checking(cluster) as check:
        assert bool(check.message) is (what == "Events")
    assert any("forbidden" in record.message for record in caplog.records if record.levelno == logging.WARNING)


async def test_a_definition_that_is_gone_is_not_stale() -> None:
    """The informer waits for it, and says so."""
    cluster = Cluster()
    cluster.install(NAME, without_host_pid)
    async with checking(cluster) as check:
        del cluster.objects[DEFINITIONS.plural, "", NAME]
        await again(check)
        assert check.message == ""
