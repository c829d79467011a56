"""Leader election: when a candidate may take the Lease."""

from typing import Any

from controller.manager.leader import Held, may_take, read


def lease(holder: str, renewed: str = "t1", version: str = "1") -> dict[str, Any]:
    """A Lease as the API server has it."""
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15}
    return {"metadata": {"resourceVersion": version}, "spec": spec}


def watched(*seen: tuple[float, dict[str, Any]]) -> Held:
    """The Lease as it was seen at these times."""
    held = None
    for at, obj in seen:
        held = read(obj, held, at)
    assert held is not None
    return held


def test_a_free_lease_and_ones_own_may_be_taken() -> None:
    """No holder, or ourselves."""
    assert may_take(watched((0, lease(""))), "me", 0)
    assert may_take(watched((0, lease("me"))), "me", 0)


def test_the_lease_of_a_living_holder_may_not() -> None:
    """Each renewal starts the time anew, whatever the clocks say."""
    held = watched((0, lease("other")), (10, lease("other", "t2")), (24, lease("other", "t2")))
    assert not may_take(held, "me", 24)


def test_a_lease_that_was_left_may() -> None:
    """Seen unchanged for its whole duration."""
    held = watched((0, lease("other")), (15, lease("other")))
    assert may_take(held, "me", 15)
