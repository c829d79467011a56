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

HOLD_UP_SECONDS: Final = 1.0
"""How long a pass waits for the volumes of one instance before it goes on with the next one."""

LONGEST_SECONDS: Final = 300.0
"""How long one volume is looked at. Who makes and moves folders all the time would have it looked at for ever."""

NOTE: Final = "exceeded.json"
"""Name of the file, in the folder of the instance's volumes."""


class SizeLimits:
    """Which volumes are measured, and which have outgrown their limits. While there are none, nothing is done at all."""

    def __init__(self, folder: str, place: Place, made: Callable[[str, str], bool]) -> None:
        """`made` tells of a uid and the id of a volume whether it was made, so that its folder has to be there."""
        self._folder, self._place, self._made = Path(folder), place, made
        self._measured: dict[str, tuple[SizeLimit, ...]] = {}
        self._exceeded: dict[str, Exceeded] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._said: set[str] = set()
        """Uids of those of whom it was said that they cannot be measured."""
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
            self._said.discard(uid)

    def exceeded(self, uid: str) -> Exceeded | None:
        """The volume of an instance that was found to be beyond its limit."""
        return self._exceeded.get(uid)

    async def run(self, wake: Callable[[str], None]) -> None:
        """Measure for ever; `wake` is called with the uid of each instance that has too much."""
        try:
            while True:
                await self._wanted.wait()
                await asyncio.sleep(PASS_SECONDS)
                await self.once(wake)
                if not self._measured:
                    self._wanted.clear()
        finally:
            for task in self._under_way.values():
                task.cancel()

    async def once(self, wake: Callable[[str], None]) -> None:
        """One pass. Whose volumes take long, or hang, is measured beside the others, and by no other pass meanwhile."""
        for uid in [uid for uid, task in self._under_way.items() if task.done()]:
            self._under_way.pop(uid).result()  # what it could not do was said: this is a defect, if anything
        for uid in tuple(self._measured):
            if uid not in self._under_way:
                task = self._under_way[uid] = asyncio.create_task(self._measure(uid, wake))
                await asyncio.wait([task], timeout=HOLD_UP_SECONDS)

    async def _measure(self, uid: str, wake: Callable[[str], None]) -> None:
        """The volumes of one instance, in a thread of their own."""
        limits = self._measured.get(uid, ())
        made = [limit for limit in limits if self._made(uid, limit.id)]  # others may be missing
        silence = f"its file system has not answered for {LONGEST_SECONDS:g} s"
        late = asyncio.get_running_loop().call_later(LONGEST_SECONDS * (len(limits) + 1), self._say, uid, silence)
        try:
            beyond, failed = await self._place.look(lambda: self._look(uid, limits))
        except OSError as exc:
            self._say(uid, str(exc))
            return
        finally:
            late.cancel()
        now = self._measured.get(uid, ())
        if beyond in now:
            del self._measured[uid]
            self._exceeded[uid] = Exceeded(beyond, time.time())
            self._keep(uid, self._exceeded[uid])
            wake(uid)
        trouble = [
            f"volume {limit.volume!r}: {exc}"
            for limit, exc in failed.items()
            if limit in now and (limit in made or not isinstance(exc, FileNotFoundError))
        ]
        if trouble:
            self._say(uid, "; ".join(trouble))
        else:
            self._said.discard(uid)

    def _look(self, uid: str, limits: Sequence[SizeLimit]) -> tuple[SizeLimit | None, dict[SizeLimit, OSError]]:
        """The first volume that has too much, and why others before it could not be measured."""
        failed = dict[SizeLimit, OSError]()
        for limit in limits:
            try:
                if exceeds(f"{self._folder}/{uid}/{limit.id}", limit.bytes, LONGEST_SECONDS):
                    return limit, failed
            except OSError as exc:
                failed[limit] = exc
        return None, failed

    def _say(self, uid: str, why: str) -> None:
        """Once, until it can be measured again."""
        if uid in self._measured and uid not in self._said:
            self._said.add(uid)
            log.warning("the volumes of instance %s cannot be measured now, so no sizeLimit ends it: %s", uid, why)

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
