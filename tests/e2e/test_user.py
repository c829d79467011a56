"""As a user: kubectl only, and what it prints."""

import subprocess
import time

import pytest

from tests.harness import MOORAGE, Objects, Site, ready, workload


def _kubectl(site: Site, *words: str, **options: object) -> str:
    return site.plane.kubectl(*words, **options).stdout  # type: ignore[arg-type]


def test_apply_wait_get_scale_update_and_delete(own_site: Site) -> None:
    """The way of a workload through kubectl, from apply to delete, with what people read on the way."""
    asked = workload("web", own_site.registry, container={"image": f"{own_site.registry.host}/web:1", "command": []})
    asked["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "PORT", "value": "18080"}]
    own_site.apply(asked)
    _kubectl(own_site, "wait", "--for=condition=Ready", "cw/web", "--timeout=30s")
    table = _kubectl(own_site, "get", "cw,ci,rn").splitlines()
    assert [line.split()[1] for line in table if "/web" in line] == ["1/1", "1/1"]
    assert all(len(line) <= 160 for line in table)
    _kubectl(own_site, "scale", "cw/web", "--replicas=0")
    own_site.instances(lambda o: not o)
    _kubectl(own_site, "scale", "cw/web", "--replicas=1")
    _kubectl(own_site, "wait", "--for=condition=Ready", "cw/web", "--timeout=30s")
    before = own_site.containers()
    own_site.workloads(lambda o: ready(o["web"]) and o["web"]["status"]["readyReplicas"] == 1)
    asked["spec"]["template"]["spec"]["containers"][0]["image"] = f"{own_site.registry.host}/web:2"
    own_site.apply(asked)
    own_site.workloads(lambda o: ready(o["web"]) and o["web"]["metadata"]["generation"] > 3)
    assert not set(own_site.containers().values()) & set(before.values())
    told = own_site.api.until("/api/v1/namespaces/default/events", _all_told, 20)
    assert told
    _kubectl(own_site, "delete", "cw/web")
    own_site.instances(lambda o: not o)
    assert own_site.containers() == {}


def _all_told(events: Objects) -> bool:
    return {"Pulling", "Pulled", "Started", "Killing"} <= {e["reason"] for e in events.values()}


def test_the_node_commands_need_no_api_server(own_site: Site) -> None:
    """ps, logs and exec talk to the runtime and the store only."""
    script = "echo first line; sleep 1000000"
    own_site.apply(workload("talk", own_site.registry, container={"command": ["sh", "-c", script]}))
    (name,) = own_site.instances(lambda o: bool(o) and all(map(ready, o.values())))
    own_site.plane.stop_apiserver()
    try:
        ps = _moorage(own_site, "ps", "--containerd", own_site.containerd.address, *own_site.dirs[:2])
        assert name in ps.stdout
        assert "Running" in ps.stdout
        logs = _moorage(own_site, "logs", name, "--containerd", own_site.containerd.address, *own_site.state_dirs)
        assert logs.stdout == "first line\n"
        ran = _moorage(
            own_site, "exec", name, "--containerd", own_site.containerd.address, *own_site.dirs[:2], "--", "sh", "-c", "exit 7"
        )
        assert ran.returncode == 7, ran.stderr
    finally:
        own_site.plane.start_apiserver()


def _moorage(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MOORAGE, *words], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.timeout(120)
def test_both_halves_run_in_one_process(own_site: Site) -> None:
    """`moorage up` is a one-node installation; it takes over what agent and manager ran."""
    own_site.apply(workload("one", own_site.registry))
    own_site.instances(lambda o: bool(o) and all(map(ready, o.values())))
    before = own_site.containers()
    own_site.agent.stop()
    own_site.manager.stop()
    up = subprocess.Popen(
        [
            MOORAGE,
            "up",
            "--kubeconfig",
            str(own_site.plane.kubeconfig),
            "--containerd",
            own_site.containerd.address,
            "--node-name",
            own_site.node,
            *own_site.dirs,
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        own_site.apply(workload("two", own_site.registry))
        own_site.instances(lambda o: len(o) == 2 and all(map(ready, o.values())))
        assert set(before.items()) <= set(own_site.containers().items())
    finally:
        up.terminate()
        began = time.monotonic()
        assert up.wait(timeout=15) == 0
        assert time.monotonic() - began < 12
