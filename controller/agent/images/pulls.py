"""Pulls: one at a time of each image, for all who wait for it, and after a failure a pause that grows.

Those who wait may have different credentials. A pull is by those of whoever began it: its success brings the image to all, of
whom each is let in for itself; that a registry refused it holds for those alone who have the same, and how far the pull is, is
told to them alone, too: it would tell others that the image exists.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from controller.agent import metrics
from controller.agent.credentials.tried import REFUSALS
from controller.agent.decide.observation import Pull
from controller.agent.images import backoff
from controller.agent.images.access import Access, alone
from controller.agent.images.fetch import Fetched, Fetcher
from controller.agent.images.meter import Meter
from controller.agent.images.waiter import Waiter
from controller.api.reasons import Reason
from controller.runtime.port import DiskFull, ImageState, RegistryUnreachable, RuntimeFailure, Unavailable

log = logging.getLogger(__name__)

TELL_SECONDS: Final = 2.0
"""Pause between two times that waiters are told of a pull's progress; one that is quicker costs no write more."""

Ended = Callable[[Exception | None, int], None]
"""Told of the end of a pull: by what it failed, if it did, and its bytes, 0 when those are not known."""

_ANYBODY: Final = None
"""In place of a key: whoever tries, it fails."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """How the last pull by some credentials failed."""

    pull: Pull
    count: int
    """Failures in a row."""
    away: bool = False
    """The runtime did not answer."""
    full: bool = False
    """The disk had no room."""


@dataclass(slots=True)
class _Puller:
    """The pulls of one image, one after another."""

    running: Pull | None = None
    """The one that is under way."""
    key: str = ""
    """Of whom it is (`Access.key`)."""
    meter: Meter | None = None
    """Of that one."""
    failures: dict[str | None, _Failure] = field(default_factory=dict)
    """By the key of who tried (`Access.key`)."""
    waiters: list[Waiter] = field(default_factory=list)

    def failure(self, key: str) -> _Failure | None:
        """The last one that is of any meaning to somebody with this key."""
        return self.failures.get(key) or (None if alone(key) else self.failures.get(_ANYBODY))


class Pulls:
    """Pulls by normalised name."""

    def __init__(
        self,
        fetcher: Fetcher,
        access: Access,
        present: Callable[[str], Awaitable[ImageState | None]],
        arrived: Callable[[str, ImageState], None],
        ended: Ended,
    ) -> None:
        """Take what is needed.

        Args:
            fetcher: what pulls.
            access: tells who is let in.
            present: tells what of a name is on the node.
            arrived: told of each image that was pulled, before its waiters are.
            ended: told of each pull that has ended.
        """
        self._fetcher, self._access, self._present, self._arrived = fetcher, access, present, arrived
        self._ended = ended
        self._pullers: dict[str, _Puller] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, name: str, key: str) -> Pull | None:
        """The pull that is under way, or how the last one of somebody with this key failed; None when neither is the case.

        While a failed pull is tried again, the failure stays in sight.
        """
        puller = self._pullers.get(name)
        if puller is None:
            return None
        failure = puller.failure(key)
        if puller.running is None:
            return failure.pull if failure is not None else None
        mine = replace(puller.running, progress=puller.running.progress if key == puller.key else None)
        if failure is None:
            queued = puller.meter is not None and puller.meter.queued
            return replace(mine, message=f"{name} waits for its turn: other images are being pulled") if queued else mine
        return replace(mine, reason=failure.pull.reason, message=failure.pull.message)

    def pull(self, name: str, waiter: Waiter) -> bool:
        """Begin a pull, or join the one that is under way; returns whether this call began it."""
        puller = self._pullers.setdefault(name, _Puller())
        puller.waiters.append(waiter)
        if puller.running is not None:
            return False
        puller.running = Pull(running=True, reason=Reason.PULLING, message=f"pulling {name}")
        puller.key, puller.meter = self._key(name, waiter), Meter(name)
        task = asyncio.create_task(self._run(name, puller, waiter, puller.meter), name=f"pull {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def under_way(self) -> frozenset[str]:
        """Names of what is being pulled, or waits for its turn."""
        return frozenset(name for name, puller in self._pullers.items() if puller.running is not None)

    def put_off(self, name: str, pull: Pull) -> None:
        """Have an image wait, for whomever, as after a pull that has failed so."""
        self._pullers.setdefault(name, _Puller()).failures[_ANYBODY] = _Failure(pull, 1)

    def runtime_back(self) -> None:
        """What failed for want of the runtime need not wait any longer."""
        self._anew(lambda failure: failure.away)

    def room_made(self) -> None:
        """What failed for want of room need not wait any longer."""
        self._anew(lambda failure: failure.full)

    def _anew(self, meant: Callable[[_Failure], bool]) -> None:
        for puller in self._pullers.values():
            for key, failure in puller.failures.items():
                if meant(failure):
                    puller.failures[key] = _Failure(replace(failure.pull, retry_at=0.0), 0)

    async def close(self) -> None:
        """Give up the pulls that are under way; what is complete of them stays in the runtime."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, name: str, puller: _Puller, first: Waiter, meter: Meter) -> None:
        key = puller.key
        fetched: Fetched | None = None
        failure: Exception | None = None
        refused = False
        telling = asyncio.create_task(self._tell_progress(name, puller, meter))
        try:
            fetched = await self._fetcher.fetch(name, await self._present(name), first, meter)
            self._arrived(name, fetched.image)
            puller.failures.pop(key, None)
            puller.failures.pop(_ANYBODY, None)
        except Exception as exc:
            failure = exc
            if isinstance(exc, RuntimeFailure):
                log.info("pulling %s failed: %s", name, exc)
            else:
                log.exception("pulling %s", name)  # a defect; but nobody may wait for ever
            refused = isinstance(exc, REFUSALS)
            self._note(puller, key, exc, own=refused or alone(key), further=meter.fetched > 0)
        finally:
            telling.cancel()
        puller.running = puller.meter = None
        self._ended(failure, meter.total)
        waiters, puller.waiters = puller.waiters, []
        for waiter in waiters:
            theirs = self._key(name, waiter)
            others = theirs != key and (refused or alone(key) or alone(theirs))
            self._tell(name, puller, waiter, fetched, others=others)

    async def _tell_progress(self, name: str, puller: _Puller, meter: Meter) -> None:
        """Tell how far it is, for as long as it is under way, and only when that is something else than before."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            now = meter.read(asyncio.get_running_loop().time())
            if puller.running is None or now == puller.running.progress:
                continue
            puller.running = replace(puller.running, progress=now)
            for waiter in puller.waiters:
                if self._key(name, waiter) == puller.key:
                    waiter.moved()

    def _key(self, name: str, waiter: Waiter) -> str:
        return self._access.key(name, waiter.claim, waiter.archive)

    def _note(self, puller: _Puller, key: str, exc: Exception, *, own: bool, further: bool) -> None:
        """A refusal, or what is wrong with an archive, is their own who tried; anything else would have happened to anybody.

        One that came further begins anew: what broke may be whole again.
        """
        before = puller.failures.pop(key, None) or (None if alone(key) else puller.failures.pop(_ANYBODY, None))
        anew = further and isinstance(exc, RegistryUnreachable | Unavailable)
        count = 0 if before is None or anew else before.count
        pull = backoff.failed(exc, count, time.time())
        failure = _Failure(pull, count + 1, away=isinstance(exc, Unavailable), full=isinstance(exc, DiskFull))
        puller.failures[key if own else _ANYBODY] = failure
        metrics.PULLS.labels(failure.pull.reason).inc()

    def _tell(self, name: str, puller: _Puller, waiter: Waiter, fetched: Fetched | None, *, others: bool) -> None:
        """The end of a pull, to one who waits."""
        if fetched is None:
            failure = None if others else puller.failure(self._key(name, waiter))
            waiter.done(None, failure.pull if failure is not None else None)
        elif fetched.serves(waiter) and self._access.allowed(fetched.image, waiter.claim):
            waiter.done(fetched.image, None)
        else:
            waiter.done(None, None)
