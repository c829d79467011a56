"""Placement: which nodes fit, which is chosen, and what is said when none fits."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.amounts import NOTHING, Amounts
from controller.api.hostports import HostPort
from controller.api.workload import Placement
from controller.manager.decide import placement
from controller.manager.decide.values import Fleet, Node
from tests.unit.manager.world import condition, node

TOLERATES_GPU = {"tolerations": [{"key": "gpu", "value": "yes"}]}
TOLERATES_ALL = {"tolerations": [{"operator": "Exists"}]}
DOWN = condition("False", "RuntimeUnavailable")

FITS: dict[str, tuple[Node, dict[str, Any], str | None]] = {
    "a plain node fits": (node("n1"), {}, None),
    "a node of another name does not": (node("n1"), {"nodeName": "n2"}, "is not n2"),
    "the named node fits": (node("n1"), {"nodeName": "n1"}, None),
    "a node without the label does not": (node("n1"), {"nodeSelector": {"zone": "a"}}, "lacks label zone=a"),
    "a node with another value does not": (
        node("n1", labels={"zone": "b"}),
        {"nodeSelector": {"zone": "a"}},
        "lacks label zone=a",
    ),
    "a node with the label fits": (node("n1", labels={"zone": "a"}), {"nodeSelector": {"zone": "a"}}, None),
    "a NoSchedule taint keeps away": (node("n1", taints=("gpu=yes:NoSchedule",)), {}, "has the taint gpu=yes:NoSchedule"),
    "a NoExecute taint keeps away": (node("n1", taints=("gpu:NoExecute",)), {}, "has the taint gpu:NoExecute"),
    "a PreferNoSchedule taint does not keep away": (node("n1", taints=("gpu:PreferNoSchedule",)), {}, None),
    "a tolerated taint does not keep away": (node("n1", taints=("gpu=yes:NoSchedule",)), TOLERATES_GPU, None),
    "a toleration of another value does not help": (
        node("n1", taints=("gpu=no:NoSchedule",)),
        TOLERATES_GPU,
        "has the taint gpu=no:NoSchedule",
    ),
    "a toleration without key helps against every taint": (node("n1", taints=("a:NoExecute",)), TOLERATES_ALL, None),
    "a cordoned node gets nothing new": (node("n1", unschedulable=True), {}, "is cordoned"),
    "tolerating every taint does not lift a cordon": (node("n1", unschedulable=True), TOLERATES_ALL, "is cordoned"),
    "a cordon is tolerated by its key": (
        node("n1", unschedulable=True),
        {"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]},
        None,
    ),
    "a silent node gets nothing new": (node("n1", alive=False), {}, "is not ready"),
    "a node whose agent says that it is not ready gets nothing new": (node("n1", reported=DOWN), {}, "is not ready"),
    "a node with disk pressure gets nothing new": (node("n1", pressed=True), {}, "has disk pressure"),
    "tolerating every taint does not lift that": (node("n1", pressed=True), TOLERATES_ALL, "has disk pressure"),
    "disk pressure is tolerated by the key that it has in Kubernetes": (
        node("n1", pressed=True),
        {"tolerations": [{"key": "node.kubernetes.io/disk-pressure", "operator": "Exists"}]},
        None,
    ),
    "a full node gets nothing new": (node("n1", capacity=3), {}, "is full"),
    "a node with room fits": (node("n1", capacity=4), {}, None),
    "a node that has not told its capacity fits": (node("n1", capacity=0), {}, None),
}


@pytest.mark.parametrize("sentence", FITS)
def test_fit(sentence: str) -> None:
    """Each sentence of the table holds for a node that has 3 instances."""
    found, spec, expected = FITS[sentence]
    reason = placement.unfit(found, Placement.model_validate(spec), 3)
    assert (reason.one if reason else None) == expected


CHOICES: dict[str, tuple[list[Node], dict[str, int], dict[str, int], str | None]] = {
    "the node with the fewest of this workload": ([node("a"), node("b")], {"a": 1}, {"a": 1, "b": 9}, "b"),
    "then the one with the fewest in total": ([node("a"), node("b")], {}, {"a": 5, "b": 4}, "b"),
    "then the first by name": ([node("b"), node("a")], {}, {}, "a"),
    "a node that prefers none only when nothing else fits": (
        [node("a", taints=("x:PreferNoSchedule",)), node("b")],
        {"b": 7},
        {"b": 7},
        "b",
    ),
    "even a node that prefers none, when nothing else fits": ([node("a", taints=("x:PreferNoSchedule",))], {}, {}, "a"),
    "no node, when none fits": ([node("a", unschedulable=True)], {}, {}, None),
}


@pytest.mark.parametrize("sentence", CHOICES)
def test_choice(sentence: str) -> None:
    """The next instance goes to what the sentence says."""
    nodes, own, load, expected = CHOICES[sentence]
    fleet = Fleet({n.name: n for n in nodes}, load)
    chosen = placement.choose(fleet, Placement(), own, {})
    assert (chosen.name if chosen else None) == expected


EXPLANATIONS: dict[str, tuple[list[Node], dict[str, Any]]] = {
    "no node is registered: is an agent running?": ([], {}),
    "node n9 is not registered": ([node("n1")], {"nodeName": "n9"}),
    "0/3 nodes are available: 2 node(s) didn't match the node selector zone=a, 1 node(s) were unschedulable": (
        [node("n1"), node("n2"), node("n3", labels={"zone": "a"}, unschedulable=True)],
        {"nodeSelector": {"zone": "a"}},
    ),
    "0/1 nodes are available: 1 node(s) were not ready": ([node("n1", alive=False)], {}),
    "0/2 nodes are available: 1 node(s) had disk pressure, 1 node(s) were not ready": (
        [node("n1", alive=False), node("n2", pressed=True)],
        {},
    ),
    "0/2 nodes are available: 2 node(s) had untolerated taint {gpu: }": (
        [node("n1", taints=("gpu:NoSchedule",)), node("n2", taints=("gpu:NoSchedule",))],
        {},
    ),
}


@pytest.mark.parametrize("text", EXPLANATIONS)
def test_explanation(text: str) -> None:
    """People read why nothing fits, counted, the most frequent reason first."""
    nodes, spec = EXPLANATIONS[text]
    fleet = Fleet({n.name: n for n in nodes}, {})
    assert placement.explain(fleet, Placement.model_validate(spec), {}) == text


CORES = Amounts(4000, 8 << 30)
ROOM: dict[str, tuple[Node, Amounts, Amounts, list[str]]] = {
    "who asks for nothing fits everywhere": (node("n1", allocatable=NOTHING), NOTHING, NOTHING, []),
    "what is free may be had to the last": (node("n1", allocatable=CORES), Amounts(1000, 1 << 30), Amounts(3000, 7 << 30), []),
    "more than what is free may not": (
        node("n1", allocatable=CORES),
        Amounts(1001, 1 << 30),
        Amounts(3000, 7 << 30),
        ["Insufficient cpu"],
    ),
    "all that lacks is told": (
        node("n1", allocatable=CORES),
        Amounts(1, 1, (("2Mi", 1 << 21),)),
        CORES,
        ["Insufficient cpu", "Insufficient memory", "Insufficient hugepages-2Mi"],
    ),
    "what is not asked for cannot lack": (node("n1", allocatable=CORES), Amounts(1, 0), Amounts(0, 99 << 30), []),
    "a node that has not told what it has fits": (node("n1"), CORES, CORES, []),
    "what is about to come counts": (node("n1", allocatable=Amounts(3999, 0)), Amounts(2000, 0), NOTHING, ["Insufficient cpu"]),
}


@pytest.mark.parametrize("sentence", ROOM)
def test_room(sentence: str) -> None:
    """Each sentence of the table; one more of the same is about to come to the node where that is said."""
    found, asked, given, expected = ROOM[sentence]
    fleet = Fleet({"n1": found}, {}, requested={"n1": given})
    extra = 1 if "about to come" in sentence else 0
    assert [r.counted for r in placement.reasons(fleet, found, Placement(), extra, (), asked)] == expected


def test_what_lacks_is_counted() -> None:
    """In the scheduler's words, and other reasons beside it; the node with room is chosen."""
    nodes = [
        node("a", allocatable=Amounts(1000, 1 << 30)),
        node("b", allocatable=Amounts(4000, 1 << 30)),
        node("c", taints=("gpu=yes:NoSchedule",), allocatable=CORES),
    ]
    fleet = Fleet({n.name: n for n in nodes}, {}, requested={"b": Amounts(0, 1 << 29)})
    told = "0/3 nodes are available: 2 Insufficient memory, 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: yes}"
    assert placement.explain(fleet, Placement(), {}, (), Amounts(2000, 2 << 30)) == told
    assert placement.choose(fleet, Placement(), {}, {}, (), Amounts(2000, 2 << 30)) is None
    chosen = placement.choose(fleet, Placement(), {}, {}, (), Amounts(2000, 1 << 29))
    assert chosen is not None
    assert chosen.name == "b"


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=5), st.integers(1, 3000), st.integers(0, 12))
def test_no_node_is_given_more_than_it_has(sizes: list[int], each: int, replicas: int) -> None:
    """However many are placed in one go; and as long as one has room, none is left over."""
    nodes = {f"n{i}": node(f"n{i}", allocatable=Amounts(size, 0)) for i, size in enumerate(sizes)}
    fleet, extra, left = Fleet(nodes, {}), Counter[str](), 0
    for _ in range(replicas):
        chosen = placement.choose(fleet, Placement(), extra, extra, (), Amounts(each, 0))
        left += chosen is None
        extra.update([chosen.name] if chosen else [])
    assert all(extra[f"n{i}"] * each <= size for i, size in enumerate(sizes))
    assert left == max(0, replicas - sum(size // each for size in sizes))


WEB = (HostPort(8080, 80),)


def test_a_node_that_has_given_the_port_away_gets_no_further_one() -> None:
    """By port, protocol and address, whoever has it; one node takes one of the workload's own, since all want the same port."""
    nodes = {name: node(name) for name in ("a", "b")}
    fleet = Fleet(nodes, {}, ports={"a": (HostPort(8080, 9000),)})
    assert placement.in_use(fleet, "a", WEB) == WEB[0]
    assert placement.in_use(fleet, "b", WEB) is None
    assert placement.in_use(fleet, "a", (HostPort(8080, 80, "UDP"),)) is None
    chosen = placement.choose(fleet, Placement(), {}, {}, WEB)
    assert chosen is not None
    assert chosen.name == "b"
    assert placement.choose(fleet, Placement(), {}, {"b": 1}, WEB) is None
    told = "0/2 nodes are available: 2 node(s) didn't have free ports for the requested hostPort 8080/TCP"
    assert placement.explain(fleet, Placement(), {"b": 1}, WEB) == told
    assert placement.choose(fleet, Placement(), {}, {"b": 1}) is not None
