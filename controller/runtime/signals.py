"""Signal names, as images (STOPSIGNAL) and people write them."""

import re
import signal
from typing import Final

from controller.runtime.port import InvalidConfig

_REAL_TIME: Final = re.compile(r"^SIGRT(MIN|MAX)(?:([+-])(\d+))?$")


def signal_number(name: str) -> int:
    """The number of a signal: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3` (signal(7); Docker takes the same).

    Raises:
        InvalidConfig: when there is no such signal.
    """
    text = name.strip().upper()
    if text.isascii() and text.isdigit():
        number = int(text)
    else:
        text = text if text.startswith("SIG") else f"SIG{text}"
        match = _REAL_TIME.match(text)
        number = _real_time(match) if match else _plain(text)
    if not 1 <= number <= signal.SIGRTMAX:
        raise InvalidConfig(f"{name!r} is not a signal")
    return number


def _plain(text: str) -> int:
    found = signal.Signals.__members__.get(text)
    return found.value if found else 0


def _real_time(match: re.Match[str]) -> int:
    edge = signal.SIGRTMIN if match[1] == "MIN" else signal.SIGRTMAX
    offset = int(match[3] or 0)
    number = edge - offset if match[2] == "-" else edge + offset
    return number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else 0
