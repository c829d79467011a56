"""Any history of one instance converges when it ends, and on the way nothing ever runs twice."""

from collections.abc import Callable

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from controller.agent.decide.resources import applied
from controller.api import labels
from controller.network.port import NetworkState
from controller.runtime.port import ContainerState, Phase
from tests.unit.agent.plan.world import ALIVE, World, counts
from tests.unit.agent.values import container, current_hash

Event = tuple[str, Callable[[World], object]]


def happening(name: str, do: Callable[[World], object]) -> st.SearchStrategy[Event]:
    """One kind of event."""
    return st.just((name, do))


def failing(kind: str, times: int) -> Event:
    """The next calls of a kind fail."""
    return (f"{kind} fails {times} times", lambda w: w.failing.update({kind: times + 1}))


EVENTS = st.one_of(
    st.integers(1, 4).map(lambda n: (f"{n} rounds", lambda w: [w.round() for _ in range(n)])),
    st.sampled_from([0.1, 1.0, 6.0, 200.0]).map(lambda s: (f"{s} seconds", lambda w: setattr(w, "now", w.now + s))),
    st.sampled_from([0, 1, 137]).map(lambda c: (f"ends with {c}", lambda w: w.crash(c))),
    st.sampled_from("abc").map(lambda t: (f"main gets args {t}", lambda w: w.change_main(t))),
    st.sampled_from(["", "1", "2"]).map(lambda c: (f"main may use {c or 'any'} cpu", lambda w: w.limit_main(c))),
    st.sampled_from(["NotRequired", "RestartContainer"]).map(lambda p: (f"resizing {p}", lambda w: w.resize_main(p))),
    st.booleans().map(lambda b: (f"side container: {b}", lambda w: w.with_side(b))),
    st.booleans().map(lambda b: (f"suspend: {b}", lambda w: w.edit(suspend=b))),
    st.sampled_from(["Always", "OnFailure", "Never"]).map(lambda p: (f"policy {p}", lambda w: w.edit(restartPolicy=p))),
    st.sampled_from([0, 5]).map(lambda g: (f"grace {g}", lambda w: w.edit(terminationGracePeriodSeconds=g))),
    st.builds(failing, st.sampled_from(["create", "start", "pull", "stop", "network", "resize"]), st.integers(1, 3)),
    st.booleans().map(lambda b: (f"own network: {b}", lambda w: w.give_network(b))),
    st.sampled_from(["startup", "liveness", "postStart"]).map(lambda c: (f"{c} fails", lambda w: w.sicken(c))),
    st.booleans().map(lambda b: (f"hooks: {b}", lambda w: w.with_hooks(b))),
    happening("hooks end", World.finish_hooks),
    happening("tampered", World.tamper),
    happening("network gone", World.lose_network),
    happening("paused", World.freeze),
    happening("rebooted", World.reboot),
    happening("agent restarted", World.restart_agent),
    happening("runtime away", World.outage),
    happening("runtime back", lambda w: setattr(w, "up", True)),
    happening("image gone", World.lose_image),
    st.sampled_from(["", 'configmap "x" not found']).map(lambda m: (f"missing: {m}", lambda w: w.lack(m))),
    happening("pull ends", World.finish_pull),
)


def beginning(own_network: bool) -> World:  # noqa: FBT001 - drawn
    """A world before anything has happened."""
    world = World()
    if own_network:
        world.give_network(True)
    return world


def network_well(world: World) -> bool:
    """Whether there is a network exactly when the spec asks for one, and for as long as not all has ended."""
    over = all(over_for_good(world, c["name"]) for c in world.spec["containers"])
    wanted = world.spec.get("network") == "None" and not world.spec.get("suspend") and not over
    return world.network is (NetworkState.READY if wanted else NetworkState.ABSENT)


def over_for_good(world: World, name: str) -> bool:
    """Whether a container has ended and is not to be started again."""
    policy, found = world.spec.get("restartPolicy", "Always"), world.named(name)
    if not found:  # a start that failed under Never is the end, and leaves nothing
        return policy == "Never" and name in world.notes.troubles and world.notes.troubles[name].started
    failed = found[0].exit_code != 0 or labels.UNHEALTHY in found[0].labels
    return found[0].phase is Phase.EXITED and (policy == "Never" or (policy == "OnFailure" and not failed))


def well(world: World, name: str) -> bool:
    """Whether a container of the spec is as it should be: exactly one, alive and up to date, or ended for good."""
    found = world.named(name)
    if not found:
        return over_for_good(world, name)
    (only,) = found
    if only.labels[labels.SPEC_HASH] != current_hash(world.desired, name):
        return False
    spec = next(c for c in world.desired.instance.spec.containers if c.name == name)
    if only.phase in ALIVE and only.labels.get(labels.RESOURCES, "") != applied(spec):
        return False
    return only.phase in ALIVE or over_for_good(world, name)


@given(st.booleans(), st.lists(EVENTS, max_size=14))
@settings(max_examples=400, deadline=None)
@example(False, [("", World.round), ("", World.round), ("", World.outage), ("", lambda w: w.crash(1)), ("", World.round)])
@example(True, [("", World.round), ("", lambda w: w.give_network(False)), ("", World.round)])
@example(True, [failing("network", 2), ("", World.round), ("", World.round)])
@example(True, [failing("start", 1), ("", World.round), ("", lambda w: w.edit(restartPolicy="Never"))])
@example(
    False,
    [
        ("", World.round),
        ("", lambda w: w.edit(suspend=True)),
        failing("stop", 1),
        ("", World.round),
        ("", lambda w: w.edit(suspend=False)),
    ],
)
def test_any_history_converges(own_network: bool, history: list[Event]) -> None:  # noqa: FBT001 - drawn
    """Edits, ends, tampering, outages, reboots, lost notes, failing calls: afterwards all is as it is wanted.

    Each wanted container is there exactly once, nothing else is, there is a network if one is asked for, and a further plan has
    nothing to do. That nothing starts beside a living one, or without its network, is asserted by the world at every start.
    """
    world = beginning(own_network)
    for name, happen in history:
        event(name)
        happen(world)
    world.settle()
    assert world.plan().actions == ()
    assert network_well(world)
    if world.spec.get("suspend"):
        assert not world.containers
        return
    names = {c["name"] for c in world.spec["containers"]}
    assert {c.labels[labels.CONTAINER] for c in world.containers.values()} <= names
    assert all(well(world, name) for name in names), world.containers


@given(st.booleans(), st.lists(EVENTS, max_size=8), st.lists(EVENTS, max_size=4))
@settings(max_examples=150, deadline=None)
def test_after_a_deletion_nothing_is_left(
    own_network: bool,  # noqa: FBT001 - drawn
    before: list[Event],
    after: list[Event],
) -> None:
    """Whatever happened before and happens during it, a deletion ends with nothing of the instance on the node."""
    world = beginning(own_network)
    for _, happen in before:
        happen(world)
    world.deleted = True
    for _, happen in after:
        happen(world)
    world.settle()
    assert not world.containers
    assert world.network is NetworkState.ABSENT
    assert world.plan().torn_down


@given(st.booleans(), st.lists(EVENTS, max_size=8))
@settings(max_examples=150, deadline=None)
def test_an_agent_restart_alone_changes_nothing(own_network: bool, history: list[Event]) -> None:  # noqa: FBT001 - drawn
    """A settled instance is adopted as it is: the first plan of a new agent has nothing to do.

    (But for a start that failed under Never and left no trace: it is tried once more.)
    """
    world = beginning(own_network)
    for _, happen in history:
        happen(world)
    world.settle()
    traceless = any(t.started for t in world.notes.troubles.values())
    world.restart_agent()
    assert traceless or world.plan().actions == ()


def running(world: World) -> ContainerState:
    """The one container."""
    (found,) = world.containers.values()
    return found


def test_restarts_are_counted_over_a_whole_history() -> None:
    """restart-count counts every replacement; ends in a row only those that came soon after each other."""
    world = World()
    world.settle()
    assert counts(running(world)) == (0, 0)
    for crashes in (1, 2, 3):
        world.crash(1)
        world.settle()
        assert counts(running(world)) == (crashes, crashes)
    world.now += 200
    world.crash(1)
    world.settle()
    assert counts(running(world)) == (4, 1)
    world.change_main("x")
    world.settle()
    assert counts(running(world)) == (5, 0)
    world.tamper()
    world.settle()
    assert counts(running(world)) == (6, 1)
    world.reboot()
    world.settle()
    assert counts(running(world))[0] == 7


def test_pauses_between_restarts_double() -> None:
    """The time from an end to the next start: none, 1, 2, 4 ... seconds."""
    world = World()
    world.settle()
    pauses = []
    for _ in range(5):
        world.crash(1)
        ended = world.now
        world.settle()
        pauses.append((running(world).started_at or 0.0) - ended)
    assert pauses == [0, 1, 2, 4, 8]


@pytest.mark.parametrize("removed_by", ["user", "us"])
def test_a_container_that_left_the_spec_and_came_back_is_a_new_one(removed_by: str) -> None:
    """Taken out of the spec and put in again: its history does not come back. Removed behind our back: it does."""
    world = World()
    world.with_side(True)
    world.settle()
    if removed_by == "us":
        world.with_side(False)
        world.settle()
        world.with_side(True)
    else:
        world.tamper()
    world.settle()
    assert counts(world.named("side")[0]) == ((0, 0) if removed_by == "us" else (1, 1))


def test_a_container_keeps_running_while_the_new_image_comes() -> None:
    """The old container is alive until the new image is on the node."""
    world = World(spec={"containers": [container(imagePullPolicy="Always")]})
    world.settle()
    before = running(world)
    world.change_main("new")
    world.round()
    world.round()
    assert running(world) == before
    world.finish_pull()
    world.settle()
    assert running(world).labels[labels.SPEC_HASH] == current_hash(world.desired)
