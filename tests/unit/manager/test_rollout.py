"""The decision for one workload: create, bring up to date, delete, look again."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from controller.api import labels
from controller.api.workload import UpdateStrategy
from controller.manager.decide.availability import max_unavailable
from tests.unit.manager.world import START, World, node


def three(**spec: Any) -> World:
    """Three nodes, and a settled workload."""
    world = World.of(node("n1"), node("n2"), node("n3"), **spec)
    world.settle()
    return world


def placed(world: World) -> list[str]:
    """The nodes of the live instances."""
    return sorted(i.node for i in world.live)


# --- creating


def test_a_fresh_instance_carries_all_that_it_needs() -> None:
    """One create is enough: finalizer, owner, labels and node are in place, so that nothing is written again."""
    world = World.of(node("n1"))
    world.spec["template"]["metadata"] = {"labels": {"app": "web"}, "annotations": {"note": "x"}}
    (create,) = world.decide().creates
    meta, spec = create.body["metadata"], create.body["spec"]
    assert meta["finalizers"] == [labels.FINALIZER]
    assert meta["ownerReferences"][0]["uid"] == "uid-of-workload"
    assert meta["ownerReferences"][0]["controller"] is True
    assert meta["labels"] | {labels.TEMPLATE_HASH: ""} == {
        "app": "web",
        labels.WORKLOAD: "web",
        labels.NODE: "n1",
        labels.ORDINAL: "0",
        labels.TEMPLATE_HASH: "",
    }
    assert meta["annotations"]["note"] == "x"
    assert spec == {"nodeName": "n1", "hostNetwork": True, "containers": [{"name": "web", "image": "web:1"}]}
    world.apply(world.decide())
    assert world.decide().idle


def test_replicas_are_spread_evenly() -> None:
    """Seven replicas over three nodes: no node has more than one more than another."""
    assert sorted(placed(three(replicas=7)).count(n) for n in ("n1", "n2", "n3")) == [2, 2, 3]


def test_a_global_workload_runs_once_on_every_selected_node() -> None:
    """One instance per node, named after it; an unselected node has none."""
    world = World.of(node("n1", labels={"a": "b"}), node("n2"), mode="Global", placement={"nodeSelector": {"a": "b"}})
    world.settle()
    assert list(world.objects) == ["web-n1"]
    world.nodes["n2"] = node("n2", labels={"a": "b"})
    world.settle()
    assert sorted(world.objects) == ["web-n1", "web-n2"]


def test_a_name_that_belongs_to_somebody_else_is_avoided() -> None:
    """Workload a-b on node c and workload a on node b-c would meet: the later one gets a hash."""
    world = World.of(node("n1"), mode="Global")
    world.foreign = {"web-n1"}
    (create,) = world.decide().creates
    assert create.name.startswith("web-")
    assert create.name != "web-n1"


def test_what_fits_nowhere_is_counted_and_explained() -> None:
    """Room for two of three: the decision says how many are left, and why."""
    world = World.of(node("n1", capacity=1), node("n2", capacity=1), replicas=3)
    decision = world.decide()
    assert (len(decision.creates), decision.unplaced) == (2, 1)
    assert decision.unplaced_why == "0/2 nodes are available: 2 Too many instances"


# --- scaling


def test_scaling_down_takes_from_the_fullest_node_and_the_highest_ordinal() -> None:
    """Seven on three nodes, then three: one on each is left, and the lowest ordinals survive."""
    world = three(replicas=7)
    world.edit(replicas=3)
    world.settle()
    assert placed(world) == ["n1", "n2", "n3"]
    assert Counter(i.ordinal for i in world.live) == Counter(range(3))


def test_scaling_down_takes_an_unavailable_one_first() -> None:
    """An instance that does not run is no loss, whatever its ordinal."""
    world = three(replicas=3)
    broken = next(i for i in world.live if i.ordinal == 0)
    world.tell(broken.key.name, "Unknown", "CrashLoopBackOff")
    world.edit(replicas=2)
    assert [d.instance.uid for d in world.decide().deletes] == [broken.uid]


def test_scaling_to_zero_and_back() -> None:
    """Zero replicas leave nothing, and the row begins at 0 again."""
    world = three(replicas=3)
    world.edit(replicas=0)
    world.settle()
    assert world.objects == {}
    world.edit(replicas=2)
    world.settle()
    assert Counter(i.ordinal for i in world.live) == Counter(range(2))


def test_an_instance_of_somebody_else_is_left_alone() -> None:
    """Ownership is the ownerReference; whatever is not among the owned ones is never touched."""
    world = World.of(node("n1"), replicas=0)
    assert world.decide().idle


# --- updating


def test_a_rolling_update_changes_one_at_a_time_in_place() -> None:
    """With maxUnavailable 1 the next instance is patched only when the last one is available again."""
    world = three(replicas=3)
    before = {i.uid for i in world.live}
    world.set_image("web:2")
    for _ in range(3):
        decision = world.decide()
        assert len(decision.patches) == 1
        assert decision.patches[0].body["spec"]["containers"][0]["image"] == "web:2"
        world.apply(decision)
        assert world.decide().idle, "nothing more while one is being updated"
        world.agents()
    assert world.decide().idle
    assert {i.uid for i in world.live} == before


def test_an_unavailable_instance_is_updated_first_and_costs_nothing() -> None:
    """A broken rollout is repaired even though the budget is spent."""
    world = three(replicas=3)
    world.set_image("nope:1")
    world.apply(world.decide())
    (patched,) = [i for i in world.live if not i.settled]
    world.tell(patched.key.name, "Unknown", "ImagePullBackOff")
    assert world.decide().idle
    world.set_image("web:2")
    assert [p.instance.uid for p in world.decide().patches] == [patched.uid]


def test_what_is_unavailable_by_other_causes_counts() -> None:
    """With one instance on a silent node the budget of 1 is spent on it."""
    world = three(replicas=3)
    world.nodes["n3"] = node("n3", alive=False)
    world.set_image("web:2")
    decision = world.decide()
    assert [p.instance.node for p in decision.patches] == ["n3"]


def test_min_ready_seconds_hold_the_next_one_back() -> None:
    """An instance counts when it has been ready for minReadySeconds, and the decision says when to look again."""
    world = World.of(node("n1"), node("n2"), replicas=2, update={"minReadySeconds": 10})
    world.apply(world.decide())
    world.ready()
    decision = world.decide()
    assert decision.wake_at == START + 10
    world.now += 10
    world.set_image("web:2")
    world.apply(world.decide())
    world.agents()
    world.now += 9
    assert world.decide().idle
    world.now += 1
    assert len(world.decide().patches) == 1


def test_recreate_changes_all_at_once() -> None:
    """Recreate has no budget."""
    world = three(replicas=3, update={"type": "Recreate"})
    world.set_image("web:2")
    assert len(world.decide().patches) == 3


def test_on_delete_waits_for_the_user() -> None:
    """Only an instance that is created anew gets the new template."""
    world = three(replicas=2, update={"type": "OnDelete"})
    world.set_image("web:2")
    assert world.decide().idle
    world.delete(world.live[0].key.name)
    world.settle()
    images = sorted(o["spec"]["containers"][0]["image"] for o in world.objects.values())
    assert images == ["web:1", "web:2"]


def test_suspending_reaches_all_at_once_and_keeps_the_objects() -> None:
    """Suspend is no update: no budget, no template, no deletion."""
    world = three(replicas=3)
    world.edit(suspend=True)
    decision = world.decide()
    assert [p.body["spec"] for p in decision.patches] == [{"suspend": True}] * 3
    assert not decision.deletes
    world.settle()
    world.edit(suspend=False)
    assert [p.body["spec"] for p in world.decide().patches] == [{"suspend": False}] * 3


def test_changed_labels_of_the_template_reach_the_instances_and_old_ones_leave() -> None:
    """Metadata costs nothing, so it is changed at once; what somebody else put there stays."""
    world = three(replicas=3)
    world.edit(template={"metadata": {"labels": {"tier": "front", "old": "x"}}})
    world.settle()
    assert {i.labels["tier"] for i in world.live} == {"front"}
    name = world.live[0].key.name
    world.objects[name]["metadata"]["labels"]["mine"] = "y"
    world.edit(template={"metadata": {"labels": {"old": None}}})
    world.settle()
    assert "old" not in world.objects[name]["metadata"]["labels"]
    assert world.objects[name]["metadata"]["labels"]["mine"] == "y"


def test_an_instance_that_was_changed_by_hand_is_put_right() -> None:
    """The spec itself is compared, not a hash that somebody wrote down."""
    world = three(replicas=1)
    (name,) = world.objects
    world.objects[name]["spec"]["containers"][0]["image"] = "other:1"
    world.settle()
    assert world.objects[name]["spec"]["containers"][0]["image"] == "web:1"


def test_fields_at_their_default_are_no_difference() -> None:
    """The API server fills defaults in; a manager that knows more fields sees no change."""
    world = three(replicas=1)
    (name,) = world.objects
    world.objects[name]["spec"] |= {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30}
    assert world.decide().idle


@pytest.mark.parametrize(
    ("value", "wanted", "number"),
    [(1, 10, 1), (3, 10, 3), ("25%", 10, 2), ("25%", 3, 1), ("100%", 4, 4), ("50%", 0, 1)],
)
def test_max_unavailable(value: int | str, wanted: int, number: int) -> None:
    """A percentage is rounded down, and at least one."""
    assert max_unavailable(UpdateStrategy(max_unavailable=value), wanted) == number


# --- nodes


def test_a_lost_node_is_replaced_after_the_time() -> None:
    """The instance is deleted, and its replacement is created elsewhere without waiting for it to go."""
    world = three(replicas=3)
    world.nodes["n3"] = node("n3", alive=False, lost_at=world.now)
    decision = world.decide()
    assert decision.idle
    assert decision.wake_at == world.now + 300
    world.now += 300
    world.apply(world.decide())
    assert placed(world) == ["n1", "n1", "n2"]
    assert len(world.objects) == 4, "the lost one waits for its agent"
    world.nodes["n3"] = node("n3")
    world.settle()
    assert placed(world) == ["n1", "n1", "n2"]
    assert len(world.objects) == 3


ENDS: dict[str, dict[str, Any]] = {
    "Succeeded": {"status": "True", "reason": "Completed"},
    "Failed": {"status": "False", "reason": "Error", "stalled": True},
}
LOSSES = ("lost", "gone", "NoExecute", "not of the placement any more")


def lose(world: World, name: str, how: str) -> None:
    """Something becomes of a node that makes instances leave it."""
    if how == "gone":
        del world.nodes[name]
        world.absent[name] = world.now
    elif how == "not of the placement any more":
        world.edit(placement={"nodeSelector": {"zone": "a"}})
        world.nodes = {n: node(n, labels={} if n == name else {"zone": "a"}) for n in world.nodes}
    else:
        taints = ("x:NoExecute",) if how == "NoExecute" else ()
        world.nodes[name] = node(name, alive=how != "lost", lost_at=world.now if how == "lost" else None, taints=taints)
    world.now += 1e6


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("phase", ENDS)
def test_what_has_ended_is_not_done_again_elsewhere(phase: str, how: str) -> None:
    """As with a Job, which has counted it: whatever becomes of its node. A new template is done, though."""
    world = three(replicas=3)
    ended = next(i for i in world.live if i.node == "n3")
    for instance in world.live:
        world.tell(instance.key.name, phase=phase, **ENDS[phase])
    lose(world, "n3", how)
    decision = world.decide()
    assert (decision.idle, decision.wake_at) == (True, None)
    world.set_image("web:2")
    world.apply(world.decide())
    world.settle()
    assert ended.uid not in {i.uid for i in world.live}
    assert len(world.live) == 3


@pytest.mark.parametrize("how", LOSSES)
def test_what_still_runs_is(how: str) -> None:
    """The same without an end."""
    world = three(replicas=3)
    (there,) = (i.uid for i in world.live if i.node == "n3")
    lose(world, "n3", how)
    assert [d.instance.uid for d in world.decide().deletes] == [there]


def test_with_policy_wait_a_lost_node_is_waited_for() -> None:
    """Nothing is deleted, however long it takes."""
    world = three(replicas=3, nodeLost={"policy": "Wait"})
    world.nodes["n3"] = node("n3", alive=False, lost_at=world.now)
    world.now += 1e6
    assert world.decide().idle


def test_when_no_node_is_heard_nothing_is_replaced() -> None:
    """It is rather the way to the nodes that is broken; and there is nowhere to go."""
    world = three(replicas=3)
    world.nodes = {n: node(n, alive=False, lost_at=world.now) for n in world.nodes}
    world.now += 1e6
    assert world.decide().idle


def test_a_global_instance_waits_for_its_lost_node() -> None:
    """There is nowhere else to go, and it may never have stopped."""
    world = three(mode="Global")
    world.nodes["n3"] = node("n3", alive=False, lost_at=world.now)
    world.now += 1e6
    assert world.decide().idle


@pytest.mark.parametrize("closed", [{"unschedulable": True}, {"pressed": True}], ids=str)
@pytest.mark.parametrize("mode", ["Replicated", "Global"])
def test_a_closed_node_keeps_what_it_has(mode: str, closed: dict[str, Any]) -> None:
    """A cordon and disk pressure keep new instances away, in both modes, and change nothing for those that are there."""
    count: dict[str, Any] = {"replicas": 2} if mode == "Replicated" else {}
    world = World.of(node("n1"), node("n2"), mode=mode, **count)
    world.settle()
    world.nodes["n2"] = node("n2", **closed)
    assert world.decide().idle
    world.delete(next(i.key.name for i in world.live if i.node == "n2"))
    world.settle()
    assert "n2" not in placed(world)


def test_a_no_execute_taint_empties_the_node_at_once() -> None:
    """Replicated ones are replaced elsewhere, a Global one goes."""
    world = three(replicas=3)
    world.nodes["n3"] = node("n3", taints=("maintenance:NoExecute",))
    world.settle()
    assert placed(world) == ["n1", "n1", "n2"]
    world = three(mode="Global")
    world.nodes["n3"] = node("n3", taints=("maintenance:NoExecute",))
    world.settle()
    assert placed(world) == ["n1", "n2"]


def test_a_changed_placement_moves_within_the_budget() -> None:
    """Moving is an update that cannot be made in place: one at a time, never all at once."""
    world = World.of(node("n1", labels={"z": "a"}), node("n2", labels={"z": "b"}), replicas=3)
    world.edit(placement={"nodeSelector": {"z": "a"}})
    world.settle()
    world.edit(placement={"nodeSelector": {"z": "b"}})
    decision = world.decide()
    assert len(decision.deletes) == 1
    world.settle()
    assert placed(world) == ["n2", "n2", "n2"]


def test_a_deleted_node_gives_its_instances_up_after_a_pause() -> None:
    """The agent of a living node puts its RuntimeNode back meanwhile, and nothing is lost."""
    world = three(replicas=3)
    del world.nodes["n3"]
    world.absent["n3"] = world.now
    decision = world.decide()
    assert decision.idle
    assert decision.wake_at == world.now + 40
    world.now += 40
    assert [d.instance.node for d in world.decide().deletes] == ["n3"]


def test_a_replacement_on_the_same_node_waits_for_its_predecessor() -> None:
    """They share the node's ports: the name is free when the old one is gone."""
    world = World.of(node("n1"))
    world.settle()
    (name,) = world.objects
    world.delete(name)
    decision = world.decide()
    assert decision.idle
    assert decision.blocked == (name,)
    world.agents()
    assert [c.name for c in world.decide().creates] == [name]


def test_of_two_with_one_ordinal_the_better_one_stays() -> None:
    """Two managers that worked at once leave no twins behind."""
    world = three(replicas=2)
    first = next(i for i in world.live if i.ordinal == 0)
    other = replace(first, uid="twin", ready=None)
    from controller.manager.decide import rollout

    decision = rollout.decide(world.workload, [*world.instances, other], world.fleet, world.now)
    assert [d.instance.uid for d in decision.deletes] == ["twin"]
