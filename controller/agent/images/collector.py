"""Keeps room on the disk of images: looks once a minute, after each pull, and at once when one has found no room.

What goes is decided by `decide/collect.py`, anew before each removal, since meanwhile somebody may have begun to use an image;
and the disk is measured after each, since only then it is known what was free to go. Nothing of it needs the API server.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from controller.agent import metrics
from controller.agent.decide import pressure
from controller.agent.decide.collect import (
    NEVER,
    ROOM_FOR_ONE,
    UNFINISHED,
    Disk,
    Facts,
    Marks,
    Removal,
    Survey,
    Use,
    survey,
    told_removed,
    told_short,
)
from controller.agent.decide.observation import Desired
from controller.agent.decide.pressure import Pressure
from controller.agent.images.images import Images
from controller.agent.images.uses import ImageUses
from controller.agent.view import NodeView
from controller.api.reasons import Reason
from controller.runtime.port import DiskFull, Runtime, RuntimeFailure, Unavailable

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
"""Pause between two looks at the disk when nothing else asks for one."""


class Tell(Protocol):
    """Tells people of the node by an Event."""

    def __call__(self, reason: Reason, message: str, *, warning: bool = False) -> None:
        """Returns at once."""


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """How much room there is to be."""

    marks: Marks = field(default_factory=Marks)
    pressure_percent: int = 10
    """Percent of the disk that must be free for new work; 0: none."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A pull has found no room."""

    wanted: int = 0
    """Bytes that are to be free for it, as far as is known."""


class ImageCollector:
    """Removes images for room, and tells when that is not enough."""

    def __init__(
        self,
        runtime: Runtime,
        images: Images,
        view: NodeView,
        store: Iterable[Desired],
        uses: ImageUses,
        *,
        pinned: Callable[[], frozenset[str] | None],
        settings: RoomSettings,
        tell: Tell,
        made_room: Callable[[], None],
        changed: Callable[[], None],
        read: Callable[[str], Disk | None] | None = None,
    ) -> None:
        """Prepare it.

        Args:
            runtime: whose images they are.
            images: what is being pulled.
            view: the node's containers.
            store: the instances that the node is to have.
            uses: when images were used.
            pinned: names that nobody may remove; None while that is not known, and then nothing is removed.
            settings: how much room there is to be.
            tell: writes Events about the node.
            made_room: called when a pull has found no room, and there is some now.
            changed: called when `pressure` has changed.
            read: measures the disk that a folder is on; None when that cannot be seen from here.
        """
        self._runtime, self._images, self._view, self._store, self._uses = runtime, images, view, store, uses
        self._pinned, self._settings, self._tell = pinned, settings, tell
        self._made_room, self._changed, self._read = made_room, changed, read or read_disk
        self._root = ""
        self._disk: Disk | None = None
        self._pressure = Pressure()
        self._asked: _Asked | None = None
        self._short = False
        """That there is too little to remove has been told, and is still so."""
        self._woken = asyncio.Event()

    @property
    def used(self) -> float:
        """The part of the disk that was in use at the last look, from 0 to 1; 0 while it is not known."""
        return self._disk.used if self._disk is not None else 0.0

    @property
    def pressure(self) -> str:
        """Why no new work is to come to the node; empty when it may."""
        return pressure.told(self._settings.pressure_percent) if self._pressure.on else ""

    def pull_ended(self, failure: Exception | None, total: int) -> None:
        """Look at the disk: a pull has ended, and if not with success, then by this. `total` is its bytes, 0 when not known."""
        if isinstance(failure, DiskFull):
            known = self._asked.wanted if self._asked is not None else 0
            self._asked = _Asked(max(known, ROOM_FOR_ONE * total))
        self._woken.set()

    async def run(self) -> None:
        """Look for ever, from when the node's containers are known."""
        await self._view.listed.wait()
        while True:
            self._woken.clear()
            try:
                await self.once()
            except RuntimeFailure as exc:
                log.warning("the disk of images cannot be looked after now: %s", exc)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def once(self) -> None:
        """One look, and what follows from it.

        Raises:
            RuntimeFailure: when the runtime could not be asked.
        """
        asked, self._asked = self._asked, None
        self._uses.look(self._store, (container.image for container in self._view.all()))
        disk = await self._measure()
        if disk is None:
            return
        marks = self._settings.marks
        if not self._view.error and marks.high < NEVER and (asked is not None or marks.reached(disk)):
            disk = await self._collect(disk, asked)
        elif not marks.reached(disk):
            self._short = False
        self._judge(disk)

    def _judge(self, disk: Disk) -> None:
        before = self._pressure
        self._pressure = pressure.judge(before, disk, self._settings.pressure_percent, time.time())
        if before.on != self._pressure.on:
            log.warning("disk pressure %s: %d%% in use", "begins" if self._pressure.on else "is over", disk.percent)
            self._changed()

    async def _measure(self) -> Disk | None:
        if not self._root:
            self._root = (await self._runtime.info()).root_dir
        self._disk = self._read(self._root) if self._root else None
        return self._disk

    async def _collect(self, disk: Disk, asked: _Asked | None) -> Disk:
        """Remove images until there is room, or none is left that may go; the disk as it is then."""
        before, goal = disk, self._settings.marks.goal(disk, asked.wanted if asked else 0)
        removed: list[Removal] = []
        stuck: set[str] = set()
        freed = 0
        found = await self._survey(stuck)
        while found is not None and found.removals and (disk.free < goal or (asked is not None and not removed)):
            removal, had = found.removals[0], disk.free
            if await self._remove(removal):
                disk = await self._measure() or disk
                freed += self._count(removal.kind, disk.free - had)
                removed.append(removal)
            else:
                stuck.add(removal.digest)
            found = await self._survey(stuck)
        unfinished = 0
        if disk.free < goal:  # last, what unfinished pulls have fetched: whoever tries again has to fetch it anew
            unfinished = await self._runtime.discard_parts(self._settings.marks.minimum_age)
        if unfinished:
            had, disk = disk.free, await self._measure() or disk
            freed += self._count(UNFINISHED, disk.free - had, unfinished)
        if removed or unfinished:
            self._told(told_removed(removed, freed, before, disk, unfinished))
            if asked is not None:
                self._made_room()
        if found is not None:
            self._tell_short(found, short=disk.free < goal)
        return disk

    async def _survey(self, stuck: Iterable[str]) -> Survey | None:
        """What may go now, in its order; None while that cannot be known."""
        pinned = self._pinned()
        if pinned is None:
            log.warning("no image is removed for room: which are pinned is known when the API server answers")
            return None
        names = await self._runtime.image_names()
        complete = await self._runtime.images()
        self._uses.look(self._store, (container.image for container in self._view.all()))
        self._uses.forget_but(name.name for name in names)
        uses = self._in_use(pinned) | dict.fromkeys(stuck, Use.STUCK)
        marks = self._settings.marks
        return survey(Facts(names, complete, uses, self._uses.ended(), time.time(), marks.minimum_age))

    def _in_use(self, pinned: Iterable[str]) -> dict[str, Use]:
        """Names and digests that are used; what is the plainest to people wins."""
        uses = dict.fromkeys(self._uses.before(), Use.BEFORE)
        uses |= dict.fromkeys(pinned, Use.PINNED)
        uses |= dict.fromkeys(self._images.under_way(), Use.PULL)
        uses |= dict.fromkeys(self._uses.named(), Use.INSTANCE)
        for container in self._view.all():
            uses |= dict.fromkeys(filter(None, (container.image, container.image_digest)), Use.CONTAINER)
        return uses

    async def _remove(self, removal: Removal) -> bool:
        """Remove all names of an image; whether that was done. The last one waits until the room is free."""
        log.info("image %s is removed for room: %s", ", ".join(removal.names), removal.reason)
        try:
            for name in removal.names:
                await self._runtime.remove_image(name, wait=name == removal.names[-1])
        except Unavailable:
            raise
        except RuntimeFailure as exc:
            log.warning("image %s cannot be removed now: %s", removal.names[0], exc)
            metrics.IMAGE_GC_FAILURES.inc()
            self._tell(Reason.IMAGE_GC_FAILED, f"{removal.names[0]} cannot be removed: {exc}", warning=True)
            return False
        return True

    def _count(self, kind: str, freed: int, times: int = 1) -> int:
        """Count a removal; what it freed, since somebody else may have filled the disk meanwhile."""
        metrics.IMAGE_GC_REMOVED.labels(kind).inc(times)
        metrics.IMAGE_GC_FREED.inc(max(freed, 0))
        return max(freed, 0)

    def _told(self, message: str) -> None:
        log.info("%s", message)
        self._tell(Reason.IMAGE_GC_REMOVED, message)

    def _tell_short(self, found: Survey, *, short: bool) -> None:
        """Tell once that there is too little room whatever is removed, until that is over."""
        if short and not self._short:
            message = told_short(found)
            log.warning("%s", message)
            metrics.IMAGE_GC_FAILURES.inc()
            self._tell(Reason.FREE_DISK_SPACE_FAILED, message, warning=True)
        self._short = short


def read_disk(folder: str) -> Disk | None:
    """The disk that a folder is on (statvfs(3)), as those see it who are not root; None when it cannot be seen."""
    try:
        numbers = os.statvfs(folder)
    except OSError:
        return None
    return Disk(numbers.f_blocks * numbers.f_frsize, numbers.f_bavail * numbers.f_frsize)
