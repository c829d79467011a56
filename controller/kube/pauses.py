"""The pauses of those who wait for the API server."""

from collections.abc import Iterator
from typing import Final

from controller.pauses import growing

LONGEST_SECONDS: Final = 5.0
"""An API server that comes back is noticed within this time; the jitter keeps a fleet from asking all at once."""


class Forever:
    """From 0.2 to 5 s, and so on; re-iterable. Kopf retries for ever with it."""

    def __iter__(self) -> Iterator[float]:
        """Start the row anew."""
        return growing(0.2, LONGEST_SECONDS)
