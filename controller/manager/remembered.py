"""What a reconciler remembers of an object between two looks, and when the status of one in progress is written."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controller.api.conditions import READY, RECONCILING, Condition, find, is_true


@dataclass(slots=True)
class Memory:
    """Of one generation of an object. Losing it costs a little time, never correctness."""

    uid: str
    generation: int
    first_seen: float
    """When this manager saw the generation appear; 0 when its conditions were there already."""
    held_since: float | None = None
    """By the monotonic clock: since when there has been a status to write that only tells of progress."""

    def is_of(self, uid: str, generation: int) -> bool:
        """Whether it is about this object, as it is asked for now."""
        return (self.uid, self.generation) == (uid, generation)

    def held(self, conditions: Iterable[Condition], most: Callable[[], float]) -> float:
        """A status with these conditions is to be written: seconds for which it is held back yet; 0: it is written now.

        `most` gives the seconds for which one that only tells of progress is held back.
        """
        if is_true(conditions, RECONCILING):
            mono = time.monotonic()
            self.held_since = mono if self.held_since is None else self.held_since
            due = self.held_since + most()
            if mono < due:
                return due - mono
        self.held_since = None
        return 0.0


def first_seen(memory: Memory | None, conditions: Iterable[Condition], generation: int) -> float:
    """`Memory.first_seen` of a generation that is not remembered; `memory` is of the one before, if there was one."""
    told = find(conditions, READY)
    known = memory is None and told is not None and told.observed_generation == generation
    return 0.0 if known else time.time()
