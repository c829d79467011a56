"""Metrics of the way to and from the API server; the label `half` tells the manager's from the agent's."""

from collections.abc import Callable
from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

CALLS: Final = Counter(
    "moorage_api_calls_total", "Calls to the API server made by Moorage itself.", ["verb", "resource", "code"]
)
CALL_SECONDS: Final = Histogram(
    "moorage_api_call_seconds",
    "Duration of a call to the API server.",
    ["verb"],
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
WATCH_EVENTS: Final = Counter("moorage_watch_events_total", "Changes that a watch has delivered.", ["half", "resource"])
WATCH_EVENT_AT: Final = Gauge(
    "moorage_watch_last_event_timestamp_seconds", "When a watch last delivered a change.", ["half", "resource"]
)
WATCH_CONFIRMED_AT: Final = Gauge(
    "moorage_watch_confirmed_timestamp_seconds",
    "When a comparison with the API server last found that the watch has delivered all that there is.",
    ["half", "resource"],
)
WATCH_RESTARTS: Final = Counter(
    "moorage_watch_restarts_total",
    "Watches that ended, or were found blind or deaf, and were begun anew.",
    ["half", "cause"],
)


def called(verb: str, resource: str, code: str, seconds: float) -> None:
    """Count and time one call."""
    _counted(verb, resource, code)()
    _observed(verb)(seconds)


@cache
def _counted(verb: str, resource: str, code: str) -> Callable[[], None]:
    """The counter of these calls; looked up once, since finding it costs as much as counting."""
    return CALLS.labels(verb, resource, code).inc


@cache
def _observed(verb: str) -> Callable[[float], None]:
    return CALL_SECONDS.labels(verb).observe


class WatchMeter:
    """The metrics of one watch; looked up once, since events come by the thousand."""

    def __init__(self, half: str, resource: str) -> None:
        self._events = WATCH_EVENTS.labels(half, resource)
        self._event_at = WATCH_EVENT_AT.labels(half, resource)
        self._confirmed_at = WATCH_CONFIRMED_AT.labels(half, resource)

    def event(self) -> None:
        """Something was delivered."""
        self._events.inc()
        self._event_at.set_to_current_time()

    def confirmed(self) -> None:
        """Everything was delivered."""
        self._confirmed_at.set_to_current_time()
