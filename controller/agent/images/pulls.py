"""Pulls: one for all who wait for the same image, only so many at a time, and after a failure a pause that grows."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from controller.agent import metrics
from controller.agent.decide.observation import Pull
from controller.agent.images import backoff
from controller.agent.images.waiter import Waiter
from controller.api.reasons import Reason
from controller.runtime.port import ImageState, Runtime, RuntimeFailure

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Puller:
    """The pulls of one image, one after another."""

    pull: Pull | None = None
    """The one that is under way, or how the last one failed."""
    failures: int = 0
    """In a row."""
    waiters: list[Waiter] = field(default_factory=list)


class Pulls:
    """Pulls by normalised name."""

    def __init__(self, runtime: Runtime, arrived: Callable[[str, ImageState], None], parallel: int) -> None:
        """Take what is needed.

        Args:
            runtime: what pulls.
            arrived: told of each image that was pulled, before its waiters are.
            parallel: how many pulls are under way at the same time.
        """
        self._runtime, self._arrived = runtime, arrived
        self._pullers: dict[str, _Puller] = {}
        self._slots = asyncio.Semaphore(parallel)
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, name: str) -> Pull | None:
        """The pull that is under way, or how the last one failed; None when neither is the case."""
        puller = self._pullers.get(name)
        return puller.pull if puller is not None else None

    def pull(self, name: str, waiter: Waiter) -> bool:
        """Begin a pull, or join the one that is under way; returns whether this call began it.

        While a failed pull is tried again, the failure stays in sight.
        """
        puller = self._pullers.setdefault(name, _Puller())
        puller.waiters.append(waiter)
        before = puller.pull
        if before is not None and before.running:
            return False
        reason, message = (before.reason, before.message) if before else (Reason.PULLING, f"pulling {name}")
        puller.pull = Pull(running=True, reason=reason, message=message)
        task = asyncio.create_task(self._run(name, puller), name=f"pull {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Give up the pulls that are under way; what is complete of them stays in the runtime."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, name: str, puller: _Puller) -> None:
        image: ImageState | None = None
        try:
            image = await self._fetched(name)
            self._arrived(name, image)
            puller.pull, puller.failures = None, 0
        except Exception as exc:
            if isinstance(exc, RuntimeFailure):
                log.info("pulling %s failed: %s", name, exc)
            else:
                log.exception("pulling %s", name)  # a defect; but nobody may wait for ever
            puller.pull = backoff.failed(exc, puller.failures, time.time())
            puller.failures += 1
            metrics.PULLS.labels(puller.pull.reason).inc()
        waiters, puller.waiters = puller.waiters, []
        for waiter in waiters:
            waiter.done(image, puller.pull)

    async def _fetched(self, name: str) -> ImageState:
        loop = asyncio.get_running_loop()
        async with self._slots:
            began = loop.time()
            image = await self._runtime.pull(name)
        metrics.PULL_SECONDS.observe(loop.time() - began)
        metrics.PULLS.labels(Reason.PULLED).inc()
        return image
