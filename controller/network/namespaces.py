"""The networks of a node as network namespaces in one folder, each a mounted file named by its instance's uid."""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from controller.network import namespace
from controller.network.port import NetworkFailure, NetworkState

log = logging.getLogger(__name__)

T = TypeVar("T")

DEADLINE_SECONDS: Final = 10.0
"""Most that making or removing one may take; it takes milliseconds, but the kernel lets only one at a time change networks."""

UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Uids are UUIDs (kubernetes.io, "Object Names and IDs")."""


class Namespaces:
    """Of each instance that has a network of its own, the namespace. Loopback is all that is made in them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: set[str] = set()
        """Uids of which there may be a file: nobody but this agent makes any."""
        self._under_way: dict[str, asyncio.Future[Any]] = {}

    def load(self) -> None:
        """List the folder. What is not named by a uid was made by somebody else, and is left alone."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - names are all that is needed
            self._known = {name for name in names if UID.fullmatch(name)}
        except FileNotFoundError:
            self._known = set()
        except OSError as exc:
            log.warning("the folder of network namespaces cannot be read, instances with `network` will fail: %s", exc)

    def state(self, uid: str) -> NetworkState:
        """Asked of the kernel, for those that may have one."""
        if uid not in self._known:
            return NetworkState.ABSENT
        try:
            return NetworkState.READY if namespace.is_namespace(self.path(uid)) else NetworkState.BROKEN
        except (FileNotFoundError, NotADirectoryError):
            self._known.discard(uid)
            return NetworkState.ABSENT
        except OSError:
            return NetworkState.BROKEN  # what is wrong there is said by the call that is to mend it

    def uids(self) -> frozenset[str]:
        """Those that may have a file."""
        return frozenset(self._known)

    async def create(self, uid: str, pids: Sequence[int] = ()) -> bool:
        """See to it that there is one: what is there, that of one of the processes, or a new one with loopback up.

        Returns:
            Whether it is a new one.

        Raises:
            NetworkFailure: with the step that failed.
        """
        self._known.add(uid)
        return await self._do(uid, lambda: namespace.create(self.path(uid), pids))

    async def remove(self, uid: str) -> None:
        """Unmount it, and remove its file; that there is none is success.

        Raises:
            NetworkFailure: with the step that failed.
        """
        await self._do(uid, lambda: namespace.remove(self.path(uid)))
        self._known.discard(uid)

    def path(self, uid: str) -> str:
        """The file that an instance's namespace is mounted on."""
        return f"{self._folder}/{uid}"

    async def _do(self, uid: str, work: Callable[[], T]) -> T:
        """Work in a thread. What outlives its deadline goes on, and nothing else is done to the same one until it has ended."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                before = self._under_way.get(uid)
                if before is not None:
                    await asyncio.wait([before])
                future = self._under_way[uid] = asyncio.ensure_future(asyncio.to_thread(work))
                future.add_done_callback(lambda done: self._ended(uid, done))
                return await asyncio.shield(future)
        except TimeoutError as exc:
            raise NetworkFailure(f"the kernel has not answered for {DEADLINE_SECONDS:g} s at {self.path(uid)}") from exc
        except OSError as exc:
            where = f"{exc.filename}: " if exc.filename else ""
            raise NetworkFailure(f"{where}{exc.strerror}") from exc

    def _ended(self, uid: str, future: asyncio.Future[Any]) -> None:
        if self._under_way.get(uid) is future:
            del self._under_way[uid]
        if not future.cancelled():
            future.exception()  # whoever waited has had it
