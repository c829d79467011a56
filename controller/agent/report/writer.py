"""The coalescing status writer: latest wins, retried until it is written, and never in the way of a supervisor.

A status is written as a delta (merge patch on the status subresource) and only when something changed. What is merely passing
(a container being made) is held back for a moment, so that a quick start costs one write and not two.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from controller.agent import metrics
from controller.agent.decide.status import UNSETTLED
from controller.api import conditions
from controller.api.instance import InstanceStatus
from controller.api.reasons import Reason
from controller.kube.client import Client
from controller.kube.errors import ApiDenied, ApiFailure, ApiForbidden, ApiNotFound, ApiUnavailable
from controller.kube.patch import delta
from controller.kube.resources import INSTANCES
from controller.pauses import growing

log = logging.getLogger(__name__)

FRESH_HOLD_SECONDS: Final = 5.0
"""How long the first sign of a new instance is held back, in the hope that it can be told as running."""

PULLING_HOLD_SECONDS: Final = 1.0
"""The same for one whose image is being pulled: that takes its time, and people want to know."""

PASSING_HOLD_SECONDS: Final = 0.5
"""How long a passing state of a known instance is held back."""

PROGRESS_SECONDS: Final = 2.0
"""Between two writes that tell nothing new but how far a pull is."""

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 10.0
"""Pauses of a writer while the API server does not answer."""

REFUSED_SECONDS: Final = (1.0, 60.0)
"""First and longest pause before a status is tried again for which a right is missing. Nobody tells when that is given, and an
API server that has just been started refuses for a moment what it has not read the rights of yet."""

_OF_PROGRESS: Final = frozenset({"pull", "summary"})

_PASSING: Final = {Reason.PENDING, Reason.CONTAINER_CREATING, Reason.PULLING, Reason.UPDATING, Reason.TERMINATING}


@dataclass(slots=True)
class _Entry:
    """One instance."""

    namespace: str = ""
    name: str = ""
    sent: InstanceStatus | None = None
    """What the API server has; None while that is not known."""
    sent_json: dict[str, Any] = field(default_factory=dict)
    """The same as it was read or written, without defaults filled in."""
    want: InstanceStatus | None = None
    refused: InstanceStatus | None = None
    """What the API server would not take; the same is tried again only where a right is missing."""
    pauses: Iterator[float] | None = None
    """Of these tries; None while no right is missing."""
    again: asyncio.TimerHandle | None = None
    """The next of them."""
    timer: asyncio.TimerHandle | None = None
    due: float = 0.0
    queued: bool = False
    wrote: float = float("-inf")
    """By the loop's clock: when it was last written."""
    since: float = 0.0
    """By the loop's clock: since when there has been something to write; what it is now may be newer."""

    @property
    def pending(self) -> bool:
        """Whether the API server does not have the newest status yet."""
        return self.queued or self.timer is not None or (self.sent is None and self.want is not None)


@dataclass(slots=True)
class StatusWriter:
    """Writes the statuses of this node's instances."""

    client: Client
    writers: int = 4
    """How many writes are under way at the same time."""
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _queue: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    _clock: Callable[[], float] = time.monotonic

    def phases(self) -> list[str]:
        """The phases that are told of the instances."""
        return [e.want.phase for e in tuple(self._entries.values()) if e.want is not None]

    def waits(self) -> list[float]:
        """For each status that is not written yet, how many seconds it has waited."""
        now = self._clock()
        return [now - e.since for e in tuple(self._entries.values()) if e.pending]

    def known(self, uid: str, namespace: str, name: str, status: dict[str, Any]) -> None:
        """Take in what the API server has."""
        entry = self._entries.setdefault(uid, _Entry())
        entry.namespace, entry.name = namespace, name
        if entry.sent is None:
            entry.sent, entry.sent_json = InstanceStatus.model_validate(status), status
            self._consider(uid, entry)

    def submit(self, uid: str, status: InstanceStatus) -> None:
        """Have this status written, soon; an earlier one that has not been written yet is dropped."""
        entry = self._entries.setdefault(uid, _Entry())
        entry.since = entry.since if entry.pending else self._clock()
        entry.want = status
        self._consider(uid, entry)

    def forget(self, uid: str) -> None:
        """Nobody will read it any more."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            self._unschedule(entry)
            self._not_again(entry)

    async def run(self) -> None:
        """Write for ever."""
        self._clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as group:
            for number in range(self.writers):
                group.create_task(self._write_for_ever(), name=f"status writer {number}")

    def _consider(self, uid: str, entry: _Entry) -> None:
        """Queue the entry, at once or when its hold is over."""
        if entry.sent is None or entry.want is None or entry.queued:
            return
        want = merged(entry.sent, entry.want)
        refused = entry.refused is not None and merged(entry.refused, entry.want) == entry.refused
        change = delta(entry.sent_json, want.to_json())
        if refused or not change:
            self._unschedule(entry)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + hold_seconds(entry.sent, want)
        if change.keys() <= _OF_PROGRESS:
            due = max(due, entry.wrote + PROGRESS_SECONDS)
        if entry.timer is not None and entry.due <= due:
            return
        self._unschedule(entry)
        entry.due = due
        entry.timer = loop.call_at(due, self._enqueue, uid, entry)

    def _unschedule(self, entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None

    def _enqueue(self, uid: str, entry: _Entry) -> None:
        entry.timer = None
        if not entry.queued and self._entries.get(uid) is entry:
            entry.queued = True
            self._queue.put_nowait(uid)

    async def _write_for_ever(self) -> None:
        pauses = growing(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        while True:
            uid = await self._queue.get()
            entry = self._entries.get(uid)
            if entry is None or entry.sent is None or entry.want is None:
                continue
            try:
                await self._write(uid, entry, entry.sent, entry.want)
                pauses = growing(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
            except ApiUnavailable as exc:
                log.debug("status of %s/%s is written later: %s", entry.namespace, entry.name, exc)
                await asyncio.sleep(next(pauses))
                self._queue.put_nowait(uid)
                continue
            except ApiNotFound:
                entry.refused = merged(entry.sent, entry.want)
            except ApiFailure as exc:
                metrics.STATUS_REFUSALS.inc()
                level = logging.WARNING if entry.pauses is None else logging.DEBUG
                log.log(level, "the API server refuses the status of %s/%s: %s", entry.namespace, entry.name, exc)
                entry.refused = merged(entry.sent, entry.want)
                if isinstance(exc, ApiForbidden) and not isinstance(exc, ApiDenied):
                    self._try_again(uid, entry)
            entry.queued = False
            self._consider(uid, entry)

    def _try_again(self, uid: str, entry: _Entry) -> None:
        """Write after the next pause, unless that is done before."""

        def now() -> None:
            entry.refused = None
            if self._entries.get(uid) is entry:
                self._consider(uid, entry)

        pauses = entry.pauses or growing(*REFUSED_SECONDS)
        self._not_again(entry)
        entry.pauses, entry.again = pauses, asyncio.get_running_loop().call_later(next(pauses), now)

    def _not_again(self, entry: _Entry) -> None:
        if entry.again is not None:
            entry.again.cancel()
        entry.pauses = entry.again = None

    async def _write(self, uid: str, entry: _Entry, sent: InstanceStatus, newest: InstanceStatus) -> None:
        want = merged(sent, newest)
        change = delta(entry.sent_json, want.to_json())
        if change:
            body = {"metadata": {"uid": uid}, "status": change}  # never a namesake's
            await self.client.patch(INSTANCES, entry.name, body, entry.namespace, "status")
            metrics.STATUS_WRITES.inc()
            entry.wrote = self._clock()
        entry.since = self._clock()
        entry.sent, entry.sent_json, entry.refused = want, want.to_json(), None
        self._not_again(entry)


def merged(sent: InstanceStatus, want: InstanceStatus) -> InstanceStatus:
    """The wanted status, with what only the API server remembers: times, and the last generation that was settled."""
    settled = want.observed_generation != UNSETTLED
    return want.model_copy(
        update={
            "conditions": conditions.merge(sent.conditions, want.conditions),
            "started_at": sent.started_at or want.started_at,
            "observed_generation": want.observed_generation if settled else sent.observed_generation,
        }
    )


def hold_seconds(sent: InstanceStatus, want: InstanceStatus) -> float:
    """How long a status may wait for something better to tell: only what is passing, and without any failure in it."""
    ready = conditions.find(want.conditions, conditions.READY)
    if ready is None or ready.status != "Unknown" or ready.reason not in _PASSING:
        return 0.0
    if sent.observed_generation >= 0:
        return PASSING_HOLD_SECONDS
    return PULLING_HOLD_SECONDS if ready.reason == Reason.PULLING else FRESH_HOLD_SECONDS
