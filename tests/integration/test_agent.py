"""The node half on a real API server and a real containerd: what users see when containers run, crash, change and go."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import NAMESPACE, Object, Objects, Site, message, ready, reason, until_logged, workload


@pytest.fixture(name="site")
def _site(kept_site: Site) -> Site:
    """One for all tests here, empty for each of them."""
    return kept_site


def _status(obj: Object, name: str = "main") -> Object:
    found: list[Object] = obj["status"]["containers"]
    return next(c for c in found if c["name"] == name)


def _one(objects: Objects) -> Object:
    assert len(objects) == 1
    return next(iter(objects.values()))


def _all_ready(count: int) -> Callable[[Objects], bool]:
    return lambda found: len(found) == count and all(ready(o) for o in found.values())


def _log_file(site: Site, obj: Object, attempt: int = 0) -> Path:
    meta = obj["metadata"]
    return site.state / "containers" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}" / "main" / f"{attempt}.log"


def _log(site: Site, obj: Object, attempt: int = 0) -> str:
    return _log_file(site, obj, attempt).read_text()


def test_a_workload_runs_as_its_spec_says(site: Site) -> None:
    """Command, args, environment with expansion, and working directory are what the process sees; output goes to its log."""
    script = "echo $GREETING from $(pwd) as $0; exec sleep 1000000"
    container = {
        "command": ["sh", "-c", script],
        "args": ["$(NAME)"],
        "env": [{"name": "NAME", "value": "moorage"}, {"name": "GREETING", "value": "hello $(NAME) $$(NAME)"}],
        "workingDir": "/tmp",
    }
    site.apply(workload("spec", site.registry, container=container))
    found = _one(site.instances(_all_ready(1)))
    said = "hello moorage $(NAME) from /tmp as moorage\n"
    until_logged(_log_file(site, found), said)
    assert _log(site, found) == said
    status = _status(found)
    assert status["state"]["running"]["startedAt"]
    assert status["imageID"].startswith(f"{site.registry.host}/busybox:1@sha256:")
    assert found["status"]["phase"] == "Running"
    _one(site.workloads(_all_ready(1)))


def test_a_killed_process_is_started_again_at_once(site: Site) -> None:
    """The first restart after a crash waits for nothing; the end is told in lastState."""
    site.apply(workload("crash", site.registry))
    site.instances(_all_ready(1))
    (pid,) = site.containers().values()
    before = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    found = _one(site.instances(lambda o: _all_ready(1)(o) and _status(_one(o))["restartCount"] == 1))
    assert time.monotonic() - before < 1.5
    assert _status(found)["lastState"]["terminated"]["exitCode"] == 137
    assert len(site.containers()) == 1


def test_a_container_that_keeps_ending_is_started_with_growing_pauses(site: Site) -> None:
    """CrashLoopBackOff names the exit code; the pauses double; the previous log is kept."""
    spec = {"backoff": {"initialSeconds": 1, "maxSeconds": 2}}
    site.apply(workload("loop", site.registry, container={"command": ["sh", "-c", "echo bye; exit 3"]}, instance=spec))
    looping = site.instances(lambda o: bool(o) and reason(_one(o)) == "CrashLoopBackOff")
    assert "exit code 3" in message(_one(looping))
    found = _one(site.instances(lambda o: _status(_one(o))["restartCount"] >= 3, 20))
    assert _status(found)["lastState"]["terminated"]["exitCode"] == 3
    assert _status(found)["lastState"]["terminated"]["reason"] == "Error"
    assert _log(site, found, _status(found)["restartCount"] - 1) == "bye\n"  # this one may not have said it
    told = site.workloads(lambda o: reason(_one(o)) == "CrashLoopBackOff")
    assert _one(found_workloads := told)["status"]["conditions"], found_workloads


@pytest.mark.parametrize("tamper", ["task kill", "task delete", "container delete"])
def test_tampering_is_mended_within_a_second(site: Site, tamper: str) -> None:
    """What somebody does to our containers with ctr is repaired, and nothing of it stays."""
    site.apply(workload("tamper", site.registry))
    site.instances(_all_ready(1))
    ((container, pid),) = site.containers().items()
    before = time.monotonic()
    if tamper == "task kill":
        site.containerd.ctr("tasks", "kill", "-s", "SIGKILL", container, namespace=NAMESPACE)
    elif tamper == "task delete":
        site.containerd.ctr("tasks", "rm", "-f", container, namespace=NAMESPACE)
    else:
        os.kill(pid, signal.SIGSTOP)  # it must not matter in which state the process is
        site.containerd.ctr("tasks", "rm", "-f", container, namespace=NAMESPACE, check=False)
        site.containerd.ctr("containers", "rm", container, namespace=NAMESPACE, check=False)
    site.instances(lambda o: _all_ready(1)(o) and _status(_one(o))["restartCount"] >= 1, 10)
    assert time.monotonic() - before < 2.0
    assert len(site.containers()) == 1


def test_an_agent_restart_is_not_seen(site: Site) -> None:
    """Running containers are adopted: same processes, and not a single write to the API."""
    site.apply(*(workload(f"adopt{n}", site.registry) for n in range(3)))
    before = site.instances(_all_ready(3))
    pids = site.containers()
    site.agent.kill()
    site.agent.start()
    crash = pids[next(iter(pids))]
    time.sleep(3)  # longer than anything is held back: what was to be written has been written
    after = site.instances()
    assert site.containers() == pids
    assert crash in site.containers().values()
    assert {n: o["metadata"]["resourceVersion"] for n, o in after.items()} == {
        n: o["metadata"]["resourceVersion"] for n, o in before.items()
    }


def test_a_changed_container_is_swapped_and_its_neighbour_is_not(site: Site) -> None:
    """An update is made in place: the same instance, only the changed container gets a new process."""
    obj = workload("swap", site.registry)
    neighbour = {"name": "other", "image": f"{site.registry.host}/busybox:1", "command": ["sleep", "1000000"]}
    obj["spec"]["template"]["spec"]["containers"].append(neighbour)
    site.apply(obj)
    before = _one(site.instances(_all_ready(1)))
    pids = site.containers()
    assert len(pids) == 2
    obj["spec"]["template"]["spec"]["containers"][0]["command"] = ["sleep", "2000000"]
    site.apply(obj)
    after = _one(site.instances(lambda o: _all_ready(1)(o) and _one(o)["metadata"]["generation"] > 1))
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert len(set(pids.values()) & set(site.containers().values())) == 1
    assert _status(after, "other")["restartCount"] == 0
    assert _status(after)["restartCount"] == 1


def test_a_suspended_workload_runs_nothing_and_comes_back(site: Site) -> None:
    """Suspend stops the containers and keeps the objects."""
    site.apply(workload("pause", site.registry))
    uid = _one(site.instances(_all_ready(1)))["metadata"]["uid"]
    site.apply(workload("pause", site.registry, suspend=True))
    site.instances(lambda o: reason(_one(o)) == "Suspended")
    assert site.containers() == {}
    site.apply(workload("pause", site.registry))
    found = _one(site.instances(lambda o: _all_ready(1)(o) and reason(_one(o)) == "Running"))
    assert found["metadata"]["uid"] == uid


BAD: dict[str, tuple[Object, str, str]] = {
    "an image name that cannot be parsed": ({"image": "Not//An Image"}, "InvalidImageName", "Not//An Image"),
    "an image that the registry does not have": ({"image": "{registry}/nope:1"}, "ImagePullBackOff", "nope"),
    "a registry that does not answer": ({"image": "127.0.0.1:9/nope:1"}, "RegistryUnavailable", "127.0.0.1:9"),
    "an image that must not be pulled and is not there": (
        {"image": "{registry}/unpulled:1", "imagePullPolicy": "Never"},
        "ErrImageNeverPull",
        "unpulled:1",
    ),
    "a command that does not exist": ({"command": ["/no/such/thing"]}, "ContainerCannotRun", "/no/such/thing"),
    "a memory limit below what anything needs": (
        {"resources": {"limits": {"memory": "16Ki"}}},
        "CreateContainerConfigError",
        "memory limit",
    ),
    "a memory limit below what runc needs": ({"resources": {"limits": {"memory": "1100Ki"}}}, "StartError", "memory limit"),
    "a command that ends at once": ({"command": ["false"]}, "CrashLoopBackOff", "exit code 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_has_its_own_reason_and_disturbs_nobody(site: Site, case: str) -> None:
    """The instance and the workload name the cause, an event tells it, and another instance runs on."""
    change, expected, named = BAD[case]
    change = {k: v.format(registry=site.registry.host) if isinstance(v, str) else v for k, v in change.items()}
    site.apply(workload("good", site.registry), workload("bad", site.registry, container=change))
    found = site.instances(lambda o: any(n.startswith("bad-") and reason(i) == expected for n, i in o.items()), 40)
    bad = next(i for n, i in found.items() if n.startswith("bad-"))
    assert named in message(bad)
    workloads = site.workloads(lambda o: reason(o["bad"]) == expected and ready(o["good"]), 20)
    assert named in message(workloads["bad"])
    assert site.api.until("/api/v1/namespaces/default/events", lambda o: _told(o, bad), 20)


def _told(events: Objects, instance: Object) -> bool:
    uid = instance["metadata"]["uid"]
    return any(e["involvedObject"].get("uid") == uid and e["type"] == "Warning" for e in events.values())


def test_an_instance_written_by_hand_is_run_and_cleared(site: Site) -> None:
    """Without a manager's finalizer the agent sets its own, so that the deletion waits for the node."""
    template = workload("x", site.registry)["spec"]["template"]["spec"]
    obj = {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerInstance",
        "metadata": {"name": "by-hand", "namespace": "default"},
        "spec": {"nodeName": site.node, **template},
    }
    site.apply(obj)
    found = _one(site.instances(lambda o: _all_ready(1)(o) and bool(_one(o)["metadata"].get("finalizers"))))
    assert found["metadata"]["finalizers"] == ["moorage.dev/agent"]
    site.plane.kubectl("delete", "ci", "by-hand", timeout=20)
    assert site.containers() == {}


def test_a_process_that_ignores_its_stop_signal_is_killed_after_the_grace_period(site: Site) -> None:
    """Deletion takes the grace period, not for ever, and leaves no log folder."""
    stubborn = {"command": ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]}
    site.apply(workload("stubborn", site.registry, container=stubborn))
    site.instances(_all_ready(1))
    before = time.monotonic()
    site.plane.kubectl("delete", "cw", "stubborn")
    site.instances(lambda o: not o)
    assert 0.9 < time.monotonic() - before < 6
    assert not list(Path(site.state / "containers").iterdir())
