"""Which containers are started again, work that ends, deadlines, and one container alone, on a real containerd.

Source of the rules, unless a case names another: kubernetes.io, "Pod Lifecycle" (docs/concepts/workloads/pods/pod-lifecycle/)
and KEP-5307 for what a container says itself.
"""

import os
import signal
from typing import Any

import pytest

from tests.harness import GROUP, ready
from tests.integration.semantics.cases import Case, Check, both, ended, init, is_ready, main, restarted, shell, summary
from tests.integration.semantics.world import SECONDS, World

ALWAYS, FAILURE, NEVER = ({"restartPolicy": p} for p in ("Always", "OnFailure", "Never"))
SLOW = {"backoff": {"initialSeconds": 3600, "maxSeconds": 3600}}
POLITE = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


def rules(operator: str, *codes: int) -> dict[str, Any]:
    """An exception from the container's restartPolicy."""
    return {"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": operator, "values": list(codes)}}]}


def beside(text: str, **fields: Any) -> dict[str, Any]:
    """A second container that runs a script."""
    return {"name": "side", **shell(text), **fields}


def side(obj: dict[str, Any]) -> dict[str, Any]:
    """Status of the second container."""
    found = obj.get("status", {}).get("containers") or []
    return next((c for c in found if c["name"] == "side"), {})


def stalled(reason: str) -> Check:
    """It has failed for that reason, and is to be left so."""
    return lambda obj: any(
        c["type"] == "Stalled" and c["status"] == "True" and c["reason"] == reason for c in obj["status"].get("conditions", ())
    )


CASES = {
    "always": Case("restartPolicy Always: also after a success", shell("true"), restarted(1, exitCode=0), ALWAYS | SLOW),
    "failure": Case("OnFailure: after a failure", shell("exit 3"), restarted(1, exitCode=3), FAILURE | SLOW),
    "failure-done": Case("but not after a success", shell("true"), ended("Succeeded", exitCode=0), FAILURE),
    "never": Case("Never: neither", shell("exit 3"), both(ended("Failed", exitCode=3), stalled("Error")), NEVER),
    "never-killed": Case(
        "a signal is a failure like others", shell("sh -c 'kill -9 $$$$'; exit $?"), ended("Failed", exitCode=137), NEVER
    ),
    "own-never": Case(
        "a container's own policy counts for it: Never",
        shell("exit 3") | NEVER,
        both(ended("Failed", exitCode=3), stalled("Error")),
        ALWAYS,
    ),
    "own-always": Case("Always", shell("true") | ALWAYS, restarted(1, exitCode=0), NEVER | SLOW),
    "own-failure": Case("OnFailure", shell("exit 3") | FAILURE, restarted(1, exitCode=3), NEVER | SLOW),
    "own-failure-done": Case("OnFailure, after a success", shell("true") | FAILURE, ended("Succeeded"), ALWAYS),
    "rule-in": Case(
        "a rule for its exit code restarts it", shell("exit 42") | NEVER | rules("In", 42), restarted(1, exitCode=42), SLOW
    ),
    "rule-in-other": Case(
        "and for no other", shell("exit 41") | NEVER | rules("In", 42), ended("Failed", exitCode=41), SLOW
    ),
    "rule-not-in": Case(
        "NotIn: for all others", shell("exit 3") | NEVER | rules("NotIn", 42, 0), restarted(1, exitCode=3), SLOW
    ),
    "rule-not-in-it": Case(
        "but not for these", shell("exit 42") | NEVER | rules("NotIn", 42, 0), ended("Failed", exitCode=42), SLOW
    ),
    "alone": Case(
        "each has its own policy and back-off: one that ended does not touch the other",
        {},
        both(
            lambda o: main(o).get("restartCount") == 0 and main(o)["ready"],
            lambda o: side(o).get("restartCount") == 1 and "CrashLoopBackOff" in str(side(o)["state"].get("waiting")),
        ),
        SLOW,
    ),
    "half-done": Case(
        "one that has completed beside one that runs: Ready, and not Completed",
        {},
        both(ready, summary("Running"), lambda o: side(o)["state"]["terminated"]["exitCode"] == 0),
    ),
    "both-done": Case(
        "when all have ended with success the instance has Succeeded",
        shell("true"),
        both(ended("Succeeded"), summary("Completed"), ready),
        NEVER,
    ),
    "one-failed": Case(
        "and Failed when one has not",
        shell("true"),
        both(lambda o: o["status"].get("phase") == "Failed", stalled("Error")),
        NEVER,
    ),
    # --- activeDeadlineSeconds
    "deadline": Case(
        "activeDeadlineSeconds: what has not ended by then is stopped for good",
        shell(POLITE),
        both(ended("Failed", exitCode=0), stalled("DeadlineExceeded"), summary("DeadlineExceeded")),
        {"activeDeadlineSeconds": 10, "terminationGracePeriodSeconds": 5},
        events=("DeadlineExceeded: it was active for longer", "Killing: Stopping container main: it was active for longer"),
    ),
    "deadline-deaf": Case(
        "killed, when it does not stop within the grace period",
        shell("trap '' TERM; while true; do sleep 0.1; done"),
        both(ended("Failed", exitCode=137), stalled("DeadlineExceeded")),
        {"activeDeadlineSeconds": 10},
    ),
    "deadline-crash": Case(
        "one that crashes is not started again",
        shell("exit 3"),
        both(ended("Failed", exitCode=3), stalled("DeadlineExceeded")),
        SLOW | {"activeDeadlineSeconds": 10},
    ),
    "deadline-init": Case(
        "init containers are in it",
        {},
        both(
            stalled("DeadlineExceeded"),
            lambda o: o["status"].get("phase") == "Failed" and "terminated" in init(o, "one").get("state", {}),
        ),
        {"activeDeadlineSeconds": 10, "initContainers": [{"name": "one", **shell(POLITE)}]},
    ),
    "deadline-kept": Case(
        "what ends in time is not held against it",
        shell("sleep 1"),
        both(ended("Succeeded"), ready),
        NEVER | {"activeDeadlineSeconds": 600},
    ),
}  # fmt: skip

SIDES = {
    "alone": beside("sleep 0.5; exit 3"),
    "half-done": beside("true", restartPolicy="OnFailure"),
    "both-done": beside("true"),
    "one-failed": beside("exit 3"),
}
"""Second containers of the cases that have one."""


def whole(world: World, name: str) -> Case:
    """A case with its second container, if it has one."""
    case = CASES[name]
    if name not in SIDES:
        return case
    image = f"{world.site.registry.host}/busybox:1"
    first = {"name": "main", "image": image, "command": ["sleep", "1000000"]} | case.container
    return Case(case.sentence, {}, case.then, case.spec | {"containers": [first, {"image": image} | SIDES[name]]})


@pytest.fixture(scope="module")
def settled(world: World) -> World:
    """Every case at once."""
    world.apply({name: whole(world, name) for name in CASES})
    return world


@pytest.mark.parametrize("name", CASES)
def test_case(settled: World, name: str) -> None:
    """The manifest leads to the state of the world."""
    settled.holds(name, CASES[name])


def pair(world: World, **fields: Any) -> Case:
    """Two containers; `fields` are the second one's."""
    image = f"{world.site.registry.host}/busybox:1"
    listed = [{"name": n, "image": image, **shell(POLITE)} for n in ("main", "side")]
    return Case("", {}, ready, NEVER | {"containers": [listed[0], listed[1] | fields], "terminationGracePeriodSeconds": 5})


def pids(world: World, name: str) -> dict[str, int]:
    """Process ids by container."""
    return {key.split("-")[1]: pid for key, pid in world.site.containers().items() if key.startswith(f"{name}-")}


def test_one_container_is_stopped_and_started_alone(settled: World) -> None:
    """`suspend: true` stops it, and all is settled so; `false` starts it again, under Never, too; the other runs on."""
    settled.apply({"one": pair(settled)})
    settled.until("one", lambda o: o["status"].get("ready") == "2/2")
    before = pids(settled, "one")
    settled.apply({"one": pair(settled, suspend=True)})
    settled.until("one", lambda o: ready(o) and side(o)["state"].get("waiting", {}).get("reason") == "Suspended")
    assert pids(settled, "one") == {"main": before["main"]}
    for name, case in CASES.items():  # an Event that has not been written yet goes with the agent
        settled.told(name, case.events)
    settled.site.agent.stop()
    settled.site.agent.start()
    settled.apply({"one": pair(settled, suspend=False)})
    settled.until("one", lambda o: ready(o) and o["status"]["ready"] == "2/2" and side(o)["restartCount"] == 1)
    after = pids(settled, "one")
    assert after["main"] == before["main"]
    assert after["side"] != before["side"]


def test_one_container_is_restarted_alone(settled: World) -> None:
    """A new `restartedAt` restarts it once; the same again does nothing; the other runs on."""
    settled.apply({"again": pair(settled)})
    settled.until("again", lambda o: o["status"].get("ready") == "2/2")
    before = pids(settled, "again")
    for _ in range(2):
        settled.apply({"again": pair(settled, restartedAt="2026-11-28T12:00:00Z")})
        settled.until("again", lambda o: ready(o) and o["status"]["ready"] == "2/2" and side(o)["restartCount"] == 1)
    after = pids(settled, "again")
    assert after["main"] == before["main"]
    assert after["side"] != before["side"]


def workload(world: World, name: str, text: str) -> dict[str, Any]:
    """Work that ends, two copies of it."""
    image = f"{world.site.registry.host}/busybox:1"
    spec = {"network": "None", "containers": [{"name": "main", "image": image, **shell(text)}], **NEVER}
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerWorkload",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": 2, "template": {"spec": spec}},
    }


def test_a_workload_is_complete_or_failed_as_a_job(settled: World) -> None:
    """`kubectl wait` for Complete returns when every copy has succeeded, for Failed when all ended, and one did not."""
    settled.site.apply(workload(settled, "works", "sleep 1"), workload(settled, "breaks", "exit 3"))
    for name, condition in (("works", "Complete"), ("breaks", "Failed")):
        settled.site.plane.kubectl("wait", f"cw/{name}", f"--for=condition={condition}", f"--timeout={SECONDS:g}s")
        found = settled.site.api.get(f"{GROUP}/namespaces/default/containerworkloads/{name}")
        kinds = {c["type"]: c["status"] for c in found["status"]["conditions"]}
        settled_as = {"Complete": {"Ready": "True"}, "Failed": {"Ready": "False", "Stalled": "True"}}[condition]
        assert kinds == settled_as | {condition: "True"}


def test_back_off_is_per_container(settled: World) -> None:
    """A second crash waits for its pause, while the other container's first one is restarted at once."""
    case = pair(settled)
    case = Case("", {}, is_ready, case.spec | ALWAYS | SLOW)
    settled.apply({"pause": case})
    settled.until("pause", lambda o: o["status"].get("ready") == "2/2")
    os.kill(pids(settled, "pause")["side"], signal.SIGKILL)
    settled.until("pause", lambda o: side(o)["restartCount"] == 1 and "running" in side(o)["state"])
    os.kill(pids(settled, "pause")["side"], signal.SIGKILL)
    settled.until("pause", lambda o: side(o)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff")
    os.kill(pids(settled, "pause")["main"], signal.SIGKILL)
    settled.until("pause", lambda o: main(o)["restartCount"] == 1 and "running" in main(o)["state"])
