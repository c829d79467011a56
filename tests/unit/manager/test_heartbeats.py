"""Heartbeats: what counts is that a renewal arrived, by this machine's clock."""

from controller.manager.decide.heartbeats import Heartbeats


def beating(*nodes: str, until: float, age: float = 0.0) -> Heartbeats:
    """Nodes whose Lease was renewed every 10 s from 0 to `until`."""
    beats = Heartbeats()
    for at in range(0, int(until) + 1, 10):
        for name in nodes:
            beats.renewed(name, f"t{at}", age, float(at))
    return beats


def test_a_node_is_alive_for_forty_seconds_after_a_renewal() -> None:
    """As the kubelet's Lease."""
    beats = beating("a", until=100)
    assert beats.alive("a", 139.9)
    assert not beats.alive("a", 140)


def test_the_nodes_own_clock_does_not_matter_once_it_beats() -> None:
    """A clock that is ten minutes behind makes no node look dead."""
    beats = beating("a", until=20, age=600)
    assert beats.alive("a", 30)
    assert beats.silent_for("a", 30) is None


def test_the_same_renewal_seen_again_is_no_heartbeat() -> None:
    """A list after a reconnect delivers what was known."""
    beats = beating("a", until=0)
    beats.renewed("a", "t0", 30, 30)
    assert not beats.alive("a", 40)


def test_an_old_renewal_that_is_found_gives_no_work_but_takes_none() -> None:
    """A fresh manager finds a Lease of an hour ago: no new instances, and the loss is certain only after 40 s."""
    beats = Heartbeats()
    beats.renewed("a", "t", 3600, 0)
    assert not beats.alive("a", 0)
    assert beats.silent_for("a", 39) is None
    assert beats.silent_for("a", 40) == 3640


def test_a_node_without_any_lease_is_not_alive() -> None:
    """Its agent has not begun yet."""
    beats = Heartbeats()
    beats.expect("a", 0)
    assert not beats.alive("a", 1)
    beats.renewed("a", "t", 0, 2)
    assert beats.alive("a", 3)


def test_one_lost_node_among_many_is_told() -> None:
    """The others' renewals show that the way is open."""
    beats = beating("a", "b", until=50)
    for at in range(60, 200, 10):
        beats.renewed("b", f"t{at}", 0, float(at))
    assert beats.silent_for("a", 190) == 140
    assert beats.silent_for("b", 190) is None


def test_after_a_gap_in_everything_each_node_gets_its_time() -> None:
    """The API server was away for a minute: the first node to be heard again makes none of the others look lost."""
    beats = beating("a", "b", until=50)
    assert beats.silent_for("b", 120) == 70
    beats.renewed("a", "t120", 0, 120)
    assert beats.alive("b", 121)
    assert beats.silent_for("b", 121) is None
    assert beats.silent_for("b", 160) == 110


def test_the_next_change_is_known() -> None:
    """So that nobody has to poll."""
    beats = beating("a", until=50)
    assert beats.next_change("a", 60) == 90
    assert beats.next_change("a", 90) is None
