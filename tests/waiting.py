"""Waiting for what tells nobody that it has happened: in files, in /proc, in the kernel's tables, in what a program answers."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

Seen = TypeVar("Seen")

PAUSE_SECONDS: Final = 0.05
"""Between two looks."""


def eventually(look: Callable[[], Seen], holds: Callable[[Seen], object], seconds: float = 10.0) -> Seen:
    """Look again and again until what is seen holds, or time is up.

    Returns:
        What was seen last. Whether that holds is for the caller to assert, who knows what to say when it does not.
    """
    deadline = time.monotonic() + seconds
    while not holds(seen := look()) and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
    return seen
