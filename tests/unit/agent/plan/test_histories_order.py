"""Any history of an instance with init containers and sidecars converges, and nothing ever starts before its turn.

That, at each start: no main container before its init containers have completed in this boot, no init container beside another
or beside a main one. The world asserts it (`World.check_order`).
"""

from typing import Any

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from controller.agent.decide.order import Role, places
from controller.agent.decide.plan.sequence import sequence
from controller.agent.decide.plan.values import Case
from controller.agent.decide.status import instance_status
from controller.api import labels
from controller.runtime.port import Phase
from tests.unit.agent.plan.test_histories import EVENTS, Event, well
from tests.unit.agent.plan.world import ALIVE, World
from tests.unit.agent.values import NODE, container


def init(name: str, text: str = "a") -> dict[str, Any]:
    """An init container."""
    return container(name, args=[text])


def sidecar(name: str, text: str = "a") -> dict[str, Any]:
    """A sidecar."""
    return container(name, args=[text], restartPolicy="Always")


ROWS = (
    (),
    (init("one"),),
    (init("one", "b"),),
    (init("one"), init("two")),
    (init("one", "b"), init("two")),
    (init("two"), init("one")),
    (sidecar("proxy"),),
    (init("one"), sidecar("proxy"), init("two")),
    (init("one"), sidecar("proxy", "b"), init("two", "b")),
    (sidecar("proxy"), sidecar("last"), init("one")),
)

ORDER = st.one_of(
    st.sampled_from(ROWS).map(lambda row: (f"init: {[c['name'] for c in row]}", lambda w: w.with_inits(*row))),
    st.sampled_from([0, 0, 1]).map(lambda c: (f"init containers end with {c}", lambda w: w.finish_inits(c))),
    st.just(("the sidecars end", lambda w: [w.end(c.id, 1) for n in ("proxy", "last") for c in w.named(n)])),
)

ALONE = st.sampled_from(["restartedAt", "suspend"]).flatmap(
    lambda field: st.sampled_from([False, True] if field == "suspend" else ["", "a", "b"]).map(
        lambda value: (f"{field}: {value}", lambda w: w.change_field(field, value))
    )
)

HISTORY = st.lists(st.one_of(ORDER, EVENTS, ALONE), max_size=14)


def settled(row: tuple[dict[str, Any], ...], history: list[Event]) -> World:
    """The world after a history."""
    world = World()
    world.with_inits(*row)
    for name, happen in history:
        event(name)
        happen(world)
    world.settle()
    return world


def stopped(world: World, name: str) -> bool:
    """Whether a container that is suspended does not run."""
    return not [c for c in world.named(name) if c.phase in ALIVE]


@given(st.sampled_from(ROWS), HISTORY)
@settings(max_examples=300, deadline=None)
@example(ROWS[1], [("", World.settle), ("", lambda w: w.with_inits(init("one", "b"))), ("", World.round)])
@example(ROWS[7], [("", World.settle), ("", lambda w: w.crash(1)), ("", World.round), ("", World.reboot)])
def test_any_history_converges(row: tuple[dict[str, Any], ...], history: list[Event]) -> None:
    """Afterwards there is nothing to do; every main container is well, or the init containers failed for good.

    Sidecars run as long as a main container may, and are gone when none will. Nothing is there that the spec does not have.
    """
    world = settled(row, history)
    assert world.plan().actions == ()
    spec = world.desired.instance.spec
    if spec.suspend:
        assert not world.containers
        return
    names = {c.name for c in spec.all_containers}
    assert {c.labels[labels.CONTAINER] for c in world.containers.values()} <= names
    case = Case(spec, world.observe(), world.now)
    steps = sequence(case).steps
    status = instance_status(world.desired, world.plan(), NODE, world.now)
    failed = [p for p in case.places if p.role is Role.INIT and not steps[p.container.name].verdict.completed]
    if failed:
        assert spec.restart_policy == "Never"
        assert status.phase == "Failed"
    else:
        assert all(stopped(world, c.name) if c.suspend else well(world, c.name) for c in spec.containers)
    ended = all(steps[c.name].verdict.ended for c in spec.containers)
    for place in places(spec):
        alive = [c for c in world.named(place.container.name) if c.phase in ALIVE]
        if place.role is Role.SIDECAR:
            assert bool(alive) is not (ended or bool(failed)), place.container.name
        if place.role is Role.INIT or failed:
            assert not alive


@given(st.sampled_from(ROWS), HISTORY)
@settings(max_examples=150, deadline=None)
def test_an_agent_restart_alone_changes_nothing(row: tuple[dict[str, Any], ...], history: list[Event]) -> None:
    """What has completed is known from the containers: a new agent runs no init container again."""
    world = settled(row, history)
    traceless = any(t.started for t in world.notes.troubles.values())
    world.restart_agent()
    assert traceless or world.plan().actions == ()


@given(st.sampled_from(ROWS), HISTORY, HISTORY)
@settings(max_examples=100, deadline=None)
def test_after_a_deletion_nothing_is_left(row: tuple[dict[str, Any], ...], before: list[Event], after: list[Event]) -> None:
    """Whatever happened before and happens during it, a deletion ends with nothing of the instance on the node."""
    world = World()
    world.with_inits(*row)
    for _, happen in before:
        happen(world)
    world.deleted = True
    for _, happen in after:
        happen(world)
    world.settle()
    assert not world.containers
    assert world.plan().torn_down


def test_a_main_container_that_restarts_runs_no_init_container_again() -> None:
    """Not after a crash, and not after an update of that container alone."""
    world = World()
    world.with_inits(init("one"))
    world.settle()
    world.crash(1)
    world.settle()
    world.change_main("x")
    world.settle()
    assert [c.labels[labels.RESTART_COUNT] for c in world.named("one")] == ["0"]


def test_a_changed_init_container_runs_again_and_those_after_it() -> None:
    """The containers are stopped only when what is new is there; then all comes in order, as in a new pod."""
    world = World()
    world.with_inits(init("one"), init("two"), init("three"))
    world.settle()
    world.with_inits(init("one"), init("two", "b"), init("three"))
    world.settle()
    counts = {c.labels[labels.CONTAINER]: c.labels[labels.RESTART_COUNT] for c in world.containers.values()}
    assert counts == {"one": "0", "two": "1", "three": "1", "main": "1"}


def test_after_a_reboot_all_comes_in_order_again() -> None:
    """The instance begins anew, as a pod in a new sandbox."""
    world = World()
    world.with_inits(init("one"), sidecar("proxy"))
    world.settle()
    world.reboot()
    assert {c.phase for c in world.named("main")} == {Phase.EXITED}
    world.settle()
    assert world.named("one")[0].labels[labels.RESTART_COUNT] == "1"
