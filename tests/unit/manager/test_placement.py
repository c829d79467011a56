"""Placement: which nodes fit, which is chosen, and what is said when none fits."""

from typing import Any

import pytest

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
    "0 of 3 nodes fit: 2 lack label zone=a, 1 is cordoned": (
        [node("n1"), node("n2"), node("n3", labels={"zone": "a"}, unschedulable=True)],
        {"nodeSelector": {"zone": "a"}},
    ),
    "0 of 1 nodes fit: 1 is not ready": ([node("n1", alive=False)], {}),
    "0 of 2 nodes fit: 2 have the taint gpu:NoSchedule": (
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
    assert placement.explain(fleet, Placement(), {"b": 1}, WEB) == "0 of 2 nodes fit: 2 have hostPort 8080/TCP in use"
    assert placement.choose(fleet, Placement(), {}, {"b": 1}) is not None
