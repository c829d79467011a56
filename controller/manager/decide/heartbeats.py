"""Which nodes are alive, judged by the renewals that this manager has itself seen.

As in Kubernetes' node lifecycle controller, what counts is when a renewal *arrived* here, by this machine's monotonic clock:
the nodes' clocks may differ from ours. Their own time is used once, when a Lease is seen for the first time and nothing is
known yet; on that alone a node gets no new work, but nothing is taken from it.

A gap in which no renewal of any node arrived means that this manager was cut off, not that all nodes died at once: after it,
every node gets a full period to be heard again.
"""

from dataclasses import dataclass
from typing import Final

SILENCE_SECONDS: Final = 40.0
"""Without a renewal for this long a node is not ready: the `leaseDurationSeconds` of its Lease."""


@dataclass(slots=True)
class _Pulse:
    renewed: str | None
    """`spec.renewTime` as last seen."""
    heard: float
    """When that arrived; for a first sight, when the watching began."""
    certain: bool
    """Whether it was renewed under our eyes, rather than found."""
    age: float
    """Age of a found renewal by the node's own clock."""


class Heartbeats:
    """The renewals seen so far. All times are seconds of one monotonic clock."""

    def __init__(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._silence = silence_seconds
        self._pulses: dict[str, _Pulse] = {}
        self._last = float("-inf")
        self._resumed = float("-inf")

    def renewed(self, node: str, renew_time: str | None, age: float, now: float) -> None:
        """A Lease was seen. `age` is how old its renewTime is by the wall clock."""
        pulse = self._pulses.get(node)
        if pulse is not None and pulse.renewed == renew_time:
            return
        if now - self._last > self._silence:
            self._resumed = now
        self._last = now
        found = pulse is None or pulse.renewed is None
        self._pulses[node] = _Pulse(renew_time, now, certain=not found, age=max(0.0, age) if found else 0.0)

    def expect(self, node: str, now: float) -> None:
        """A node is known, whose Lease was not seen yet."""
        self._pulses.setdefault(node, _Pulse(None, now, certain=False, age=0.0))

    def forget(self, node: str) -> None:
        """The node is gone."""
        self._pulses.pop(node, None)

    def alive(self, node: str, now: float) -> bool:
        """Whether the node's heartbeat is fresh, as far as is known."""
        pulse = self._pulses.get(node)
        if pulse is None or pulse.renewed is None:
            return False
        if not pulse.certain and pulse.age >= self._silence:
            return False
        return now - self._basis(pulse) < self._silence

    def silent_for(self, node: str, now: float) -> float | None:
        """Seconds since the last heartbeat, once the silence is certain; None before."""
        pulse = self._pulses.get(node)
        if pulse is None or now - self._basis(pulse) < self._silence:
            return None
        return now - pulse.heard + (0.0 if pulse.certain else pulse.age)

    def next_change(self, node: str, now: float) -> float | None:
        """When the node falls silent for certain if nothing more is heard; None when it already has."""
        pulse = self._pulses.get(node)
        if pulse is None:
            return None
        at = self._basis(pulse) + self._silence
        return at if at > now else None

    def _basis(self, pulse: _Pulse) -> float:
        return max(pulse.heard, self._resumed)
