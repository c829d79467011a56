"""What an uninstallation says of what it waits for."""

from typing import Any

import pytest

from controller.cli import remaining

Object = dict[str, Any]


def instance(node: str) -> Object:
    """An instance on a node."""
    return {"metadata": {"name": "a"}, "spec": {"nodeName": node}}


def node(status: str, **more: str) -> Object:
    """A RuntimeNode whose Ready is this."""
    return {"status": {"conditions": [{"type": "Ready", "status": status, **more}]}}


NODES = {
    "heard": node("True"),
    "silent": node("Unknown", reason="AgentStopped"),
    "broken": node("False", reason="RuntimeUnavailable", message="containerd does not answer"),
    "new": {},
}


def test_nodes_that_confirm_nothing_come_first_and_say_why() -> None:
    """A person sees at once which nodes to look at, and how much is left there."""
    left = remaining.left_on_nodes([instance(n) for n in ("heard", "heard", "silent", "broken", "gone", "new")], NODES)
    assert [str(found) for found in left] == [
        "broken (1; containerd does not answer)",
        "gone (1; it has no RuntimeNode)",
        "silent (1; its agent is not heard)",
        "heard (2)",
        "new (1)",
    ]


@pytest.mark.parametrize(
    ("workloads", "nodes", "line"),
    [
        (0, [], "0 instances left"),
        (2, [], "0 instances and 2 workloads left"),
        (1, ["heard"], "1 instance and 1 workload left, on heard (1)"),
        (0, ["heard", "silent"], "2 instances left, on silent (1; its agent is not heard), heard (1)"),
    ],
)
def test_progress_is_one_line(workloads: int, nodes: list[str], line: str) -> None:
    """Counts, and where."""
    assert remaining.progress(workloads, remaining.left_on_nodes(map(instance, nodes), NODES)) == line


def test_a_thousand_nodes_do_not_fill_the_screen() -> None:
    """Only some are named, the silent ones first."""
    left = remaining.left_on_nodes([instance(f"n{i:03}") for i in range(999)] + [instance("silent")], NODES)
    assert remaining.named(left).endswith(", and 992 more nodes")


def test_advice_depends_on_whether_somebody_is_there_to_confirm() -> None:
    """With all agents heard it is a matter of time; else of a node that a person has to see to."""
    heard = remaining.left_on_nodes([instance("heard")], NODES)
    assert "terminationGracePeriodSeconds" in remaining.advice(heard)
    silent = remaining.left_on_nodes([instance("heard"), instance("silent")], NODES)
    assert "`kubectl delete runtimenode silent`" in remaining.advice(silent)
