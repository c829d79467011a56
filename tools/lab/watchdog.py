"""The process behind `guardian`: reads `["watch" or "release", folder]` lines until its owner ends."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

from tools.lab.teardown import down


def main() -> None:
    """Keep the list of state folders; when the input ends, tear down those that are still on it, the latest first."""
    watched: dict[Path, None] = {}
    for line in sys.stdin:
        word, path = json.loads(line)
        if word == "watch":
            watched[Path(path)] = None
        else:
            watched.pop(Path(path), None)
    for state in reversed(watched):
        with suppress(OSError):  # the others must go too
            down(state)


if __name__ == "__main__":
    main()
