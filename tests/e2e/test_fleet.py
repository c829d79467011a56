"""A fleet of three nodes: where instances go, what happens when a node is cut off and returns, and how an update of 60 goes."""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.fleet import (
    GRACE_SECONDS,
    INSTANCES,
    NODES,
    WORKLOADS,
    Fleet,
    counted,
    end_process,
    node_reason,
    of,
    overlaps,
    runs,
    workload,
)
from tests.harness import Objects, ready, reason
from tests.traces import traced

NAMES = ("fleet1", "fleet2", "fleet3")
AFTER_SECONDS = 6
"""`nodeLost.afterSeconds`, from the last heartbeat on."""
HAND_OVER_SECONDS = 10
"""Most that a returned node may take until it has heard what it is to give up: what was sent meanwhile is sent again by TCP
after pauses that have grown with the time of the cut."""


@pytest.fixture(scope="module")
def whole_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The nodes, once for all tests of this file; whatever of them is left in the end is an error."""
    with Fleet(tmp_path_factory.mktemp("fleet") / "s", NAMES) as found:
        yield found


@pytest.fixture
def fleet(whole_fleet: Fleet) -> Iterator[Fleet]:
    """An empty fleet, which has to be empty again after the test."""
    yield whole_fleet
    whole_fleet.clear()


def spread(found: Objects, name: str) -> dict[str, int]:
    """How many instances of a workload each node has."""
    return dict(Counter(o["spec"]["nodeName"] for o in of(found, name)))


def all_ready(**counts: int) -> Callable[[Objects], bool]:
    """The workloads have so many instances, all of them ready."""

    def true(found: Objects) -> bool:
        return all(len(of(found, name)) == counted(of(found, name)) == count for name, count in counts.items())

    return true


def test_instances_are_spread_over_the_nodes(fleet: Fleet) -> None:
    """Global: one on each node. Replicated: six replicas are two on each, and scaling to three leaves one on each."""
    fleet.apply(workload("each", mode="Global"), workload("six", replicas=6))
    found = fleet.instances(all_ready(each=3, six=6))
    assert spread(found, "each") == dict.fromkeys(NAMES, 1)
    assert spread(found, "six") == dict.fromkeys(NAMES, 2)
    assert Counter(fleet.running().values()) == dict.fromkeys(NAMES, 3)
    fleet.plane.kubectl("scale", "cw/six", "--replicas=3")
    found = fleet.instances(lambda o: all_ready(six=3)(o) and len(o) == 6)
    assert spread(found, "six") == dict.fromkeys(NAMES, 1)


@pytest.mark.timeout(120)
def test_a_node_that_was_cut_off_is_replaced_and_returns_without_doubles(fleet: Fleet) -> None:
    """Cable out: AgentStopped, NodeLost, replaced elsewhere. Cable in: what was replaced goes, the rest has never stopped.

    What a double is. While a node is cut off, what it runs cannot be stopped, so an ordinal that was replaced runs twice then:
    that is what `nodeLost.policy: Replace` means. With the cable back the hand-over begins: the agent hears what it is to give
    up, and stops it. A double is every pair of running processes of one ordinal (or of one Global instance) that begins outside
    of the cut, or that is still there HAND_OVER_SECONDS after the cable's return: counted over every process that any node's
    containerd has started, by containerd's own events. Besides, the API may at no moment count more than `replicas` as ready,
    by the workload's status or over the instances that are not being deleted, nor may two such share an ordinal (a twin).
    """
    lost = fleet.members[NAMES[-1]]  # not the first: the API server's address is on its cable
    with runs(fleet) as started, traced(fleet.api, INSTANCES) as instances, traced(fleet.api, WORKLOADS) as workloads:
        fleet.apply(workload("each", mode="Global"), workload("six", replicas=6, nodeLost={"afterSeconds": AFTER_SECONDS}))
        before = fleet.instances(all_ready(each=3, six=6))
        theirs = {n for n, o in before.items() if o["spec"]["nodeName"] == lost.name}
        kept = next(one for one in lost.running() if one.startswith("each"))
        pid = lost.running()[kept]

        with lost.node.cut_off():
            cut = time.time()
            fleet.api.until(NODES, lambda found: node_reason(found, lost.name) == "AgentStopped")
            told = time.time()
            found = fleet.instances(
                lambda o: len(of(o, "six")) == counted(of(o, "six")) == 6 and lost.name not in spread(o, "six")
            )
            replaced = time.time()
            fleet.api.until(WORKLOADS, lambda found: ready(found["six"]))
            assert spread(found, "six") == dict.fromkeys(NAMES[:2], 3)
            crashed = next(one for one in lost.running() if one.startswith("six"))
            end_process(lost.running()[crashed])
            while (
                crashed in (now := lost.running()) or len(now) < 3
            ):  # containerd tells nobody outside: asked as often as it answers
                assert time.time() < replaced + 5, "a node that is cut off does not mend what crashed on it"
        restored = time.time()

        gone = theirs & {n for n in before if n.startswith("six")}
        fleet.instances(lambda o: not gone & o.keys())
        handed_over = time.time()
        fleet.api.until(NODES, lambda found: all(map(ready, found.values())))
        heard = time.time()
        fleet.api.until(WORKLOADS, lambda found: all(map(ready, found.values())))
        assert Counter(fleet.running().values()) == {NAMES[0]: 4, NAMES[1]: 4, NAMES[2]: 1}
        assert lost.running()[kept] == pid, "what had to stay on the node was touched"
        time.sleep(1)  # a twin would come now, and nothing tells that none does

    ordinals = {n: o["metadata"]["labels"].get("moorage.dev/ordinal") for m in instances.moments for n, o in m.items()}
    names = {name: next(n for n in ordinals if name.startswith(f"{n}-")) for name in {run.container for run in started}}
    assert all(names.values())
    pairs = overlaps(started, lambda run: ordinals[names[run.container]] or names[run.container])
    doubles = [(b, e) for b, e in pairs if not cut <= b <= restored or e > restored + HAND_OVER_SECONDS]
    most_ready = max(counted(of(moment, "six")) for moment in instances.moments)
    most_told = max(w["six"].get("status", {}).get("readyReplicas", 0) for w in workloads.moments if "six" in w)
    twins = [c for m in instances.moments for c in Counter(_ordinals(m)).values() if c > 1]
    print(f"after the cut: told in {told - cut:.1f} s, replaced in {replaced - cut:.1f} s")
    print(f"after the return: handed over in {handed_over - restored:.1f} s, heard in {heard - restored:.1f} s")
    print(f"doubles {len(doubles)}, twins {len(twins)}, most ready {most_ready}; pairs in the cut {len(pairs)}")
    assert "NodeLost" in {reason(w["six"]) for w in workloads.moments if "six" in w}
    assert pairs, "the old copies ran on while the node was cut off, or this test sees nothing"
    assert doubles == []
    assert twins == []
    assert (most_ready, most_told) == (6, 6)
    assert GRACE_SECONDS - 1.5 < told - cut < GRACE_SECONDS + 4
    assert AFTER_SECONDS - 1.5 < replaced - cut < AFTER_SECONDS + 8


def _ordinals(moment: Objects) -> list[str]:
    return [o["metadata"]["labels"]["moorage.dev/ordinal"] for o in of(moment, "six")]


@pytest.mark.timeout(120)
def test_an_update_of_sixty_instances_keeps_three_quarters_ready(fleet: Fleet) -> None:
    """20 on each of three nodes, maxUnavailable 25%: never fewer than 45 are ready for their present spec; all end up new."""
    asked = workload("sixty", replicas=60, update={"maxUnavailable": "25%"})
    fleet.apply(asked)
    found = fleet.instances(all_ready(sixty=60), 60)
    assert spread(found, "sixty") == dict.fromkeys(NAMES, 20)
    before = set(fleet.running())
    with traced(fleet.api, INSTANCES) as trace:
        began = time.monotonic()
        asked["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "EDITION", "value": "2"}]
        fleet.apply(asked)
        fleet.instances(lambda o: all_ready(sixty=60)(o) and all(i["metadata"]["generation"] == 2 for i in o.values()), 60)
        took = time.monotonic() - began
    fewest = min(counted(of(moment, "sixty")) for moment in trace.moments)
    print(f"60 instances updated in {took:.1f} s; fewest ready at any of {len(trace.moments)} moments: {fewest}")
    assert fewest >= 60 - 15
    assert len(fleet.running()) == 60
    assert not before & set(fleet.running())
