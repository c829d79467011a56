"""The node's sign of life."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from controller.agent.report.heartbeat import RENEW_SECONDS, Heartbeat
from controller.api.conditions import Condition, timestamp
from controller.api.node import Disk, Images, NodeStatus, Platform
from controller.kube.errors import ApiForbidden
from tests.unit.agent.api import Api, Object
from tests.unit.agent.clock import until


class Rig:
    """A heartbeat on an API server, and a node whose status a test can change."""

    def __init__(self) -> None:
        self.api = Api()
        self.ready = "True"
        self.used = 10
        client: Any = self.api
        self.heartbeat = Heartbeat(client, "node1", self.judge)
        self.task = asyncio.create_task(self.heartbeat.run())

    async def judge(self, when: float) -> NodeStatus:
        """The status of this moment."""
        ready = Condition.model_validate(
            {"type": "Ready", "status": self.ready, "reason": "AgentReady", "lastTransitionTime": timestamp(when)}
        )
        return NodeStatus(
            platform=Platform(os="linux", architecture="amd64"),
            disk=Disk(percent_used=self.used),
            images=Images(),
            conditions=(ready,),
        )

    @property
    def node(self) -> Object:
        """The RuntimeNode."""
        return self.api.objects["runtimenodes", "", "node1"]

    @property
    def lease(self) -> Object:
        """The Lease."""
        return self.api.objects["leases", "moorage-node-lease", "node1"]


@pytest.fixture(name="rig")
async def _rig() -> AsyncIterator[Rig]:
    rig = Rig()
    rig.heartbeat.wake()
    yield rig
    assert not rig.task.done()
    rig.task.cancel()
    await asyncio.gather(rig.task, return_exceptions=True)


async def test_it_registers_with_all_that_a_node_has(rig: Rig) -> None:
    """The RuntimeNode with the labels that placement uses, its status, and the Lease."""
    await rig.heartbeat.beaten.wait()
    assert rig.node["metadata"]["labels"] == {
        "kubernetes.io/hostname": "node1",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
    }
    assert rig.lease["spec"]["holderIdentity"] == "node1"
    assert rig.lease["spec"]["leaseDurationSeconds"] == 40
    shown = rig.node["status"]
    assert (shown["observedGeneration"], shown["conditions"][0]["observedGeneration"]) == (1, 1)
    assert shown["images"] == {"count": 0, "bytes": 0}, "also what is zero is said"


async def test_it_waits_for_something_to_tell() -> None:
    """Before the first wake nothing is registered: the runtime has not been asked yet."""
    rig = Rig()
    await asyncio.sleep(60)
    assert rig.api.writes == []
    rig.task.cancel()
    await asyncio.gather(rig.task, return_exceptions=True)


async def test_it_renews_the_lease_and_nothing_else(rig: Rig) -> None:
    """Every ten seconds one small write; the status only when it changes."""
    await rig.heartbeat.beaten.wait()
    writes = len(rig.api.writes)
    await asyncio.sleep(10 * RENEW_SECONDS + 1)
    assert [w[1] for w in rig.api.writes[writes:]] == ["leases"] * 10
    assert datetime.fromisoformat(rig.lease["spec"]["renewTime"]).tzinfo is not None
    assert set(rig.api.bodies[-1]["spec"]) == {"renewTime"}


async def test_a_change_is_told_with_the_next_beat(rig: Rig) -> None:
    """As a delta."""
    await rig.heartbeat.beaten.wait()
    rig.used = 95
    await until(lambda: rig.node["status"]["disk"]["percentUsed"] == 95, RENEW_SECONDS + 1)
    assert rig.api.bodies[-1] == {"status": {"disk": {"percentUsed": 95}}}


async def test_a_change_that_matters_is_told_at_once(rig: Rig) -> None:
    """A wake does not wait for the beat; a condition gets its time when its status changes, and keeps it otherwise."""
    await rig.heartbeat.beaten.wait()
    since = rig.node["status"]["conditions"][0]["lastTransitionTime"]
    await asyncio.sleep(25)
    rig.ready = "False"
    rig.heartbeat.wake()
    assert await until(lambda: rig.node["status"]["conditions"][0]["status"] == "False") < 0.1
    changed = rig.node["status"]["conditions"][0]["lastTransitionTime"]
    assert changed > since
    rig.used = 50
    await until(lambda: rig.node["status"]["disk"]["percentUsed"] == 50)
    assert rig.node["status"]["conditions"][0]["lastTransitionTime"] == changed


async def test_a_changed_spec_is_acknowledged_at_once(rig: Rig) -> None:
    """Who cordons a node and waits for it, by kstatus for instance, does not wait for the next beat."""
    await rig.heartbeat.beaten.wait()
    await asyncio.sleep(1)
    rig.node["metadata"]["generation"] = 2
    rig.heartbeat.seen(rig.node)
    assert await until(lambda: rig.node["status"]["observedGeneration"] == 2) < 0.1
    assert rig.node["status"]["conditions"][0]["observedGeneration"] == 2


async def test_a_new_agent_takes_over_what_is_there(rig: Rig) -> None:
    """Nothing is written but the Lease, and what people added stays."""
    await rig.heartbeat.beaten.wait()
    rig.node["metadata"]["labels"]["zone"] = "a"
    client: Any = rig.api
    writes = len(rig.api.writes)
    again = Heartbeat(client, "node1", rig.judge)
    task = asyncio.create_task(again.run())
    again.wake()
    await again.beaten.wait()
    assert {w[1] for w in rig.api.writes[writes:]} == {"leases"}
    assert rig.node["metadata"]["labels"]["zone"] == "a"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_missing_label_is_added(rig: Rig) -> None:
    """A RuntimeNode that was written by hand gets what placement needs."""
    await rig.heartbeat.beaten.wait()
    del rig.node["metadata"]["labels"]["kubernetes.io/os"]
    rig.heartbeat.lost()
    await until(lambda: "kubernetes.io/os" in rig.node["metadata"]["labels"], 1)


async def test_a_deleted_node_registers_again(rig: Rig) -> None:
    """`kubectl delete rn`: it comes back at once, with its whole status."""
    await rig.heartbeat.beaten.wait()
    before = rig.node["status"]
    del rig.api.objects["runtimenodes", "", "node1"]
    rig.heartbeat.lost()
    await until(lambda: ("runtimenodes", "", "node1") in rig.api.objects and "status" in rig.node, 1)
    assert rig.node["status"].keys() == before.keys()


async def test_a_deleted_lease_is_made_again(rig: Rig) -> None:
    """With the next beat."""
    await rig.heartbeat.beaten.wait()
    rig.api.objects.pop(("leases", "moorage-node-lease", "node1"))
    await until(lambda: ("leases", "moorage-node-lease", "node1") in rig.api.objects, RENEW_SECONDS + 1)
    assert rig.lease["spec"]["holderIdentity"] == "node1"


async def test_an_outage_is_followed_by_a_beat_soon(rig: Rig) -> None:
    """Well within the Lease's duration."""
    await rig.heartbeat.beaten.wait()
    rig.api.down = True
    await asyncio.sleep(100)
    rig.api.down = False
    before = rig.api.written("leases")
    await until(lambda: rig.api.written("leases") > before, RENEW_SECONDS / 4 + 0.1)


async def test_a_start_without_an_api_server_is_repeated_quickly() -> None:
    """The first beat comes within a second of the API server."""
    rig = Rig()
    rig.heartbeat.wake()
    rig.api.refusal = ApiForbidden("not yet")
    await asyncio.sleep(30)
    rig.api.refusal = None
    await until(rig.heartbeat.beaten.is_set, 1.1)
    rig.task.cancel()
    await asyncio.gather(rig.task, return_exceptions=True)


async def test_the_generation_that_it_has_seen_is_told(rig: Rig) -> None:
    """After `kubectl cordon`-like edits observedGeneration follows."""
    await rig.heartbeat.beaten.wait()
    rig.heartbeat.seen({"metadata": {"generation": 7}})
    await until(lambda: rig.node["status"]["observedGeneration"] == 7, RENEW_SECONDS + 1)
