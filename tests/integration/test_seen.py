"""What an operator sees of real work in the metrics of both halves."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Site, ready, workload
from tests.probe import Probed, probed
from tools.lab import Containerd, ControlPlane, Registry


@pytest.fixture
def seen(plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path: Path) -> Iterator[Probed]:
    """A one-node installation whose processes are probed."""
    with probed(Site(plane, containerd, registry, tmp_path / "s", "seen")) as found:
        yield found


def test_a_life_moves_the_metrics(seen: Probed) -> None:
    """Pull, start, Ready, restart and deletion each show in a histogram, and the fleet's state in the gauges."""
    site, agent, manager = seen.site, seen.agent, seen.manager
    assert agent.until("/readyz", 200) == "[+]loop ok\n[+]agent ok\n[+]runtime ok\n"
    assert manager.until("/readyz", 200) == "[+]loop ok\n[+]manager ok\n"
    site.apply(workload("seen", site.registry, container={"imagePullPolicy": "Always"}))
    site.workloads(lambda o: bool(o) and all(map(ready, o.values())))
    assert manager.value("moorage_instances", phase="Running", reason="Running") == 1
    assert manager.value("moorage_workloads", ready="True", reason="Available") == 1
    assert manager.value("moorage_instances_desired") == manager.value("moorage_instances_ready") == 1
    assert manager.value("moorage_nodes", ready="true") == manager.value("moorage_manager_leader") == 1
    assert manager.value("moorage_manager_instance_ready_seconds_count") == 1
    for what in ("image_pull", "container_start", "instance_ready"):
        assert agent.value(f"moorage_agent_{what}_seconds_count") == 1, what
        assert 0 < agent.value(f"moorage_agent_{what}_seconds_sum") < 20, what
    (pid,) = site.containers().values()
    os.kill(pid, signal.SIGKILL)
    site.instances(lambda o: all(ready(i) and i["status"]["restarts"] == 1 for i in o.values()))
    assert agent.value("moorage_agent_container_restarts_total", reason="Error") == 1
    assert agent.value("moorage_agent_container_restart_seconds_count") == 1
    assert 0 < agent.value("moorage_agent_container_restart_seconds_sum") < 5
    site.plane.kubectl("delete", "cw", "seen")
    site.instances(lambda o: not o)
    agent.reaches(1, "moorage_agent_instance_delete_seconds_count")
    assert agent.value("moorage_runtime_calls_total", method="start", code="OK") == 2
    assert agent.value("moorage_api_calls_total", resource="leases", code="201") == 1
    assert time.time() - agent.value("moorage_agent_heartbeat_timestamp_seconds") < 60
    assert agent.value("moorage_leftovers_total") == 0
    agent.reaches(0, "moorage_agent_supervisors")
