"""Pauses between tries that go on for ever."""

import itertools
import random
from collections.abc import Iterator
from typing import Final

LONGEST_SECONDS: Final = 5.0
"""An API server that comes back is noticed within this time; the jitter keeps a fleet from asking all at once."""


class Forever:
    """An endless, re-iterable row of pauses in seconds, from 0.2 to 5, doubling, with jitter. Kopf retries for ever with it."""

    def __iter__(self) -> Iterator[float]:
        """Start the row anew."""
        return (min(LONGEST_SECONDS, 0.2 * 2 ** min(n, 7)) * random.uniform(0.7, 1.3) for n in itertools.count())  # noqa: S311
