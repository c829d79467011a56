"""How far a pull is and how fast it goes on, for people: a moving window over what was fetched. Pure."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controller.api.people import rate_text
from controller.api.pull import PullStatus
from controller.runtime.port import PullProgress

WINDOW_SECONDS: Final = 10.0
"""What the rate is the mean of: long enough that pieces of a megabyte do not make it jump, short enough that a stall shows."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What had been fetched at one moment."""

    at: float
    """Seconds, by any clock that does not jump."""
    fetched: int
    """Bytes that this pull has fetched; what was on the node before is not among them."""


@dataclass(frozen=True, slots=True)
class PullView:
    """A pull that is under way."""

    image: str
    bytes_done: int
    bytes_total: int
    bytes_per_second: int
    eta_seconds: int | None
    """None: nothing comes, so that it cannot be told."""

    @property
    def percent(self) -> int:
        """Of the bytes that are there, rounded down: 100 is all of them."""
        return 100 * self.bytes_done // self.bytes_total

    @property
    def unfinished(self) -> bool:
        """Whether bytes are missing; when none are, it is being unpacked."""
        return self.bytes_done < self.bytes_total

    @property
    def summary(self) -> str:
        """In few words, for a column: `42% 3.1MB/s`."""
        return f"{self.percent}% {rate_text(self.bytes_per_second)}"


def kept(samples: Sequence[Sample], now: float) -> list[Sample]:
    """The samples that the rate needs: those of the window, and the one before it."""
    old = sum(sample.at <= now - WINDOW_SECONDS for sample in samples)
    return list(samples[max(old - 1, 0) :])


def rate(samples: Sequence[Sample], now: float) -> float:
    """Bytes a second, as the mean of the window, or of the time since the first sample while that is shorter."""
    needed = kept(samples, now)
    if not needed:
        return 0.0
    begin = max(needed[0].at, now - WINDOW_SECONDS)
    return (needed[-1].fetched - _at(needed, begin)) / (now - begin) if now > begin else 0.0


def _at(samples: Sequence[Sample], moment: float) -> float:
    """What had been fetched at a moment, between two samples in proportion."""
    for before, after in itertools.pairwise(samples):
        if before.at <= moment < after.at:
            return before.fetched + (after.fetched - before.fetched) * (moment - before.at) / (after.at - before.at)
    return samples[0].fetched if moment < samples[0].at else samples[-1].fetched


def view(image: str, progress: PullProgress, samples: Sequence[Sample], now: float) -> PullView | None:
    """What to tell of a pull; None while its size is not known."""
    if not progress.bytes_total:
        return None
    speed = round(rate(samples, now))
    left = progress.bytes_total - progress.bytes_done
    eta = math.ceil(left / speed) if speed else None if left else 0
    return PullView(image, progress.bytes_done, progress.bytes_total, speed, eta)


def pull_status(pull: PullView | None) -> PullStatus | None:
    """What a status tells of it."""
    if pull is None:
        return None
    return PullStatus(
        image=pull.image,
        bytes_done=pull.bytes_done,
        bytes_total=pull.bytes_total,
        percent=pull.percent,
        bytes_per_second=pull.bytes_per_second,
        eta_seconds=pull.eta_seconds,
    )
