"""Pauses between tries: each twice as long as the one before it, up to the longest."""

import itertools
import random
from collections.abc import Iterator


def doubled(first: float, longest: float, times: int) -> float:
    """The pause in seconds that was doubled so many times; 0 or fewer: the first."""
    return float(min(longest, first * 2 ** min(max(times, 0), 32)))


def jittered(seconds: float, below: float, above: float) -> float:
    """A pause that is some part shorter or longer, so that many who began together do not come back together."""
    return seconds * random.uniform(1 - below, 1 + above)  # noqa: S311


def growing(first: float, longest: float) -> Iterator[float]:
    """An endless row of pauses in seconds, doubling from the first to the longest, with jitter."""
    return (jittered(doubled(first, longest, n), 0.3, 0.3) for n in itertools.count())
