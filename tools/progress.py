"""Progress for people: one line a step, with the seconds that it took."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class ToolError(Exception):
    """Something that the user has to know or do; its text is the whole message, so it is shown without a traceback."""


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print `name`, run the body, and end the line with the seconds it took or with `failed`.

    On a terminal the seconds count up while the body runs; elsewhere the line is just begun, so that logs stay clean.
    """
    begun = time.monotonic()
    live = sys.stdout.isatty()
    print(f"  {name} ...", end="", flush=True)
    over = threading.Event()
    ticker = threading.Thread(target=_tick, args=(name, begun, over), daemon=True)
    if live:
        ticker.start()
    outcome = "failed"
    try:
        yield
        outcome = ""
    finally:
        over.set()
        if live:
            ticker.join()
            print(f"\r  {name} ...", end="")
        print(f" {outcome or f'{time.monotonic() - begun:.1f} s'}", flush=True)


def _tick(name: str, begun: float, over: threading.Event) -> None:
    """Rewrite the step's line once a second until it is over."""
    while not over.wait(1):
        print(f"\r  {name} ... {time.monotonic() - begun:.0f} s", end="", flush=True)
