"""Places on a node: who takes, keeps and leaves them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.room import Room
from controller.api.amounts import NOTHING, Amounts

NODE = Amounts(2000, 1000)


def room(*before: tuple[str, Amounts], woken: list[str] | None = None) -> Room:
    """A node on which some have run before."""
    return Room(NODE, lambda: before, (woken if woken is not None else []).append)


def test_who_fits_is_let_in() -> None:
    """Up to the last thousandth; and whoever asks for nothing always fits."""
    found = room(("a", Amounts(1500, 0)))
    assert found.shortage("b", Amounts(500, 1000)) is None
    found.take("b", Amounts(500, 1000))
    assert found.shortage("c", NOTHING) is None
    lacking = found.shortage("c", Amounts(1, 0))
    assert lacking is not None
    assert (lacking.resource, lacking.ever, lacking.held) == ("cpu", False, False)
    assert lacking.message == "node didn't have enough resource: cpu, requested: 1, used: 2000, capacity: 2000"


def test_what_no_node_of_the_kind_has_is_never_there() -> None:
    """More than the whole node, or huge pages that it has none of."""
    for wanted, resource in (
        (Amounts(2001, 0), "cpu"),
        (Amounts(0, 1001), "memory"),
        (Amounts(1, 1, (("2Mi", 1),)), "hugepages-2Mi"),
    ):
        lacking = room().shortage("a", wanted)
        assert lacking is not None
        assert (lacking.resource, lacking.ever) == (resource, True)


def test_who_has_a_place_keeps_it() -> None:
    """Also on a node that has become too small: only what it asks for in addition can lack."""
    found = room(("a", Amounts(9000, 500)), ("b", Amounts(0, 100)))
    assert found.shortage("a", Amounts(9000, 500)) is None
    assert found.shortage("a", Amounts(8000, 900)) is None
    lacking = found.shortage("a", Amounts(9000, 901))
    assert lacking is not None
    assert (lacking.resource, lacking.held, lacking.ever) == ("memory", True, False)
    growing = found.shortage("b", Amounts(1, 100))
    assert growing is not None
    assert growing.held


@pytest.mark.parametrize("how", ["leaves", "takes less"])
def test_who_waits_is_woken_when_room_is_made(how: str) -> None:
    """By whoever leaves, or takes less; not by those that only change."""
    woken: list[str] = []
    found = room(("a", NODE), woken=woken)
    found.wait("b")
    found.take("a", NODE)
    found.leave("nobody")
    assert woken == []
    if how == "leaves":
        found.leave("a")
    else:
        found.take("a", Amounts(2000, 1))
    assert woken == ["b"]
    found.take("b", NOTHING)
    found.leave("a")
    assert woken == ["b"]


STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 1200), st.booleans()))


@given(STEPS)
def test_no_more_is_given_than_there_is(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever is asked for in whatever order, as long as only those take who were told that there is room."""
    found, held = room(), dict[str, Amounts]()
    for uid, amount, leaves in steps:
        wanted = Amounts(amount * 2, amount)
        if leaves:
            found.leave(uid)
            held.pop(uid, None)
        elif found.shortage(uid, wanted) is None:
            found.take(uid, wanted)
            held[uid] = wanted
        assert sum(held.values(), NOTHING).beyond(NODE) == ()
