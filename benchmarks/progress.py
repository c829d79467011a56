"""What is going on, for people, on stderr: stdout is for the figures."""

from __future__ import annotations

import sys
import time

_BEGUN = time.monotonic()


def note(text: str) -> None:
    """One line, with the seconds since the benchmark began."""
    print(f"{time.monotonic() - _BEGUN:6.1f} s  {text}", file=sys.stderr, flush=True)
