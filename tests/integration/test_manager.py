"""The manager on a real API server and garbage collector, with agents that run nothing."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import yaml

from controller.api.labels import NODE
from controller.kube.connection import Connection
from controller.manager.manager import ManagerSettings, run
from controller.telemetry.health import Health
from tests.harness import GROUP, Object, Objects, Watcher
from tests.integration.fake_agents import FakeAgents, Verdict
from tools.lab import ControlPlane
from tools.lab.rights import manager_user

NAMES = ("m1", "m2", "m3")
WORKLOADS = f"{GROUP}/namespaces/default/containerworkloads"
INSTANCES = f"{GROUP}/namespaces/default/containerinstances"


def workload(name: str = "web", image: str = "web:1", **spec: Any) -> Object:
    """A workload."""
    template = {"spec": {"hostNetwork": True, "containers": [{"name": "web", "image": image}]}}
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerWorkload",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec | {"template": template},
    }


def ready(obj: Object) -> Object:
    """The Ready condition, empty while there is none."""
    conditions = obj.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {})


def settled(obj: Object) -> bool:
    """Whether the workload is Ready in its present generation."""
    status = obj.get("status", {})
    return ready(obj).get("status") == "True" and status.get("observedGeneration") == obj["metadata"]["generation"]


def all_settled(count: int = 1) -> Callable[[Objects], bool]:
    """That many workloads exist, and all are Ready."""
    return lambda found: len(found) == count and all(settled(o) for o in found.values())


class Site:
    """The manager, three fake agents, and kubectl."""

    def __init__(self, plane: ControlPlane, agents: FakeAgents) -> None:
        self.plane, self.agents, self.api = plane, agents, Watcher(plane)

    async def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl; its output."""
        return (await asyncio.to_thread(self.plane.kubectl, *arguments, stdin=stdin)).stdout

    async def apply(self, *objects: Object) -> None:
        """`kubectl apply` of some objects in one file."""
        await self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    async def workloads(self, true: Callable[[Objects], bool], seconds: float = 30.0) -> Objects:
        """The workloads, once something is true of them."""
        return await asyncio.to_thread(self.api.until, WORKLOADS, true, seconds)

    async def instances(self, true: Callable[[Objects], bool], seconds: float = 30.0) -> Objects:
        """The instances, once something is true of them."""
        return await asyncio.to_thread(self.api.until, INSTANCES, true, seconds)

    def writes(self, since: int = 0) -> Counter[str]:
        """What was written to our kinds since a position in the audit log, as `verb resource/subresource`.

        In the tests' own namespace: those of tests before it may still be on their way out, with workloads in them.
        """
        counted: Counter[str] = Counter()
        for line in self.plane.audit_log.read_text()[since:].splitlines():
            entry = json.loads(line)
            ref = entry.get("objectRef", {})
            if ref.get("apiGroup") != "moorage.dev" or entry["verb"] not in {"create", "patch", "update", "delete"}:
                continue
            if entry.get("userAgent", "").startswith("kubectl") or ref["resource"] == "runtimenodes":
                continue
            if ref.get("namespace", "default") != "default":
                continue
            sub = f"/{ref['subresource']}" if ref.get("subresource") else ""
            counted[f"{entry['verb']} {ref['resource']}{sub}"] += 1
        return counted


def manager(plane: ControlPlane, **settings: Any) -> contextlib.AbstractAsyncContextManager[None]:
    """The manager, in this process, with its own rights only."""
    kubeconfig = plane.kubeconfig_of("manager", manager_user(plane))
    return running(ManagerSettings(kubeconfig=str(kubeconfig), **settings))


@contextlib.asynccontextmanager
async def running(settings: ManagerSettings) -> AsyncIterator[None]:
    """The manager, in this process."""
    stop = asyncio.Event()
    task = asyncio.create_task(run(settings, stop, Health()))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


@pytest.fixture
def silence() -> float:
    """Seconds after which a node counts as lost: more than a busy machine takes, but in tests whose nodes are to be lost."""
    return 30.0


@pytest.fixture
async def site(plane: ControlPlane, silence: float) -> AsyncIterator[Site]:
    """Manager and agents, running; at the end everything is deleted and gone."""
    connection = await Connection.load(str(plane.kubeconfig))
    async with FakeAgents(connection, *NAMES) as agents:
        found = Site(plane, agents)
        async with manager(plane, silence_seconds=silence):
            try:
                yield found
            finally:
                for name in NAMES:
                    agents.revive(name)
                for kind in ("containerworkloads", "containerinstances"):
                    await found.kubectl("delete", kind, "--all", "-n", "default", "--wait=false")
                await found.instances(lambda left: not left, 40)


async def test_a_workload_becomes_ready_with_few_writes(site: Site) -> None:
    """One create and one status by the manager for each of 20 fresh workloads that become ready at once."""
    begin = len(site.plane.audit_log.read_text())
    await site.apply(*(workload(f"web-{n}") for n in range(20)))
    await site.workloads(all_settled(20))
    writes = site.writes(begin)
    assert writes["create containerinstances"] == 20
    assert writes["patch containerinstances"] == 0
    assert writes["patch containerworkloads/status"] <= 2 * 20
    assert sum(writes.values()) <= 4 * 20
    found = await site.instances(lambda found: len(found) == 20)
    spread = Counter(o["spec"]["nodeName"] for o in found.values())
    assert max(spread.values()) - min(spread.values()) <= 1


async def test_what_is_settled_is_left_alone(site: Site) -> None:
    """Nothing is written any more when nothing happens, also by a manager that has just started."""
    await site.apply(workload(replicas=3))
    await site.workloads(all_settled())
    begin = len(site.plane.audit_log.read_text())
    async with manager(site.plane):
        await asyncio.sleep(2.0)
    assert site.writes(begin) == Counter()


async def test_scaling_by_kubectl(site: Site) -> None:
    """`kubectl scale` reaches the instances, and the scale subresource tells their number and selector."""
    await site.apply(workload())
    await site.workloads(all_settled())
    await site.kubectl("scale", "containerworkload/web", "--replicas=5")
    found = await site.workloads(lambda found: settled(found["web"]) and found["web"]["status"]["ready"] == "5/5")
    scale = json.loads(await site.kubectl("get", "--raw", f"{WORKLOADS}/web/scale"))
    assert scale["status"] == {"replicas": 5, "selector": found["web"]["status"]["selector"]}
    listed = await site.kubectl("get", "ci", "-l", scale["status"]["selector"], "-o", "name")
    assert len(listed.split()) == 5
    await site.kubectl("scale", "containerworkload/web", "--replicas=1")
    await site.instances(lambda found: len(found) == 1)


async def test_a_rolling_update_keeps_within_max_unavailable(site: Site) -> None:
    """At every moment of the update at least 4 of 6 instances are up to date with their spec and ready; uids are kept."""
    await site.apply(workload(replicas=6, update={"maxUnavailable": 2}))
    await site.workloads(all_settled())
    before = await site.instances(lambda found: len(found) == 6)
    lowest = 6

    def finished(found: Objects) -> bool:
        nonlocal lowest
        up = [o for o in found.values() if settled(o)]
        lowest = min(lowest, len(up))
        return len(up) == 6 and all(o["spec"]["containers"][0]["image"] == "web:2" for o in found.values())

    watching = asyncio.create_task(site.instances(finished))
    await site.apply(workload(image="web:2", replicas=6, update={"maxUnavailable": 2}))
    after = await watching
    assert lowest >= 4
    assert {o["metadata"]["uid"] for o in after.values()} == {o["metadata"]["uid"] for o in before.values()}
    await site.workloads(all_settled())


async def test_a_bad_image_stops_the_rollout_and_is_told(site: Site) -> None:
    """With maxUnavailable 1 one instance is hit; the workload tells its own words; the next edit repairs it."""

    def judge(obj: Object) -> Verdict:
        image = obj["spec"]["containers"][0]["image"]
        if image == "nope:1":
            return (False, False, "ImagePullBackOff", f'container "web": {image} not found')
        return (True, False, "Running", "")

    site.agents.judge = judge
    await site.apply(workload(replicas=3))
    await site.workloads(all_settled())
    await site.apply(workload(image="nope:1", replicas=3))
    found = await site.workloads(lambda found: ready(found["web"]).get("reason") == "ImagePullBackOff")
    assert ready(found["web"])["message"].endswith('container "web": ImagePullBackOff: nope:1 not found')
    assert found["web"]["status"]["ready"] == "2/3"
    images = await site.instances(lambda found: len(found) == 3)
    assert Counter(o["spec"]["containers"][0]["image"] for o in images.values()) == {"web:1": 2, "nope:1": 1}
    await site.apply(workload(image="web:2", replicas=3))
    await site.workloads(all_settled())


async def test_suspend_and_resume(site: Site) -> None:
    """The objects stay, their spec says suspend, and the workload is settled with that reason."""
    await site.apply(workload(replicas=2))
    await site.workloads(all_settled())
    await site.kubectl("patch", "cw", "web", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    await site.workloads(lambda found: settled(found["web"]) and ready(found["web"])["reason"] == "Suspended")
    await site.instances(lambda found: len(found) == 2 and all(o["spec"]["suspend"] for o in found.values()))
    await site.kubectl("patch", "cw", "web", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    await site.workloads(lambda found: settled(found["web"]) and ready(found["web"])["reason"] == "Available")


async def test_a_global_workload_follows_the_nodes(site: Site) -> None:
    """One on every node that carries the label, also when the label comes and goes; a cordon keeps new ones away."""
    await site.kubectl("label", "rn", "m1", "m2", "disk=ssd")
    await site.apply(workload(mode="Global", placement={"nodeSelector": {"disk": "ssd"}}))
    await site.instances(lambda found: set(found) == {"web-m1", "web-m2"})
    await site.kubectl("label", "rn", "m3", "disk=ssd")
    await site.instances(lambda found: set(found) == {"web-m1", "web-m2", "web-m3"})
    await site.kubectl("label", "rn", "m1", "disk-")
    await site.instances(lambda found: set(found) == {"web-m2", "web-m3"})
    await site.kubectl("patch", "rn", "m1", "--type=merge", "-p", '{"spec":{"unschedulable":true}}')
    await site.kubectl("label", "rn", "m1", "disk=ssd")
    found = await site.workloads(all_settled())
    assert found["web"]["status"]["ready"] == "2/2"


@pytest.mark.parametrize("silence", [3.0])
async def test_a_lost_node_is_replaced_and_told(site: Site) -> None:
    """Its instance waits for its agent, a new one runs elsewhere, the node says so; back again, the old one goes."""
    await site.apply(workload(replicas=3, nodeLost={"afterSeconds": 1}))
    await site.workloads(all_settled())
    site.agents.silence("m3")
    nodes = f"{GROUP}/runtimenodes"
    lost = await asyncio.to_thread(site.api.until, nodes, lambda found: ready(found["m3"]).get("status") == "Unknown")
    assert ready(lost["m3"])["reason"] == "AgentStopped"
    await site.workloads(lambda found: settled(found["web"]) and found["web"]["status"]["nodes"] == "m1,m2")
    waiting = await site.instances(lambda found: len(found) == 4)
    assert [o["spec"]["nodeName"] for o in waiting.values() if "deletionTimestamp" in o["metadata"]] == ["m3"]
    site.agents.revive("m3")
    await site.instances(lambda found: len(found) == 3)


async def test_a_deleted_workload_takes_its_instances_with_it(site: Site) -> None:
    """By the garbage collector; an instance made by hand stays."""
    by_hand = {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerInstance",
        "metadata": {"name": "by-hand", "namespace": "default", "labels": {"moorage.dev/workload": "web"}},
        "spec": workload()["spec"]["template"]["spec"] | {"nodeName": "m1"},
    }
    await site.apply(by_hand, workload(replicas=3))
    await site.workloads(all_settled())
    await site.kubectl("delete", "cw", "web")
    await site.instances(lambda found: set(found) == {"by-hand"})


async def test_a_deleted_instance_comes_back(site: Site) -> None:
    """Deleting an instance is how a user restarts it."""
    await site.apply(workload())
    await site.workloads(all_settled())
    before = await site.instances(lambda found: len(found) == 1)
    (old,) = (o["metadata"]["uid"] for o in before.values())
    await site.kubectl("delete", "ci", "--all", "--wait=false")
    await site.instances(lambda found: [o["metadata"]["uid"] != old for o in found.values()] == [True])
    await site.workloads(all_settled())


@pytest.mark.parametrize("silence", [3.0])
async def test_a_deleted_node_lets_go_of_what_is_being_deleted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will confirm that nothing is left there: after a pause the finalizer is taken off."""
    for module in ("decide.availability", "nodes"):
        monkeypatch.setattr(f"controller.manager.{module}.ABSENT_SECONDS", 1.0)
    await site.apply(workload(replicas=3))
    await site.workloads(all_settled())
    site.agents.silence("m3")
    await site.kubectl("delete", "rn", "m3")
    found = await site.instances(
        lambda found: len(found) == 3 and {o["spec"]["nodeName"] for o in found.values()} == {"m1", "m2"}
    )
    assert all(o["metadata"]["labels"][NODE] != "m3" for o in found.values())


async def test_what_the_api_server_refuses_is_told(site: Site) -> None:
    """A policy forbids the instances: the workload carries the API server's answer, and recovers when it may."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-instances"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["moorage.dev"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE"],
                        "resources": ["containerinstances"],
                    }
                ]
            },
            "validations": [{"expression": "false", "message": "no instances today", "reason": "Forbidden"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "no-instances"},
        "spec": {"policyName": "no-instances", "validationActions": ["Deny"]},
    }
    probe = workload()["spec"]["template"]["spec"] | {"nodeName": "nowhere"}
    try:
        await site.apply(policy, binding)
        for n in range(100):  # a policy takes a moment to come into force
            refused = await asyncio.to_thread(
                site.plane.kubectl,
                "create",
                "--dry-run=server",
                "-f",
                "-",
                stdin=yaml.safe_dump(
                    {
                        "apiVersion": "moorage.dev/v1alpha1",
                        "kind": "ContainerInstance",
                        "metadata": {"name": f"probe-{n}"},
                        "spec": probe,
                    }
                ),
                check=False,
            )
            if refused.returncode:
                break
        await site.apply(workload())
        found = await site.workloads(lambda found: ready(found["web"]).get("reason") == "FailedCreate")
        assert "no instances today" in ready(found["web"])["message"]
        assert {c["type"]: c["status"] for c in found["web"]["status"]["conditions"]} == {"Ready": "False", "Stalled": "True"}
    finally:
        await site.kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "no-instances")
    await site.workloads(all_settled())


async def test_two_managers_and_one_leads(plane: ControlPlane) -> None:
    """With leader election the second one waits; when the first one ends, it takes over at once."""
    api = Watcher(plane)
    leases = "/apis/coordination.k8s.io/v1/namespaces/moorage-system/leases"

    def held_by(name: str) -> Callable[[Objects], bool]:
        return lambda found: any(o["spec"].get("holderIdentity") == name for o in found.values())

    async with contextlib.AsyncExitStack() as second:
        async with manager(plane, leader_elect=True, identity="first"):
            await asyncio.to_thread(api.until, leases, held_by("first"))
            await second.enter_async_context(manager(plane, leader_elect=True, identity="second"))
            await asyncio.sleep(3.0)
            assert held_by("first")(api.objects(leases))
        await asyncio.to_thread(api.until, leases, held_by("second"), 10)
