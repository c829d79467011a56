"""RuntimeClasses and placement: labels and tolerations of both, overhead, and what is told when there is no such class."""

from typing import Any

import pytest

from controller.api.amounts import NOTHING, Amounts
from controller.api.runtimeclass import RuntimeClass
from controller.manager.cache import Cache
from controller.manager.decide.runtimeclass import overhead, scheduled
from controller.manager.decide.values import Key
from tests.unit.manager.test_status import message, summary, told
from tests.unit.manager.world import World, node

FAST = {"nodeSelector": {"speed": "fast"}, "tolerations": [{"key": "fast", "operator": "Exists"}]}


def class_object(name: str = "fast", uid: str = "u1", version: int = 1, **fields: Any) -> dict[str, Any]:
    """A RuntimeClass as the API server gives it."""
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}, "handler": "other", **fields}


def runtime_class(name: str = "fast", **fields: Any) -> RuntimeClass:
    """A RuntimeClass."""
    return RuntimeClass.model_validate(class_object(name, **fields))


def world(*nodes: Any, name: str = "fast", classes: tuple[RuntimeClass, ...] = (), **spec: Any) -> World:
    """A workload with a runtimeClassName."""
    found = World.of(*nodes, **spec)
    found.spec["template"]["spec"]["runtimeClassName"] = name
    found.classes = {c.metadata.name: c for c in classes}
    return found


MERGED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any] | str]] = {
    "a class without scheduling changes nothing": ({"nodeSelector": {"a": "1"}}, {}, {"nodeSelector": {"a": "1"}}),
    "labels of both must be there": (
        {"nodeSelector": {"a": "1"}},
        {"nodeSelector": {"b": "2"}},
        {"nodeSelector": {"a": "1", "b": "2"}},
    ),
    "the same label twice is no conflict": (
        {"nodeSelector": {"a": "1"}},
        {"nodeSelector": {"a": "1"}},
        {"nodeSelector": {"a": "1"}},
    ),
    "two values of one label are": ({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"a": "2"}}, "RuntimeClass 'fast' a=2"),
    "taints that either tolerates are tolerated, each once": (
        {"tolerations": [{"key": "x", "operator": "Exists"}]},
        {"tolerations": [{"key": "x", "operator": "Exists"}, {"key": "y", "value": "1"}]},
        {"tolerations": [{"key": "x", "operator": "Exists"}, {"key": "y", "value": "1"}]},
    ),
}


@pytest.mark.parametrize("case", MERGED)
def test_scheduling_of_both(case: str) -> None:
    """As the admission plugin merges a pod's and its class's."""
    own, given, expected = MERGED[case]
    before = world(placement=own).workload
    found, why = scheduled(before, {"fast": runtime_class(scheduling=given)})
    if isinstance(expected, str):
        assert expected in why
        assert found == before
    else:
        assert (found.spec.placement.to_json(), why) == (World.of(placement=expected).workload.spec.placement.to_json(), "")
        assert found.spec_hash == before.spec_hash


TOLERATED: dict[str, tuple[dict[str, str], str, bool]] = {
    "an empty key with Exists matches every taint": ({"operator": "Exists"}, "any=thing:NoSchedule", True),
    "of its effect": ({"operator": "Exists", "effect": "NoExecute"}, "any=thing:NoSchedule", False),
    "an empty operator is Equal": ({"key": "x", "operator": "", "value": "1"}, "x=1:NoSchedule", True),
    "which compares": ({"key": "x", "operator": "", "value": "1"}, "x=2:NoSchedule", False),
    "Lt: the taint has less": ({"key": "x", "operator": "Lt", "value": "10"}, "x=9:NoSchedule", True),
    "and not as much": ({"key": "x", "operator": "Lt", "value": "10"}, "x=10:NoSchedule", False),
    "Gt: it has more": ({"key": "x", "operator": "Gt", "value": "-5"}, "x=4:NoSchedule", True),
    "by number, and not by letters": ({"key": "x", "operator": "Gt", "value": "10"}, "x=9:NoSchedule", False),
    "no number is neither": ({"key": "x", "operator": "Gt", "value": "1"}, "x=many:NoSchedule", False),
    "of another key neither": ({"key": "y", "operator": "Gt", "value": "1"}, "x=2:NoSchedule", False),
    "an operator that is not known tolerates nothing": (
        {"key": "x", "operator": "Near", "value": "1"},
        "x=1:NoSchedule",
        False,
    ),
    "nor an effect": ({"operator": "Exists", "effect": "Later"}, "x=1:NoSchedule", False),
}


@pytest.mark.parametrize("sentence", TOLERATED)
def test_tolerations_that_only_a_class_can_have(sentence: str) -> None:
    """The API server has taken them by its own schema, of whatever version: the class is read, and placement goes on."""
    toleration, taint, placed = TOLERATED[sentence]
    fast = runtime_class(scheduling={"tolerations": [toleration | {"tolerationSeconds": 5}]})
    found = world(node("n1", taints=(taint,)), classes=(fast,))
    assert bool(found.decide().creates) is placed


def test_instances_go_where_the_class_is() -> None:
    """Only to nodes with its labels, past taints that it tolerates; Replicated and Global alike."""
    nodes = (
        node("n1"),
        node("n2", labels={"speed": "fast"}, taints=("fast:NoSchedule",)),
        node("n3", taints=("x:NoSchedule",)),
    )
    for more in ({"replicas": 3}, {"mode": "Global"}):
        found = world(*nodes, classes=(runtime_class(scheduling=FAST),), **more)
        found.settle()
        assert {i.node for i in found.live} == {"n2"}


def test_without_the_class_nothing_is_created() -> None:
    """Ready is False and Stalled True, in words that say what to do; when the class appears, they come."""
    for mode in ("Replicated", "Global"):
        found = world(node("n1"), mode=mode)
        assert found.decide().idle
        status = told(found)
        assert summary(status) == "Ready=False RuntimeClassUnavailable Stalled"
        assert message(status) == "there is no RuntimeClass 'fast': create it, or change runtimeClassName"
        assert status.observed_generation == found.generation
        found.classes = {"fast": runtime_class()}
        found.settle()
        assert summary(told(found)) == "Ready=True Available"


def test_what_runs_stays_when_its_class_goes() -> None:
    """Nothing is deleted, nothing told; only further instances cannot come."""
    found = world(node("n1", labels={"speed": "fast"}), node("n2"), classes=(runtime_class(scheduling=FAST),))
    found.settle()
    found.classes = {}
    assert found.decide().idle
    assert summary(told(found)) == "Ready=True Available"
    found.edit(replicas=2)
    assert found.decide().idle
    assert summary(told(found)) == "Ready=False RuntimeClassUnavailable Stalled"


def test_a_conflict_is_told() -> None:
    """A node cannot have two values of one label."""
    classes = (runtime_class(scheduling={"nodeSelector": {"speed": "fast"}}),)
    found = world(node("n1"), classes=classes, placement={"nodeSelector": {"speed": "slow"}})
    assert found.decide().idle
    assert "placement.nodeSelector says speed=slow" in message(told(found))


def test_a_suspended_workload_needs_no_class() -> None:
    """It creates nothing that could not run."""
    found = world(node("n1"), suspend=True)
    assert summary(told(found)) == "Ready=True Suspended"


def test_overhead() -> None:
    """In thousandths of a core and bytes; nothing without a class, or without that of the name."""
    classes = {
        "vm": runtime_class("vm", overhead={"podFixed": {"cpu": "250m", "memory": "120Mi"}}),
        "plain": runtime_class("plain"),
    }
    assert overhead("vm", classes) == Amounts(250, 120 << 20)
    assert overhead("plain", classes) == overhead("none", classes) == overhead(None, classes) == NOTHING


def test_overhead_takes_room() -> None:
    """Of those that are to come, those that are there, and those that are about to be created; as the class says now."""
    costly = runtime_class("vm", overhead={"podFixed": {"memory": "60Mi"}})
    found = world(node("n1", allocatable=Amounts(1000, 100 << 20)), name="vm", classes=(costly,), replicas=2)
    decision = found.decide()
    assert (len(decision.creates), decision.unplaced) == (1, 1)
    assert "Insufficient memory" in decision.unplaced_why
    found.classes["vm"] = runtime_class("vm")
    assert len(found.decide().creates) == 2


def test_the_cache_counts_overhead() -> None:
    """By node, until the instance ends or its class goes; whoever waits for room is told of that."""
    cache = Cache()
    woken: list[Key | None] = []
    cache.room_made = woken.append
    cache.put_class(class_object("vm", overhead={"podFixed": {"cpu": "250m"}}))
    found = world(node("n1"), name="vm", classes=(runtime_class("vm"),), mode="Global")
    found.apply(found.decide())
    (obj,) = found.objects.values()
    obj["metadata"]["resourceVersion"] = "1"
    cache.put_instance(obj)
    assert cache.fleet(0.0, 0.0).requested == {"n1": Amounts(250)}
    woken.clear()
    cache.put_instance(obj | {"metadata": obj["metadata"] | {"resourceVersion": "2"}, "status": {"phase": "Succeeded"}})
    assert cache.fleet(0.0, 0.0).requested == {}
    assert woken == [None]
    cache.put_instance(obj | {"metadata": obj["metadata"] | {"resourceVersion": "3"}})
    woken.clear()
    cache.drop_class("vm", "u1")
    assert cache.fleet(0.0, 0.0).requested == {}
    assert woken == [None]


def test_the_cache_keeps_the_newest_class() -> None:
    """An older event is no news, and a deletion takes only the object that it is about."""
    cache = Cache()
    assert cache.put_class(class_object(version=2))
    assert not cache.put_class(class_object(version=1))
    cache.drop_class("fast", "another")
    assert cache.fleet(0.0, 0.0).classes["fast"].handler == "other"
    cache.drop_class("fast", "u1")
    assert cache.classes == {}
