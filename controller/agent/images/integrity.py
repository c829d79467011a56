"""Images that somebody has come to doubt: each is read once, in the background, and taken out of use when it is damaged."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from controller.agent import metrics
from controller.agent.decide.damage import WHOLE_SECONDS, Found, row, summary
from controller.runtime.port import Conflict, Damage, ImageState, NotFound, Runtime, RuntimeFailure

log = logging.getLogger(__name__)

PAUSES_SECONDS: Final = (0.5, 2.0)
"""Before it is tried again to take away what is in use."""

Told = Callable[[Found | None], None]
"""Told what was found; None: nothing, or it could not be read. Called once, from the loop; it must not raise."""


class Integrity:
    """Reads images, one at a time: that takes the node's disk as much as a pull does."""

    def __init__(
        self,
        runtime: Runtime,
        present: Callable[[str], Awaitable[ImageState | None]],
        found: Callable[[Found], None],
        changed: Callable[[str], None],
    ) -> None:
        """Take what is needed.

        Args:
            runtime: reads the images.
            present: tells what of a name is on the node.
            found: told of each image that is damaged, before it is taken out of use.
            changed: told of its name when it was, before those who doubted it are.
        """
        self._runtime, self._present, self._found, self._changed = runtime, present, found, changed
        self._turn = asyncio.Semaphore(1)
        self._whole: dict[str, float] = {}
        """When an image was found whole, by its digest, in seconds since the epoch."""
        self._damaged: dict[str, Found] = {}
        """The last time that it was not, by its digest."""
        self._reading: dict[ImageState, list[Told]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def suspect(self, image: ImageState, done: Told) -> bool:
        """Read an image, or join who does; returns whether there is anything to wait for: not if it was whole just now."""
        now = time.time()
        self._whole = {digest: at for digest, at in self._whole.items() if now - at < WHOLE_SECONDS}
        if image.digest in self._whole:
            return False
        waiting = self._reading.setdefault(image, [])
        waiting.append(done)
        if len(waiting) == 1:
            task = asyncio.create_task(self._run(image), name=f"verify {image.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    def damage(self, name: str) -> Found | None:
        """What was damaged of the image that had this name last, if it was."""
        return next((found for found in self._damaged.values() if found.image.name == name), None)

    async def close(self) -> None:
        """Read no further."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, image: ImageState) -> None:
        found: Found | None = None
        try:
            async with self._turn:
                found = await self._look(image)
        except NotFound:
            log.info("image %s went away while it was read", image.name)
        except RuntimeFailure as exc:
            log.warning("image %s cannot be read: %s", image.name, exc)
        except Exception:
            log.exception("reading image %s", image.name)  # a defect; but nobody may wait for ever
        for done in self._reading.pop(image):
            done(found)

    async def _look(self, image: ImageState) -> Found | None:
        damage = await self._runtime.verify(image.name)
        now = time.time()
        if not damage:
            self._whole[image.digest] = now
            return None
        found = Found(image, summary(damage), row=row(self._damaged.get(image.digest), now), at=now)
        self._damaged[image.digest] = found
        self._found(found)
        metrics.IMAGES_DAMAGED.inc()
        kept_by = await self._taken_away(image.name, damage)
        found = self._damaged[image.digest] = replace(found, kept_by=kept_by)
        log.error("%s", found.message)
        self._changed(image.name)
        return replace(found, usable=await self._present(image.name) is not None)

    async def _taken_away(self, name: str, damage: Sequence[Damage]) -> str:
        """Take an image out of use; why something of it stays, empty when nothing does.

        Nothing more is made from it, but what has been just before may take a moment to fail.
        """
        for pause in (*PAUSES_SECONDS, None):
            try:
                await self._runtime.quarantine(name, damage)
            except Conflict as exc:
                if pause is None:
                    return str(exc)
                await asyncio.sleep(pause)
            else:
                break
        return ""
