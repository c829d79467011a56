"""When a container that ended is started again. Pure.

The first restart is immediate; the next waits `initialSeconds`, and each further one twice as long, up to `maxSeconds`.
A run of `resetAfterSeconds` clears the history.
"""

from controller.api.spec import Backoff
from controller.pauses import doubled
from controller.runtime.port import ContainerState


def delay(attempts: int, backoff: Backoff) -> float:
    """Seconds to wait when `attempts` ended in a row before; none for the first."""
    if attempts <= 0:
        return 0.0
    return doubled(backoff.initial_seconds, backoff.max_seconds, attempts - 1)


def ends_in_a_row(container: ContainerState, crashes: int, backoff: Backoff) -> int:
    """How many ends before this one count, given the number that its label carries."""
    began = container.started_at if container.started_at is not None else container.created_at
    ran = (container.exited_at or began) - began
    return 0 if ran >= backoff.reset_after_seconds else crashes


def restart_due(container: ContainerState, crashes: int, backoff: Backoff) -> float:
    """When an ended container is to be started again, in seconds since the epoch; it may lie in the past."""
    return (container.exited_at or 0.0) + delay(ends_in_a_row(container, crashes, backoff), backoff)
