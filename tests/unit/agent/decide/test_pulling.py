"""Rate and time to go of a pull, in numbers and in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.decide.pulling import WINDOW_SECONDS, Sample, kept, rate, view
from controller.runtime.port import PullProgress

STEADY = [Sample(at, at * 1000) for at in range(0, 31, 2)]


@pytest.mark.parametrize(
    ("sentence", "samples", "now", "expected"),
    [
        ("nothing is known", [], 5, 0),
        ("it begins now", [Sample(5, 0)], 5, 0),
        ("it has just begun", [Sample(0, 0), Sample(2, 6000)], 2, 3000),
        ("it goes on as ever", STEADY, 30, 1000),
        ("between two samples", STEADY, 31, 900),
        ("it was quick, and is slow", [Sample(0, 0), Sample(10, 10**6), Sample(20, 10**6 + 500)], 20, 50),
        ("nothing has come for as long as the window", STEADY, 30 + WINDOW_SECONDS, 0),
        ("nothing ever came", [Sample(0, 0)], 100, 0),
        ("one lump long ago and one now", [Sample(0, 0), Sample(40, 1000)], 40, 25),
    ],
)
def test_the_rate_is_the_mean_of_a_moving_window(sentence: str, samples: list[Sample], now: float, expected: float) -> None:
    """What lies before the window does not count; a lump counts where it fell, as far as that is known."""
    assert rate(samples, now) == pytest.approx(expected), sentence


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10**9)), max_size=30), st.floats(0, 50))
def test_what_is_dropped_was_not_needed(steps: list[tuple[float, int]], later: float) -> None:
    """The rate of the samples that are kept is that of all, never less than nothing, and few are kept."""
    times, sums = sorted(at for at, _ in steps), sorted(n for _, n in steps)
    samples = [Sample(at, fetched) for at, fetched in zip(times, sums, strict=True)]
    now = (times[-1] if times else 0.0) + later
    assert rate(kept(samples, now), now) == pytest.approx(rate(samples, now))
    assert rate(samples, now) >= 0
    assert sum(s.at <= now - WINDOW_SECONDS for s in kept(samples, now)) <= 1


def test_what_was_there_before_is_done_but_was_not_fetched() -> None:
    """The time to go is by what comes, and by what is missing."""
    told = view("x", PullProgress(600, 1000, 500), [Sample(0, 0), Sample(2, 100)], 2)
    assert told is not None
    assert (told.percent, told.bytes_per_second, told.eta_seconds, told.summary) == (60, 50, 8, "60% 50B/s")


def test_without_a_size_there_is_nothing_to_tell() -> None:
    """The first documents of an image do not say how large it is."""
    assert view("x", PullProgress(10, 0), [Sample(0, 0)], 2) is None


def test_a_time_to_go_only_while_something_comes() -> None:
    """And none is left when all is there."""
    stalled = view("x", PullProgress(10, 20), [Sample(0, 10)], 60)
    done = view("x", PullProgress(20, 20), [Sample(0, 20)], 60)
    assert stalled is not None
    assert done is not None
    assert (stalled.eta_seconds, stalled.bytes_per_second) == (None, 0)
    assert (done.eta_seconds, done.percent) == (0, 100)


def test_nearly_all_is_not_all() -> None:
    """100 is told when every byte is there."""
    told = view("x", PullProgress(99_999, 100_000), [], 0)
    assert told is not None
    assert told.percent == 99
