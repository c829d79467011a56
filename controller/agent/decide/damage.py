"""What a damaged image can be the cause of, and what is told and done about one. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controller.api.reasons import Reason
from controller.pauses import doubled
from controller.runtime.port import (
    ContainerState,
    Damage,
    ImageFailure,
    ImageState,
    InvalidConfig,
    NotFound,
    Phase,
    StartFailure,
)

SOON_SECONDS: Final = 10.0
"""A container that ran for longer had a program that could be read."""

_CODES: Final = frozenset({126, 127, 255, *(128 + signal for signal in (4, 7, 11))})
"""Exit codes of a program that cannot be executed, for a shell, the dynamic linker and runc, and of one of which the kernel
misses a part: SIGILL, SIGBUS, SIGSEGV."""

_SAID: Final = re.compile(
    r"not found|no such file|not for this node's architecture|interpreter|input/output error|structure needs cleaning"
    r"|has no (?:user|group)",
    re.IGNORECASE,
)
"""A start fails so when a file is missing, empty or unreadable; passwd and group are files of the image, too."""

WHOLE_SECONDS: Final = 3600.0
"""How long an image that was read and found whole is not read again: what fails with it has another cause."""

ROW_SECONDS: Final = 3600.0
"""An image that is damaged again within this time was not mended by fetching it."""

FIRST_PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 300.0
"""Pauses before such an image is fetched once more, doubling: something damages it, and fetching alone does not help."""


@dataclass(frozen=True, slots=True)
class Found:
    """A damaged image."""

    image: ImageState
    what: str
    """What is damaged of it."""
    kept_by: str = ""
    """Why that could not be taken away; empty when it was."""
    usable: bool = False
    """Containers can be made of it as it is."""
    row: int = 1
    """How many times in a row it was damaged."""
    at: float = 0.0
    """When it was found, in seconds since the epoch."""

    @property
    def retry_at(self) -> float:
        """When it may be fetched; at once, unless it was damaged before."""
        if self.row < 2:
            return 0.0
        return self.at + doubled(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, self.row - 2)

    @property
    def message(self) -> str:
        """A sentence for people."""
        again = f", for the {self.row}. time in a row: does the node's disk fail?" if self.row > 1 else ""
        kept = f"; it stays for now, since {self.kept_by}" if self.kept_by else ""
        return f"image {self.image.name} on this node is damaged{again}: {self.what}{kept}"


def suspicious(failure: Exception) -> bool:
    """Whether a damaged image can be why a container could not be made or started."""
    if isinstance(failure, NotFound | ImageFailure):
        return True
    return isinstance(failure, StartFailure | InvalidConfig) and _SAID.search(str(failure)) is not None


def suspicious_end(state: ContainerState) -> bool:
    """Whether a damaged image can be why a container has ended."""
    if state.phase is not Phase.EXITED or state.exit_code not in _CODES or state.exited_at is None:
        return False
    return state.exited_at - (state.started_at or state.created_at) < SOON_SECONDS


def summary(damage: Sequence[Damage]) -> str:
    """What is damaged, in few words."""
    more = f" (and {len(damage) - 1} more)" if len(damage) > 1 else ""
    return f"{damage[0].message}{more}"


def row(before: Found | None, now: float) -> int:
    """How many times in a row an image is damaged that is found so now."""
    return before.row + 1 if before is not None and now - before.at < ROW_SECONDS else 1


def told(found: Found, policy: str) -> str:
    """What an instance is told that makes containers of it.

    Args:
        found: the damaged image.
        policy: imagePullPolicy of the container.
    """
    if policy == "Never":
        return f"{found.message}; it is not used any more, and with imagePullPolicy Never somebody has to bring it anew"
    pause = found.retry_at - found.at
    return f"{found.message}; it is fetched again{f' in {pause:.0f} s' if pause > 0 else ''}"


def reason(found: Found) -> Reason:
    """Why an image is not there that waits to be fetched once more."""
    return Reason.IMAGE_PULL_BACK_OFF if found.row > 2 else Reason.ERR_IMAGE_PULL
