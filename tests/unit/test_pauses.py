"""Pauses between tries."""

from itertools import islice

import pytest

from controller.pauses import doubled, growing, jittered


@pytest.mark.parametrize(("times", "seconds"), [(-3, 1.0), (0, 1.0), (1, 2.0), (5, 32.0), (6, 60.0), (10_000_000, 60.0)])
def test_a_pause_doubles_up_to_the_longest(times: int, seconds: float) -> None:
    """However often it was doubled."""
    assert doubled(1.0, 60.0, times) == seconds


def test_jitter_stays_within_its_parts() -> None:
    """And it is not always the same."""
    seen = {jittered(10.0, 0.2, 0.1) for _ in range(200)}
    assert 8.0 <= min(seen) < 9.0 < 10.0 < max(seen) <= 11.0


def test_a_row_grows_and_never_ends() -> None:
    """Each pause is about twice the one before."""
    for number, pause in enumerate(islice(growing(0.2, 10.0), 50)):
        assert pause == pytest.approx(min(10.0, 0.2 * 2**number), rel=0.3)
