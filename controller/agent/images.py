"""The node's images as supervisors see them: one look-up and one pull for many waiters, with a back-off for each reference."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from controller.agent import metrics
from controller.agent.decide.observation import ImageView, Pull
from controller.api.reasons import Reason
from controller.runtime import reference
from controller.runtime.port import (
    ImageFailure,
    ImageState,
    InvalidReference,
    NotFound,
    RegistryUnreachable,
    Runtime,
    RuntimeFailure,
)

log = logging.getLogger(__name__)

INITIAL_SECONDS: Final = 1.0
MAX_SECONDS: Final = 60.0
"""Pauses between failed pulls of one reference: 1 s, doubling up to a minute."""

Done = Callable[[ImageState | None, Pull | None], None]
"""Told at the end of a pull: the image, or how the pull failed."""


@dataclass(slots=True)
class _Reference:
    """What is known of one reference as users write it."""

    present: ImageState | None = None
    looked_up: bool = False
    changes: int = 0
    """Counts what makes an answer out of date that is still on its way."""
    pull: Pull | None = None
    failures: int = 0
    waiters: list[Done] = field(default_factory=list)


class Images:
    """Images by the reference as written in specs."""

    def __init__(self, runtime: Runtime, *, parallel_pulls: int = 3) -> None:
        self._runtime = runtime
        self._known: dict[str, _Reference] = {}
        self._names: dict[str, set[str]] = {}
        self._slots = asyncio.Semaphore(parallel_pulls)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lookups: dict[str, asyncio.Task[ImageState | None]] = {}

    async def view(self, image: str) -> ImageView:
        """What is known of a reference; the runtime is only asked when that may have changed.

        Raises:
            RuntimeFailure: when the runtime could not be asked.
        """
        known = self._known.setdefault(image, _Reference())
        if known.pull is not None and known.pull.terminal:
            return ImageView(None, known.pull)
        try:
            self._names.setdefault(str(reference.parse(image)), set()).add(image)
        except InvalidReference as exc:
            known.pull = Pull(running=False, reason=Reason.INVALID_IMAGE_NAME, message=str(exc), terminal=True)
            return ImageView(None, known.pull)
        while not known.looked_up:
            changes = known.changes
            found = await self._look_up(image)
            if changes == known.changes:
                known.present, known.looked_up = found, True
        return ImageView(known.present, known.pull)

    def changed(self, name: str) -> None:
        """The runtime says that an image of this (normalised) name changed: look again when it is next needed."""
        for image in self._names.get(name, ()):
            self._out_of_date(image)

    def doubt(self) -> None:
        """The runtime was away, and nobody told what changed meanwhile: look again at every image."""
        for image in self._known:
            self._out_of_date(image)

    def _out_of_date(self, image: str) -> None:
        known = self._known[image]
        known.looked_up = False
        known.changes += 1
        self._lookups.pop(image, None)

    def pull(self, image: str, done: Done) -> bool:
        """Begin a pull, or join the one that is under way. `done` is called at its end, from the loop.

        While a failed pull is tried again, the failure stays in sight. Returns whether this call began it.
        """
        known = self._known.setdefault(image, _Reference())
        known.waiters.append(done)
        if known.pull is not None and known.pull.running:
            return False
        before = known.pull if known.failures else None
        known.pull = Pull(
            running=True,
            reason=before.reason if before else Reason.PULLING,
            message=before.message if before else f"pulling {image}",
        )
        task = asyncio.create_task(self._pull(image, known), name=f"pull {image}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Give up the pulls that are under way; what is complete of them stays in the runtime."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look_up(self, image: str) -> ImageState | None:
        """One question for all who ask at the same time."""
        task = self._lookups.get(image)
        if task is None:
            task = self._lookups[image] = asyncio.create_task(self._ask(image), name=f"look up {image}")
            task.add_done_callback(lambda done: self._looked_up(image, done))
        return await asyncio.shield(task)

    def _looked_up(self, image: str, task: asyncio.Task[ImageState | None]) -> None:
        if self._lookups.get(image) is task:
            del self._lookups[image]

    async def _ask(self, image: str) -> ImageState | None:
        try:
            return await self._runtime.image(image)
        except NotFound:
            return None

    async def _pull(self, image: str, known: _Reference) -> None:
        try:
            async with self._slots:
                began = asyncio.get_running_loop().time()
                known.present = await self._runtime.pull(image)
            metrics.PULL_SECONDS.observe(asyncio.get_running_loop().time() - began)
            metrics.PULLS.labels(Reason.PULLED).inc()
            known.looked_up, known.pull, known.failures = True, None, 0
            known.changes += 1
        except RuntimeFailure as exc:
            known.pull = self._failed(image, known, exc)
        except Exception as exc:
            log.exception("pulling %s", image)  # a defect; but nobody may wait for ever
            known.pull = self._failed(image, known, exc)
        waiters, known.waiters = known.waiters, []
        for done in waiters:
            done(known.present if known.pull is None else None, known.pull)

    def _failed(self, image: str, known: _Reference, exc: Exception) -> Pull:
        log.info("pulling %s failed: %s", image, exc)
        pause = min(INITIAL_SECONDS * 2**known.failures, MAX_SECONDS)
        first, known.failures = known.failures == 0, min(known.failures + 1, 16)
        if isinstance(exc, RegistryUnreachable):
            reason = Reason.REGISTRY_UNAVAILABLE
        elif isinstance(exc, ImageFailure) and not first:
            reason = Reason.IMAGE_PULL_BACK_OFF
        else:
            reason = Reason.ERR_IMAGE_PULL
        metrics.PULLS.labels(reason).inc()
        retry_at = time.time() + pause * random.uniform(1.0, 1.2)  # noqa: S311 - jitter
        return Pull(running=False, reason=reason, message=str(exc), retry_at=retry_at)
