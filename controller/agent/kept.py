"""A small table that outlives the agent: one JSON file, written when the table has changed."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from controller import disk

log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 0.5
"""Pause between two writes; what changes meanwhile is written together."""


class Kept:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dirty = asyncio.Event()

    def load(self) -> dict[str, Any]:
        """What an earlier agent has kept; nothing when there is no file.

        Raises:
            ValueError: when the file cannot be used, in words that name it.
        """
        try:
            found = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (ValueError, OSError) as exc:
            raise ValueError(f"{self._path} cannot be used: {exc}") from exc
        if not isinstance(found, dict):
            raise ValueError(f"{self._path} cannot be used: it holds no table")  # noqa: TRY004 - of the file, not of an argument
        return found

    def changed(self) -> None:
        """The table is another one now."""
        self._dirty.set()

    async def keep_for_ever(self, table: Callable[[], dict[str, Any]]) -> None:
        """Write changes to disk: the first at once, those that follow it together; flushed in a thread: nobody waits for it."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                disk.replace(self._path, json.dumps(table(), separators=(",", ":")))
                await asyncio.sleep(KEEP_SECONDS)
                await asyncio.to_thread(disk.flush, self._path.parent, [self._path])
            except OSError as exc:
                log.error("%s cannot be written: %s", self._path, exc)  # noqa: TRY400 - the disk is no defect
