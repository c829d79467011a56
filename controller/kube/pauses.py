"""Pauses between tries that go on for ever."""

import itertools
import random
from collections.abc import Iterator
from typing import Final

LONGEST_SECONDS: Final = 5.0
"""An API server that comes back is noticed within this time; the jitter keeps a fleet from asking all at once."""


def growing(first: float, longest: float) -> Iterator[float]:
    """An endless row of pauses in seconds, doubling from the first to the longest, with jitter."""
    return (min(longest, first * 2 ** min(n, 16)) * random.uniform(0.7, 1.3) for n in itertools.count())  # noqa: S311


class Forever:
    """The pauses of those who wait for the API server, from 0.2 to 5 s; re-iterable. Kopf retries for ever with it."""

    def __iter__(self) -> Iterator[float]:
        """Start the row anew."""
        return growing(0.2, LONGEST_SECONDS)
