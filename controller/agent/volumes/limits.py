"""Volumes on disk that have a `sizeLimit`: measured while their instances run; what was found beyond it is kept on disk.

It has to be kept: an instance that is evicted stays so, also when a new agent looks at it, and when there is less in its volume
by then. The file lies beside the volumes, so it goes with them.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller import disk
from controller.agent.decide.eviction import Exceeded, SizeLimit
from controller.agent.volumes.place import Place
from controller.agent.volumes.usage import exceeds

log = logging.getLogger(__name__)

PASS_SECONDS: Final = 10.0
"""Pause between two passes over the volumes: the kubelet's (`monitoringInterval` of its eviction manager)."""

NOTE: Final = "exceeded.json"
"""Name of the file, in the folder of the instance's volumes."""


class SizeLimits:
    """Which volumes are measured, and which have outgrown their limits. While there are none, nothing is done at all."""

    def __init__(self, folder: str, place: Place) -> None:
        self._folder, self._place = Path(folder), place
        self._measured: dict[str, tuple[SizeLimit, ...]] = {}
        self._exceeded: dict[str, Exceeded] = {}
        self._wanted = asyncio.Event()

    def load(self) -> None:
        """Read what an earlier agent has found. What cannot be read is found anew."""
        for path in self._folder.glob(f"*/{NOTE}"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                said = json.loads(path.read_text())
                limit = SizeLimit(str(said["volume"]), str(said["id"]), str(said["limit"]))
                self._exceeded[path.parent.name] = Exceeded(limit, float(said["at"]))

    def follow(self, uid: str, limits: Sequence[SizeLimit], *, measured: bool) -> None:
        """The limits that an instance has now; `measured` while it may write. A limit that was changed is not exceeded yet."""
        found = self._exceeded.get(uid)
        if found is not None and found.limit not in limits:
            del self._exceeded[uid]
            self._note(uid).unlink(missing_ok=True)
        if measured and limits and uid not in self._exceeded:
            self._measured[uid] = tuple(limits)
            self._wanted.set()
        else:
            self._measured.pop(uid, None)

    def exceeded(self, uid: str) -> Exceeded | None:
        """The volume of an instance that was found to be beyond its limit."""
        return self._exceeded.get(uid)

    async def run(self, wake: Callable[[str], None]) -> None:
        """Measure for ever; `wake` is called with the uid of each instance that has too much."""
        while True:
            await self._wanted.wait()
            await asyncio.sleep(PASS_SECONDS)
            try:
                await self.once(wake)
            except OSError as exc:
                log.warning("the sizes of volumes cannot be measured now: %s", exc)
            if not self._measured:
                self._wanted.clear()

    async def once(self, wake: Callable[[str], None]) -> None:
        """One pass, in one thread.

        Raises:
            OSError: when nothing can be measured.
        """
        asked = dict(self._measured)
        for uid, limit in await self._place.look(lambda: self._pass(asked)):
            if limit in self._measured.pop(uid, ()):
                self._exceeded[uid] = Exceeded(limit, time.time())
                self._keep(uid, self._exceeded[uid])
                wake(uid)

    def _pass(self, asked: dict[str, tuple[SizeLimit, ...]]) -> list[tuple[str, SizeLimit]]:
        """The first volume of each instance that has too much."""
        found = []
        for uid, limits in asked.items():
            for limit in limits:
                try:
                    if exceeds(f"{self._folder}/{uid}/{limit.id}", limit.bytes):
                        found.append((uid, limit))
                        break
                except OSError as exc:
                    log.warning("volume %r of instance %s cannot be measured now: %s", limit.volume, uid, exc)
        return found

    def _keep(self, uid: str, found: Exceeded) -> None:
        """Write it down; on a disk that is full, the next agent finds it anew."""
        limit = found.limit
        said = {"volume": limit.volume, "id": limit.id, "limit": limit.limit, "at": found.at}
        try:
            disk.replace(self._note(uid), json.dumps(said))
        except OSError as exc:
            log.warning("that instance %s is evicted cannot be kept: %s", uid, exc)

    def _note(self, uid: str) -> Path:
        return self._folder / uid / NOTE
