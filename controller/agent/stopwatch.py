"""How long one instance takes, for the metrics: until it is Ready for the first time, and until it is gone."""

import asyncio

from controller.agent import metrics


class Stopwatch:
    """Of one instance, from the moment that the agent knows of it; by the loop's clock."""

    def __init__(self) -> None:
        self._known_at: float | None = asyncio.get_running_loop().time()
        self._deleting_at: float | None = None
        self._looked = False

    def seen(self, *, new: bool, ready: bool) -> None:
        """A status was made. One that had containers at the first look ran before this agent did, and is not timed."""
        if not (self._looked or new):
            self._known_at = None
        self._looked = True
        if ready and self._known_at is not None:
            metrics.READY_SECONDS.observe(_since(self._known_at))
            self._known_at = None

    def deleting(self) -> None:
        """Its deletion is known; every time but the first changes nothing."""
        if self._deleting_at is None:
            self._deleting_at = asyncio.get_running_loop().time()

    def deleted(self) -> None:
        """Nothing is left of it."""
        if self._deleting_at is not None:
            metrics.DELETE_SECONDS.observe(_since(self._deleting_at))


def _since(when: float) -> float:
    return asyncio.get_running_loop().time() - when
