"""What is asked for keeps running, whatever is killed or away: nothing restarts that ran, nothing is started twice or left."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.harness import Objects, Site, ready, workload
from tests.runtime_events import RuntimeEvents
from tests.waiting import eventually
from tools.lab import Containerd, Process, procfs

COUNT = 20
OWN_COMMAND = ("sleep", str(1_000_000 + os.getpid()))
"""That no other test's container on this machine has, so that its processes can be counted."""


@contextmanager
def starts(site: Site) -> Iterator[list[str]]:
    """The ids of the containers that containerd starts for us within the block, in their order; filled when the block ends."""
    found: list[str] = []
    events = RuntimeEvents(site.containerd, site.state / "starts.txt")
    try:
        yield found
    finally:
        events.end()
        found += [event.body["container_id"] for event in events.told() if event.topic == "/tasks/start"]


def _ready(count: int, restarts: int) -> Callable[[Objects], bool]:
    def true(found: Objects) -> bool:
        return len(found) == count and all(ready(o) and o["status"]["restarts"] == restarts for o in found.values())

    return true


def _kill_at_random(site: Site, times: int, chance: random.Random) -> None:
    """`kill -9` of the agent, started again at once, with pauses that hit every stage of its work."""
    for _ in range(times):
        time.sleep(chance.uniform(0.6, 1.6))  # start-up takes about 0.5 s: the kill falls into the work that follows
        site.agent.kill()
        site.agent.start()
        if chance.random() < 0.3:
            site.manager.kill()
            site.manager.start()


@pytest.mark.timeout(300)
def test_an_agent_killed_twenty_times_in_a_rollout_starts_nothing_twice(own_site: Site) -> None:
    """20 kills while 20 instances are created and then updated: 0 extra starts, 0 leftovers."""
    chance = random.Random(os.getpid())
    asked = workload("many", own_site.registry, replicas=COUNT, update={"maxUnavailable": "50%"})
    with starts(own_site) as begun:
        own_site.apply(asked)
        _kill_at_random(own_site, 10, chance)
        own_site.instances(_ready(COUNT, 0), 120)
        asked["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "GENERATION", "value": "2"}]
        own_site.apply(asked)
        _kill_at_random(own_site, 10, chance)
        own_site.instances(lambda o: _ready(COUNT, 1)(o) and all(i["metadata"]["generation"] == 2 for i in o.values()), 120)
        own_site.workloads(lambda o: ready(o["many"]), 60)
    assert len(begun) == len(set(begun)), "a container was started twice"
    assert len(begun) == 2 * COUNT, f"{len(begun) - 2 * COUNT} extra starts"
    assert len(own_site.containers()) == COUNT
    # what was replaced is removed after everything that has to start
    held = eventually(lambda: _held(own_site), lambda held: len(held) == 3 * COUNT, 15)
    assert len(held) == 3 * COUNT, held


def _held(site: Site) -> list[str]:
    return [line for line in site.leftovers() if line.startswith(("containers", "snapshots", "tasks"))]


@pytest.mark.timeout(200)
def test_everything_killed_at_random_in_a_rollout_leaves_what_was_asked_for(own_site: Site) -> None:
    """Agent, manager and containerd killed while 20 instances are created: all run once, nothing else is left."""
    chance = random.Random(os.getpid())
    own_site.apply(workload("many", own_site.registry, replicas=COUNT, container={"command": list(OWN_COMMAND)}))
    victims: list[Process | Containerd] = [own_site.agent, own_site.manager, own_site.containerd]
    for _ in range(8):
        time.sleep(chance.uniform(0.1, 0.7))
        victim = chance.choice(victims)
        victim.kill()
        victim.start()
    own_site.workloads(lambda o: ready(o["many"]), 90)
    running = own_site.containers()
    assert len(running) == COUNT
    processes = [command for command in map(procfs.command, procfs.process_ids()) if tuple(command) == OWN_COMMAND]
    assert len(processes) == COUNT, "a process runs that nothing knows of, or none where one should"
    own_site.plane.kubectl("delete", "cw", "many")
    own_site.instances(lambda o: not o, 60)
    assert own_site.containers() == {}


def test_a_containerd_restart_under_twenty_instances_restarts_none(own_site: Site) -> None:
    """`kill -9` of containerd: every process runs on, is adopted, and a later crash is seen."""
    own_site.apply(workload("many", own_site.registry, replicas=COUNT))
    own_site.instances(_ready(COUNT, 0), 60)
    before = own_site.containers()
    assert len(before) == COUNT
    own_site.containerd.kill()
    own_site.containerd.start()
    assert own_site.containers() == before
    victim = next(iter(before.values()))
    os.kill(victim, signal.SIGKILL)
    own_site.instances(lambda o: sum(i["status"]["restarts"] for i in o.values()) == 1 and all(map(ready, o.values())), 30)
    after = own_site.containers()
    assert len(set(before.values()) & set(after.values())) == COUNT - 1


@pytest.mark.timeout(200)
def test_a_crash_is_mended_while_the_api_server_is_away_for_a_minute(own_site: Site) -> None:
    """The restart waits for nobody; the status catches up when the API server is back."""
    own_site.apply(workload("alone", own_site.registry))
    own_site.instances(_ready(1, 0))
    ((_, pid),) = own_site.containers().items()
    own_site.plane.stop_apiserver()
    gone = time.monotonic()
    time.sleep(5)
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    while not (found := set(own_site.containers().values()) - {pid}):
        assert time.monotonic() - killed < 5, "not restarted while the API server is away"
    print(f"restarted after {time.monotonic() - killed:.2f} s with the API server away")
    time.sleep(60 - (time.monotonic() - gone))
    own_site.plane.start_apiserver()
    back = time.monotonic()
    own_site.instances(_ready(1, 1), 30)
    print(f"status caught up {time.monotonic() - back:.2f} s after the API server was back")
    assert set(own_site.containers().values()) == found


@pytest.mark.timeout(200)
def test_a_node_that_comes_back_without_a_control_plane_runs_what_it_ran(own_site: Site) -> None:
    """Everything on the node dies at once, as in a power cut; the API server is away: the node starts its work alone."""
    own_site.apply(workload("alone", own_site.registry, replicas=3))
    own_site.instances(_ready(3, 0))
    before = own_site.containers()
    own_site.plane.stop_apiserver()
    own_site.agent.kill()
    own_site.containerd.kill()
    for shim in own_site.shims():
        os.kill(shim, signal.SIGKILL)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    own_site.containerd.start()
    assert own_site.containers() == {}
    own_site.agent.start()
    started = time.monotonic()
    while len(found := own_site.containers()) < 3:
        assert time.monotonic() - started < 20, "the node came back empty"
    print(f"3 instances back {time.monotonic() - started:.2f} s after the agent's start, without an API server")
    assert not set(found.values()) & set(before.values())
    own_site.plane.start_apiserver()
    told = own_site.instances(_ready(3, 1), 40)
    last = [i["status"]["containers"][0]["lastState"]["terminated"]["reason"] for i in told.values()]
    assert set(last) <= {"ContainerStatusUnknown", "Error"}, last
