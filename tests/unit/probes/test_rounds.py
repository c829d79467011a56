"""When a probe is due, and when its results count."""

from hypothesis import given
from hypothesis import strategies as st

from controller.agent.probes.rounds import Kind, Row, Schedule, first
from controller.api.probes import Probe

NOW = 1000.0


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 5), st.integers(1, 5))
def test_a_result_counts_after_so_many_in_a_row(results: list[bool], success: int, failure: int) -> None:
    """SuccessThreshold and failureThreshold count results in a row; one of the other kind begins anew."""
    probe = Probe(success_threshold=success, failure_threshold=failure)
    row = Row()
    for index, ok in enumerate(results):
        row = row.then(ok=ok)
        length = next((n for n, r in enumerate(reversed(results[: index + 1])) if r is not ok), index + 1)
        assert row.count == length
        assert row.counts(probe) == (length >= (success if ok else failure))
    assert results or not row.counts(probe)


def dues(kind: Kind, probe: Probe, seconds: float, *, adopted: bool = False, chance: float = 0.0) -> list[tuple[float, bool]]:
    """When it is made within so many seconds of the container's start, if none succeeds; and whether each counts."""
    schedule = first(kind, probe, began=NOW, now=NOW, chance=chance, adopted=adopted)
    found = []
    while schedule.due <= NOW + seconds:
        found.append((round(schedule.due - NOW, 3), not schedule.trying))
        schedule = schedule.after(probe, schedule.due)
    return found


def test_a_startup_probe_gives_whole_periods() -> None:
    """It is tried at once and at doubling pauses; failures count once a period, the first after a whole one."""
    probe = Probe(period_seconds=2)
    assert dues(Kind.STARTUP, probe, 6) == [
        *((0.0, False), (0.1, False), (0.3, False), (0.7, False), (1.5, False)),
        *((2.0, True), (4.0, True), (6.0, True)),
    ]
    assert dues(Kind.READINESS, probe, 2) == dues(Kind.STARTUP, probe, 2)


def test_a_liveness_probe_is_made_once_a_period() -> None:
    """The first is soon after the start, spread over a second at most."""
    assert dues(Kind.LIVENESS, Probe(period_seconds=2), 5) == [(0.0, True), (2.0, True), (4.0, True)]
    assert dues(Kind.LIVENESS, Probe(), 5, chance=0.5) == [(0.5, True)]


def test_no_probe_before_its_initial_delay() -> None:
    """InitialDelaySeconds is from the start of the container, for all of them."""
    for kind in Kind:
        assert dues(kind, Probe(initial_delay_seconds=7), 30)[0][0] == 7.0


def test_probes_of_containers_that_ran_before_are_spread() -> None:
    """A new agent does not probe all at once, and tries nothing in between."""
    assert dues(Kind.READINESS, Probe(period_seconds=4), 9, adopted=True, chance=0.5) == [(2.0, True), (6.0, True)]
    assert dues(Kind.LIVENESS, Probe(period_seconds=3600), 60, adopted=True, chance=0.9) == [(9.0, True)]


@given(st.floats(0, 100), st.integers(1, 10))
def test_one_that_comes_late_does_not_make_two_at_once(late: float, period: int) -> None:
    """The next is a period after the last was due, or now, and never in the past."""
    after = Schedule(NOW, NOW, 0.0).after(Probe(period_seconds=period), NOW + late)
    assert after.due == after.counted == max(NOW + period, NOW + late)


def test_after_its_success_it_is_made_once_a_period() -> None:
    """No more tries in between."""
    schedule = first(Kind.READINESS, Probe(), began=NOW, now=NOW, chance=0.0, adopted=False).settled(Probe(), NOW + 3)
    assert (schedule.due, schedule.trying) == (NOW + 13, False)
