"""Pushes of images that this node has, for ContainerImages: each once for what it is of, and again after a pause if it failed.

A push is by the credentials of its own Secrets, or without any, and never by the node's own: by these, whoever may create a
ContainerImage could write to registries that he has no right to.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from controller.agent.credentials.credentials import Found
from controller.agent.credentials.tried import tried
from controller.agent.decide.credentials.claim import Claim
from controller.agent.images import backoff
from controller.agent.images.access import repository
from controller.agent.nodeimages.wanted import Pushed, Wanted, Which
from controller.api.conditions import timestamp
from controller.api.nodeimages import MOST_MESSAGE, NodeImage, NodePush, NodePushStatus
from controller.api.reasons import Reason
from controller.runtime.port import InvalidReference, RegistryUnreachable, Runtime, RuntimeFailure

log = logging.getLogger(__name__)

AT_ONCE: Final = 1
"""Pushes of a node at the same time."""

_Of = tuple[str, str]
"""Revision of the entry, and digest of what is pushed."""


@dataclass(slots=True)
class _Job:
    """One push."""

    of: _Of
    claim: Claim
    """By which the last try was made."""
    since: float
    running: bool = True
    reason: str = ""
    message: str = ""
    failures: int = 0
    retry_at: float = 0.0


class Pushes:
    """Pushes of one node."""

    def __init__(self, runtime: Runtime, wanted: Wanted, wake: Callable[[], None]) -> None:
        """Prepare it.

        Args:
            runtime: pushes.
            wanted: keeps what was pushed, so that the next agent does not push it again.
            wake: called when one has ended.
        """
        self._runtime, self._wanted, self._wake = runtime, wanted, wake
        self._jobs: dict[Which, _Job] = {}
        self._tasks: dict[Which, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    def look(self, entry: NodeImage, digest: str, claims: Sequence[Claim], now: float) -> tuple[NodePushStatus, ...]:
        """Bring the pushes of an image forward that is on the node; how far each of them is.

        Args:
            entry: what is wanted.
            digest: of what is on the node.
            claims: the Secrets of each push, in their order.
            now: seconds since the epoch.
        """
        return tuple(self._look(entry, push, digest, by, now) for push, by in zip(entry.push, claims, strict=True))

    def keep(self, entries: Sequence[NodeImage]) -> None:
        """Give up all pushes that none of these asks for."""
        asked = {_which(entry, push) for entry in entries for push in entry.push}
        for which in self._jobs.keys() - asked:
            del self._jobs[which]
            if (task := self._tasks.pop(which, None)) is not None:
                task.cancel()

    def wake_at(self, now: float) -> float | None:
        """When the next pause after a failure is over; what is due and does not run waits for a Secret or its image."""
        return min((job.retry_at for job in self._jobs.values() if not job.running and job.retry_at > now), default=None)

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _look(self, entry: NodeImage, push: NodePush, digest: str, by: Claim, now: float) -> NodePushStatus:
        which, of = _which(entry, push), (entry.revision, digest)
        done = self._wanted.pushed(which)
        if done is not None and done.of == of:
            self._jobs.pop(which, None)
            return NodePushStatus(image=push.image, source=digest, state="Pushed", digest=done.digest, since=done.since)
        job = self._jobs.get(which)
        if job is None or job.of != of:
            self._stop(which)
            job = self._jobs[which] = _Job(of, by, now, running=False)
        if not job.running and not by.pending and (now >= job.retry_at or by != job.claim):
            job.claim, job.running = by, True
            task = asyncio.create_task(self._run(entry, push, which, job), name=f"push {push.image}")
            self._tasks[which] = task
        state = "Failed" if job.reason else "Pushing"
        return NodePushStatus.model_validate(
            {"image": push.image, "source": digest, "state": state, "reason": job.reason, "message": job.message}
            | {"since": timestamp(job.since)}
        )

    def _stop(self, which: Which) -> None:
        if (task := self._tasks.pop(which, None)) is not None:
            task.cancel()

    async def _run(self, entry: NodeImage, push: NodePush, which: Which, job: _Job) -> None:
        """Push once. A failure stays in sight while it is tried again."""
        try:
            async with self._turns:
                digest = await self._pushed(entry.image, push.image, job.claim)
        except RuntimeFailure as exc:
            log.info("pushing %s to %s failed: %s", entry.image, push.image, exc)
            self._failed(job, exc)
        except Exception as exc:
            log.exception("pushing %s to %s", entry.image, push.image)  # a defect; but nobody may wait for ever
            self._failed(job, exc)
        else:
            self._wanted.has_pushed(which, Pushed(job.of, digest, timestamp(time.time())))
        self._tasks.pop(which, None)
        self._wake()

    def _failed(self, job: _Job, exc: Exception) -> None:
        now = time.time()
        if not job.reason:
            job.since = now
        job.running, job.reason, job.retry_at = False, _reason(exc), now + backoff.pause(job.failures)
        job.message = str(exc).encode()[:MOST_MESSAGE].decode(errors="ignore")
        job.failures += 1

    async def _pushed(self, image: str, target: str, by: Claim) -> str:
        """The digest at the registry, by the first credentials that it takes, or without any."""
        found = Found(by.candidates(repository(target)), by.problems)
        digest, _ = await tried(found, lambda credential: self._runtime.push(image, target, credential=credential))
        return digest


def _which(entry: NodeImage, push: NodePush) -> Which:
    return entry.namespace, entry.name, push.image


def _reason(exc: Exception) -> Reason:
    if isinstance(exc, RegistryUnreachable):
        return Reason.REGISTRY_UNAVAILABLE
    return Reason.INVALID_IMAGE_NAME if isinstance(exc, InvalidReference) else Reason.ERR_IMAGE_PUSH
