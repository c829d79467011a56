"""When a probe is made, and when what it found counts. Pure; times in seconds.

A probe is counted once a period. Until it first succeeds, a startup and a readiness probe are also tried in between, at pauses
that double, so that a container is found to be well soon after it is; failures of these tries do not count. (kubernetes.io, on
`periodSeconds`: a readiness probe of a container that is not ready may be made at other times, to make it ready faster.) So a
startup probe gives a container `failureThreshold` whole periods.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from controller.api.probes import Probe

FIRST_TRY_SECONDS: Final = 0.1
"""Pause after the first try in between."""

ADOPTED_SPREAD_SECONDS: Final = 10.0
"""Most that the first probe of a container waits that ran before the agent did."""


class Kind(StrEnum):
    """Which probe it is."""

    STARTUP = "startup"
    READINESS = "readiness"
    LIVENESS = "liveness"


@dataclass(frozen=True, slots=True)
class Row:
    """How many results of the same kind there were in a row."""

    ok: bool | None = None
    count: int = 0

    def then(self, *, ok: bool) -> "Row":
        """One more."""
        return Row(ok, self.count + 1 if ok is self.ok else 1)

    def counts(self, probe: Probe) -> bool:
        """Whether that is enough to believe it."""
        return self.ok is not None and self.count >= (probe.success_threshold if self.ok else probe.failure_threshold)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the next one is due."""

    due: float
    counted: float
    """When the next one is due that counts."""
    pause: float = FIRST_TRY_SECONDS
    """After the next try in between; 0 when there are none."""

    @property
    def trying(self) -> bool:
        """Whether the next one is a try in between."""
        return self.due < self.counted

    def after(self, probe: Probe, now: float) -> "Schedule":
        """What follows one that has been made. One that came late is no reason for two at once."""
        if self.trying:
            pause = min(self.pause * 2, probe.period_seconds)
            due = now + self.pause
            return replace(self, due=min(due, self.counted), pause=pause)
        counted = max(self.counted + probe.period_seconds, now)
        return Schedule(counted, counted, 0.0)

    def settled(self, probe: Probe, now: float) -> "Schedule":
        """From now on once a period: it has succeeded."""
        return Schedule(now + probe.period_seconds, now + probe.period_seconds, 0.0)


def first(kind: Kind, probe: Probe, *, began: float, now: float, chance: float, adopted: bool) -> Schedule:
    """The schedule of a probe that is about to be watched.

    Args:
        kind: which one it is.
        probe: what the spec says of it.
        began: when the container was started.
        now: when the watching begins: for readiness and liveness not before the startup probe has succeeded.
        chance: between 0 and 1, by which probes are spread.
        adopted: the container ran, and was watched by somebody else, before this agent did.
    """
    earliest = max(now, began + probe.initial_delay_seconds)
    if adopted:
        due = earliest + chance * min(probe.period_seconds, ADOPTED_SPREAD_SECONDS)
        return Schedule(due, due, 0.0)
    if kind is Kind.LIVENESS:
        due = earliest + chance * min(probe.period_seconds, 1)
        return Schedule(due, due, 0.0)
    return Schedule(earliest + chance * FIRST_TRY_SECONDS, earliest + probe.period_seconds)
