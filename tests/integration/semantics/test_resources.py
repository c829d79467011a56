"""Requests and limits, and their changes while a container runs, as the kernel has them at the end.

Source of the rules, unless a case names another: kubernetes.io, "Resource Management for Pods and Containers"
(docs/concepts/configuration/manage-resources-containers/), and for changes "Resize CPU and Memory Resources assigned to
Containers" (docs/tasks/configure-pod-container/resize-container-resources/).
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.containerd.host import detect_host
from tests.harness import GROUP, NAMESPACE, Object, message, ready, workload
from tests.integration.semantics.cases import Case, Check, ended, is_ready, main, restarted, shell
from tests.integration.semantics.cgroup import UNLIMITED, held_to, weight
from tests.integration.semantics.world import World

NODE = "semantics-resources"
OPTIONS = ("--pids-limit", "500", "--system-reserved", "memory=1Gi")

MIB = 1 << 20
TOTAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
NEVER = {"restartPolicy": "Never"}
FULL = {"cpu": "100m", "memory": "64Mi"}


def asks(**resources: Any) -> dict[str, Any]:
    """A container with resources."""
    return {"resources": resources}


def told(qos: str, **resources: Any) -> Check:
    """It is ready, of that class, and told to be promised and held to that."""

    def true(obj: Object) -> bool:
        wanted = {"requests": {}, "limits": {}} | resources if resources else None
        return is_ready(obj) and obj["status"]["qosClass"] == qos and main(obj).get("resources") == wanted

    return true


def stalled(reason: str, *words: str) -> Check:
    """It cannot go on, for that reason, in these words."""

    def true(obj: Object) -> bool:
        found = {c["type"]: c for c in obj.get("status", {}).get("conditions", [])}
        told = found.get("Ready", {})
        return "Stalled" in found and told["reason"] == reason and all(w in told["message"] for w in words)

    return true


HELD: dict[str, tuple[Case, dict[str, str], int]] = {
    "plain": (
        Case(
            "what says nothing has the least weight, no limit but the node's of processes, and goes first",
            {},
            told("BestEffort"),
        ),
        {"weight": weight(2), "cpu": UNLIMITED, "memory": UNLIMITED, "pids": "500"},
        1000,
    ),
    "guaranteed": (
        Case(
            "limits are promised, too, where no request is said, and what is limited in both goes last",
            asks(limits=FULL),
            told("Guaranteed", limits=FULL, requests=FULL),
        ),
        {"weight": weight(102), "cpu": "10000", "memory": str(64 * MIB), "pids": "500"},
        -997,
    ),
    "burstable": (
        Case(
            "a request is the weight, a limit the bound",
            asks(requests={"cpu": "50m", "memory": "1Gi"}, limits={"cpu": "1", "memory": "2Gi"}),
            told("Burstable", requests={"cpu": "50m", "memory": "1Gi"}, limits={"cpu": "1", "memory": "2Gi"}),
        ),
        {"weight": weight(51), "cpu": "100000", "memory": str(2048 * MIB), "pids": "500"},
        1000 - 1000 * 1024 * MIB // TOTAL,
    ),
    "requests": (
        Case("a request alone limits nothing", asks(requests={"cpu": "20m"}), told("Burstable", requests={"cpu": "20m"})),
        {"weight": weight(20), "cpu": UNLIMITED, "memory": UNLIMITED, "pids": "500"},
        999,
    ),
    "zero": (
        Case("a limit of 0 is none", asks(limits={"cpu": 0, "memory": "0"}), told("BestEffort")),
        {"weight": weight(2), "cpu": UNLIMITED, "memory": UNLIMITED, "pids": "500"},
        1000,
    ),
    "tiny": (
        Case(
            "the least quota is a millisecond in each tenth of a second",
            asks(requests={"cpu": "1m"}, limits={"cpu": "5m"}),
            told("Burstable", requests={"cpu": "1m"}, limits={"cpu": "5m"}),
        ),
        {"weight": weight(2), "cpu": "1000", "memory": UNLIMITED, "pids": "500"},
        999,
    ),
    "pids": (
        Case("a limit of processes of its own", asks(limits={"pids": 7}), told("BestEffort", limits={"pids": "7"})),
        {"weight": weight(2), "cpu": UNLIMITED, "memory": UNLIMITED, "pids": "7"},
        1000,
    ),
}

ENDS = {
    "oom": Case(
        "what needs more memory than its limit is killed, and the reason says so",
        shell("exec tail /dev/zero") | asks(limits={"memory": "16Mi"}),
        ended("Failed", exitCode=137, reason="OOMKilled"),
        NEVER,
    ),
    "forks": Case(
        "what starts more processes than its limit cannot (kubernetes.io, Process ID Limits And Reservations)",
        shell("for n in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait") | asks(limits={"pids": 4}),
        ended("Failed", exitCode=2, reason="Error"),
        NEVER,
    ),
    "too-small": Case(
        "a limit of memory that no process fits into",
        asks(limits={"memory": "4Ki"}),
        stalled("CreateContainerConfigError", "memory limit of 4096 bytes is too low"),
    ),
    "never-fits": Case(
        "what asks for more than the node has is not started (Kubernetes: the pod's phase is Failed, OutOfcpu)",
        asks(requests={"cpu": "1000"}),
        stalled("OutOfcpu", "node didn't have enough resource: cpu, requested: 1000000, used: "),
    ),
    "reserved": Case(
        "nor what would fit but for what is reserved for the system",
        asks(requests={"memory": TOTAL - 1000 * MIB}),
        stalled("OutOfmemory", f"capacity: {TOTAL - 1024 * MIB}"),
    ),
    "huge": Case(
        "huge pages are to be had where a node has them (docs/tasks/manage-hugepages/scheduling-hugepages/)",
        asks(limits={"cpu": "1m", "hugepages-1Gi": "1024Gi"}),
        stalled("OutOfhugepages", "resource: hugepages-1Gi, requested: 1099511627776"),
    ),
    "no-start": Case(
        "a limit of memory that the process cannot even begin in",
        asks(limits={"memory": "1Mi"}),
        ended("Failed", exitCode=128, reason="StartError"),
        NEVER,
    ),
}


@pytest.fixture(scope="module")
def settled(world: World) -> World:
    """Every case at once."""
    world.apply({**{name: case for name, (case, _, _) in HELD.items()}, **ENDS, **RESIZED, **OTHERS})
    return world


@pytest.mark.parametrize("name", HELD)
def test_what_the_kernel_has(settled: World, name: str) -> None:
    """Cgroup and OOM score are those of the kubelet's rules, the score as far as this machine allows."""
    case, cgroup, score = HELD[name]
    settled.holds(name, case)
    assert held_to(NODE, _id(settled, name)) == cgroup, case.sentence
    found = int(Path(f"/proc/{settled.pid(name)}/oom_score_adj").read_text())
    assert found == max(score, detect_host().oom_score_floor)


@pytest.mark.parametrize("name", ENDS)
def test_what_comes_of_too_little(settled: World, name: str) -> None:
    """The manifest leads to the state of the world."""
    settled.holds(name, ENDS[name])


def _id(world: World, name: str) -> str:
    """Id of the instance's only container that runs."""
    (found,) = (key for key in world.site.containers() if key.startswith(f"{name}-main-"))
    return found


def _policy(resource: str) -> dict[str, Any]:
    return {"resizePolicy": [{"resourceName": resource, "restartPolicy": "RestartContainer"}]}


RESIZED: dict[str, Case] = {
    "resize": Case("", asks(limits=FULL), is_ready),
    "resize-cpu": Case("", asks(limits=FULL) | _policy("cpu"), is_ready),
    "resize-memory": Case("", asks(limits=FULL) | _policy("memory"), is_ready),
    "resize-full": Case(
        "",
        shell("dd if=/dev/zero of=/dev/shm/full bs=1M count=30; echo full; exec sleep 1000000")
        | asks(requests={"memory": "8Mi"}, limits={"memory": "64Mi"}),
        is_ready,
    ),
}
MORE = {"cpu": "200m", "memory": "96Mi"}


def in_force(**limits: str) -> Check:
    """It is ready, and told to be held to that."""
    return lambda o: ready(o) and main(o)["resources"]["limits"] == limits


def test_changes_in_place(settled: World) -> None:
    """More, less, and no limit at all reach the process that runs, without a restart, and status tells each."""
    before = settled.until("resize", is_ready)
    pid = settled.pid("resize")
    settled.apply({"resize": Case("", asks(limits=MORE), is_ready)})
    settled.until("resize", in_force(**MORE))
    key = _id(settled, "resize")
    assert held_to(NODE, key) == {"weight": weight(204), "cpu": "20000", "memory": str(96 * MIB), "pids": "500"}
    less = {"cpu": "50m", "memory": "32Mi", "pids": 20}
    settled.apply({"resize": Case("", asks(requests={"cpu": "10m"}, limits=less), is_ready)})
    settled.until("resize", in_force(cpu="50m", memory="32Mi", pids="20"))
    assert held_to(NODE, key) == {"weight": weight(10), "cpu": "5000", "memory": str(32 * MIB), "pids": "20"}
    settled.apply({"resize": Case("", {}, is_ready)})
    after = settled.until("resize", told("BestEffort"))
    assert held_to(NODE, key) == {"weight": weight(2), "cpu": UNLIMITED, "memory": UNLIMITED, "pids": "500"}
    assert (settled.pid("resize"), main(after)["containerID"]) == (pid, main(before)["containerID"])
    settled.told("resize", ("ResizeCompleted: Resized container main: ",))


def test_a_restart_where_the_policy_asks_for_one(settled: World) -> None:
    """It is restarted for the resource that says RestartContainer, with all that has changed, and not for the other."""
    for name in ("resize-cpu", "resize-memory"):
        settled.until(name, is_ready)
    pid = settled.pid("resize-memory")
    settled.apply(
        {
            "resize-cpu": Case("", asks(limits=MORE) | _policy("cpu"), is_ready),
            "resize-memory": Case("", asks(limits=FULL | {"cpu": "200m"}) | _policy("memory"), is_ready),
        }
    )
    settled.until("resize-cpu", lambda o: ready(o) and restarted(1)(o))
    assert held_to(NODE, _id(settled, "resize-cpu"))["cpu"] == "20000"
    settled.until("resize-memory", in_force(**FULL | {"cpu": "200m"}))
    assert settled.pid("resize-memory") == pid


def test_memory_that_is_in_use_is_not_taken_away(settled: World) -> None:
    """A limit below it is told and not set: the process runs on. A limit that fits is set when it comes."""
    settled.until("resize-full", is_ready)
    settled.until_said("resize-full", "full")
    pid, case = settled.pid("resize-full"), RESIZED["resize-full"].container
    low = case | asks(requests={"memory": "8Mi"}, limits={"memory": "16Mi"})
    settled.apply({"resize-full": Case("", low, is_ready)})
    settled.until("resize-full", lambda o: _waits(o, "Resizing", "below what is in use"))
    settled.told("resize-full", ("ResizeError: container main: a memory limit of 16777216 bytes is below",))
    assert held_to(NODE, _id(settled, "resize-full"))["memory"] == str(64 * MIB)
    fits = case | asks(requests={"memory": "8Mi"}, limits={"memory": "48Mi"})
    settled.apply({"resize-full": Case("", fits, is_ready)})
    settled.until("resize-full", in_force(memory="48Mi"))
    assert held_to(NODE, _id(settled, "resize-full"))["memory"] == str(48 * MIB)
    assert settled.pid("resize-full") == pid


def _waits(obj: Object, reason: str, words: str) -> bool:
    (found,) = (c for c in obj["status"]["conditions"] if c["type"] == "Ready")
    return (found["status"], found["reason"]) == ("Unknown", reason) and words in found["message"] and main(obj)["ready"]


OTHERS: dict[str, Case] = {"older": Case("", asks(limits=FULL), is_ready)}


def test_an_update_of_the_agent_restarts_nothing(settled: World) -> None:
    """A container with limits that an earlier release made, as its labels tell, runs on, and gets what was missing then."""
    settled.until("older", is_ready)
    key, pid = _id(settled, "older"), settled.pid("older")
    others = settled.site.containers()
    settled.site.agent.stop()
    older = _older_hash(settled.site.api.get(f"{GROUP}/namespaces/default/containerinstances/older"))
    marks = (f"moorage.dev/spec-hash={older}", "moorage.dev/resources=")
    settled.site.containerd.ctr("containers", "label", key, *marks, namespace=NAMESPACE)
    settled.site.agent.start()
    settled.until_noted("older", "moorage.dev/resources")
    assert settled.pid("older") == pid
    assert settled.site.containers().items() >= others.items()
    settled.until("older", in_force(**FULL))


def _older_hash(obj: Mapping[str, Any]) -> str:
    """The label as releases have written it that knew nothing of requests."""
    (made,) = obj["spec"]["containers"]
    fields = {name: made[name] for name in ("image", "command")} | {"resources": {"limits": made["resources"]["limits"]}}
    text = json.dumps({"container": fields, "instance": {"network": "None"}}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_changed_template_reaches_what_runs(settled: World) -> None:
    """Of a workload, too, nothing is replaced when only its resources change."""
    site = settled.site
    site.apply(workload("sized", site.registry, container=asks(limits=FULL), placement={"nodeName": NODE}))
    site.workloads(lambda found: ready(found["sized"]))
    (before,) = (i for i in site.instances().values() if i["metadata"]["name"].startswith("sized-"))
    site.apply(workload("sized", site.registry, container=asks(limits=MORE), placement={"nodeName": NODE}))
    name = before["metadata"]["name"]
    after = settled.until(name, in_force(**MORE))
    site.workloads(lambda found: ready(found["sized"]))
    assert main(after)["containerID"] == main(before)["containerID"]


def test_the_node_tells_what_it_has(settled: World) -> None:
    """What is reserved for the system is not for instances (docs/tasks/administer-cluster/reserve-compute-resources/)."""
    status = settled.site.api.get(f"{GROUP}/runtimenodes/{NODE}")["status"]
    assert status["capacity"]["cpu"] == status["allocatable"]["cpu"] == str(os.cpu_count())
    assert status["capacity"]["memory"] == f"{TOTAL // 1024}Ki"
    assert status["allocatable"]["memory"] == f"{TOTAL // 1024 - 1024 * 1024}Ki"


def test_a_workload_goes_where_there_is_room(settled: World) -> None:
    """Of either mode: it says what lacks, in the scheduler's words, and is placed when an instance by hand makes room."""
    site = settled.site
    most = TOTAL - 6 * 1024 * MIB
    settled.apply({"big": Case("", asks(requests={"memory": most}), is_ready)})
    settled.until("big", is_ready)
    large = asks(requests={"memory": most // 2})
    site.apply(
        workload("some", site.registry, container=large),
        workload("all", site.registry, container=large, mode="Global"),
        workload("none", site.registry, container=asks(requests={"cpu": "1000"})),
    )
    told = "0/1 nodes are available: 1 Insufficient memory"
    site.workloads(lambda found: all(n in found and told in message(found[n]) for n in ("some", "all")))
    site.workloads(lambda found: "0/1 nodes are available: 1 Insufficient cpu" in message(found["none"]))
    assert not [name for name in site.instances() if name.startswith(("some-", "all-", "none-"))]
    settled.delete("big")
    site.workloads(lambda found: ready(found["some"]) or ready(found["all"]))
    site.plane.kubectl("delete", "cw", "some", "all", "none", "--wait=false")
    site.instances(lambda found: not [name for name in found if name.startswith(("some-", "all-", "none-"))])
