"""The networks of a node as network namespaces in one folder, each a mounted file named by its instance's uid."""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from typing import Final

from controller.network import namespace
from controller.network.port import NetworkFailure, NetworkState

log = logging.getLogger(__name__)

DEADLINE_SECONDS: Final = 10.0
"""Most that making or removing one may take; it takes milliseconds, but the kernel lets only one at a time change networks."""

_UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Uids are UUIDs (kubernetes.io, "Object Names and IDs")."""


class Namespaces:
    """See `controller.network.port.Networks`. Loopback is all that is in them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: set[str] = set()
        """Uids of which there may be a file: nobody but this agent makes any."""
        self._under_way: dict[str, asyncio.Future[None]] = {}

    def load(self) -> None:
        """List the folder. What is not named by a uid was made by somebody else, and is left alone."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - names are all that is needed
            self._known = {name for name in names if _UID.fullmatch(name)}
        except FileNotFoundError:
            self._known = set()
        except OSError as exc:
            log.warning("the folder of network namespaces cannot be read, instances with `network` will fail: %s", exc)

    def state(self, uid: str) -> NetworkState:
        """Asked of the kernel, for those that may have one."""
        if uid not in self._known:
            return NetworkState.ABSENT
        try:
            return NetworkState.READY if namespace.is_namespace(self._path(uid)) else NetworkState.BROKEN
        except (FileNotFoundError, NotADirectoryError):
            self._known.discard(uid)
            return NetworkState.ABSENT
        except OSError:
            return NetworkState.BROKEN  # what is wrong there is said by the call that is to mend it

    def uids(self) -> frozenset[str]:
        """Those that may have a file."""
        return frozenset(self._known)

    async def create(self, uid: str, pids: Sequence[int] = ()) -> None:
        """Make a namespace with loopback up."""
        self._known.add(uid)
        await self._do(uid, lambda: namespace.create(self._path(uid), pids))

    async def remove(self, uid: str) -> None:
        """Unmount it, and remove its file."""
        await self._do(uid, lambda: namespace.remove(self._path(uid)))
        self._known.discard(uid)

    def _path(self, uid: str) -> str:
        return f"{self._folder}/{uid}"

    async def _do(self, uid: str, work: Callable[[], None]) -> None:
        """Work in a thread. What outlives its deadline goes on, and nothing else is done to the same one until it has ended."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                before = self._under_way.get(uid)
                if before is not None:
                    await asyncio.wait([before])
                future = self._under_way[uid] = asyncio.ensure_future(asyncio.to_thread(work))
                future.add_done_callback(lambda done: self._ended(uid, done))
                await asyncio.shield(future)
        except TimeoutError as exc:
            raise NetworkFailure(f"the kernel has not answered for {DEADLINE_SECONDS:g} s at {self._path(uid)}") from exc
        except OSError as exc:
            where = f"{exc.filename}: " if exc.filename else ""
            raise NetworkFailure(f"{where}{exc.strerror}") from exc

    def _ended(self, uid: str, future: asyncio.Future[None]) -> None:
        if self._under_way.get(uid) is future:
            del self._under_way[uid]
        if not future.cancelled():
            future.exception()  # whoever waited has had it
