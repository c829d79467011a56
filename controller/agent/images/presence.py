"""What is on the node, by normalised name: the runtime is asked once, and again only when that may have changed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from controller.runtime.port import ImageState, NotFound


@dataclass(slots=True)
class _Known:
    """What is known of one name."""

    present: ImageState | None = None
    looked_up: bool = False
    changes: int = 0
    """Counts what makes an answer out of date that is still on its way."""
    asking: "asyncio.Task[ImageState | None] | None" = None


class Presence:
    """Images that are on the node, and those that were found missing."""

    def __init__(self, ask: Callable[[str], Awaitable[ImageState]]) -> None:
        """`ask` looks a name up; it raises `NotFound` when there is no such image on the node."""
        self._ask = ask
        self._known: dict[str, _Known] = {}

    async def of(self, name: str) -> ImageState | None:
        """The image of this name; None when it is not on the node.

        Raises:
            RuntimeFailure: when the runtime could not be asked.
        """
        known = self._known.setdefault(name, _Known())
        while not known.looked_up:
            changes = known.changes
            found = await self._look_up(name, known)
            if changes == known.changes:
                known.present, known.looked_up = found, True
        return known.present

    def arrived(self, name: str, image: ImageState) -> None:
        """It is on the node; whoever looks just now is told so, too."""
        known = self._known.setdefault(name, _Known())
        known.present, known.looked_up, known.asking = image, True, None
        known.changes += 1

    def changed(self, name: str) -> None:
        """Something about it changed: look again when it is next needed."""
        known = self._known.get(name)
        if known is not None:
            known.looked_up, known.asking = False, None
            known.changes += 1

    def doubt(self) -> None:
        """Anything may have changed."""
        for name in self._known:
            self.changed(name)

    async def _look_up(self, name: str, known: _Known) -> ImageState | None:
        """One question for all who ask at the same time."""
        if known.asking is None or known.asking.done():
            known.asking = asyncio.create_task(self._asked(name), name=f"look up {name}")
        return await asyncio.shield(known.asking)

    async def _asked(self, name: str) -> ImageState | None:
        try:
            return await self._ask(name)
        except NotFound:
            return None
