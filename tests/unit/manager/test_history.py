"""Any history converges: whatever happened, the decisions come to rest in the state that was asked for."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.manager.decide import placement
from controller.manager.decide.availability import max_unavailable
from controller.manager.decide.decision import Decision
from tests.unit.manager.world import World, node

NAMES = ("n1", "n2", "n3", "n4")
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")

EDITS: dict[str, Callable[[object], dict[str, object]]] = {
    "replicas": lambda value: {"replicas": value},
    "suspend": lambda value: {"suspend": value},
    "zone": lambda value: {"placement": {"nodeSelector": {"zone": value} if value else None}},
    "budget": lambda value: {"update": {"maxUnavailable": value}},
    "strategy": lambda value: {"update": {"type": value}},
}
NODE_CHANGES: dict[str, dict[str, Any]] = {
    "silent": {"alive": False},
    "heard": {"alive": True, "lost_at": None, "taints": (), "unschedulable": False},
    "cordon": {"unschedulable": True},
    "taint": {"taints": node("x", taints=("a:NoExecute",)).taints},
}

OPERATIONS = st.one_of(
    st.tuples(st.just("replicas"), st.integers(0, 9)),
    st.tuples(st.just("image"), st.sampled_from(["web:1", "web:2", "web:3"])),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("zone"), st.sampled_from(["", "a", "b"])),
    st.tuples(st.just("budget"), st.sampled_from([1, 2, "50%", "100%"])),
    st.tuples(st.just("strategy"), st.sampled_from(["RollingUpdate", "Recreate"])),
    st.tuples(st.just("silent"), st.sampled_from(NAMES)),
    st.tuples(st.just("heard"), st.sampled_from(NAMES)),
    st.tuples(st.just("cordon"), st.sampled_from(NAMES)),
    st.tuples(st.just("taint"), st.sampled_from(NAMES)),
    st.tuples(st.just("crash"), st.integers(0, 9)),
    st.tuples(st.just("delete"), st.integers(0, 9)),
    st.tuples(st.just("pass"), st.sampled_from([1, 60, 400])),
    st.tuples(st.just("agents"), st.just(0)),
)


def operate(world: World, kind: str, value: object) -> None:
    """Let one thing happen."""
    if isinstance(value, str) and value in world.nodes:
        changes = NODE_CHANGES[kind] | ({"lost_at": world.now} if kind == "silent" else {})
        world.nodes[value] = replace(world.nodes[value], **changes)
    elif kind in EDITS:
        if kind != "replicas" or world.spec.get("mode") != "Global":
            world.edit(**EDITS[kind](value))
    elif kind == "image":
        world.set_image(str(value))
    elif kind == "agents":
        world.agents()
    elif isinstance(value, int):
        happen(world, kind, value)


def happen(world: World, kind: str, value: int) -> None:
    """Time passes, or something happens to one of the instances."""
    names = sorted(world.objects)
    if kind == "pass":
        world.now += value
    elif names and kind == "crash":
        world.tell(names[value % len(names)], "Unknown", "CrashLoopBackOff")
    elif names and kind == "delete":
        world.delete(names[value % len(names)])


def step(world: World) -> Decision:
    """Decide and write, holding every decision against the rules."""
    decision = world.decide()
    up = {i.uid for i in world.available()}
    cost = {p.instance.uid for p in decision.patches if "containers" in p.body.get("spec", {})}
    cost |= {d.instance.uid for d in decision.deletes if "placement" in d.why}
    if world.workload.spec.update.type == "RollingUpdate" and not world.workload.spec.suspend and cost & up:
        allowed = max_unavailable(world.workload.spec.update, decision.wanted)
        assert decision.wanted - len(up - cost - {d.instance.uid for d in decision.deletes}) <= allowed
    for create in decision.creates:
        assert NAME.fullmatch(create.name)
    world.apply(decision)
    ready = [i for i in world.live if world.fleet.is_ready(i.node)]
    ordinals = Counter(i.ordinal for i in ready if i.ordinal is not None)
    assert not [n for n, count in ordinals.items() if count > 1], "two with one ordinal on ready nodes"
    return decision


def check_rest(world: World) -> None:
    """At rest the world is what the workload asks for."""
    workload, live = world.workload, world.live
    fits = [n for n in world.nodes.values() if placement.unfit(n, workload.spec.placement, 0) is None]
    if workload.spec.mode == "Global":
        assert len({i.node for i in live}) == len(live)
        assert {n.name for n in fits} <= {i.node for i in live}
    else:
        assert len(live) == (workload.spec.replicas if fits else min(workload.spec.replicas, len(live)))
    for instance in live:
        if world.fleet.is_ready(instance.node):
            assert instance.spec_hash == workload.spec_hash
            assert instance.suspend == workload.spec.suspend


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["Replicated", "Global"]), st.lists(OPERATIONS, max_size=25))
def test_any_history_converges(mode: str, history: list[tuple[str, object]]) -> None:
    """Edits, losses, crashes and deletions in any order: the rules hold at every step, and rest is reached and kept."""
    zones = {"n1": "a", "n2": "a", "n3": "b", "n4": "b"}
    world = World.of(*(node(n, labels={"zone": z}) for n, z in zones.items()), mode=mode)
    for kind, value in history:
        operate(world, kind, value)
        step(world)
    for name, found in world.nodes.items():
        if not found.alive:  # whoever is still silent is back
            operate(world, "heard", name)
    for _ in range(80):
        decision = step(world)
        world.agents()
        world.now += 1
        if decision.idle and world.decide().idle:
            break
    else:
        raise AssertionError("no rest")
    check_rest(world)
    assert world.decide().idle, "a second run changes nothing"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 5))
def test_scaling_keeps_the_balance(first: int, second: int, nodes: int) -> None:
    """After scaling up and down, no node has more than one instance more than another."""
    world = World.of(*(node(f"n{n}") for n in range(nodes)), replicas=first)
    world.settle()
    world.edit(replicas=second)
    world.settle()
    counts = Counter({f"n{n}": 0 for n in range(nodes)}) + Counter(i.node for i in world.live)
    spread = [counts.get(f"n{n}", 0) for n in range(nodes)]
    assert max(spread) - min(spread) <= 1
    assert sorted(i.ordinal or 0 for i in world.live) == sorted({i.ordinal or 0 for i in world.live})
