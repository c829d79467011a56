"""A bell that rings when something of a collection changes, for a command that waits for a state and then ends.

What is true is read from a list each time; the watch only says when to look again. So nothing depends on its completeness,
and it needs no resource version. The halves, which run for ever over many objects, use the informer instead.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import aiohttp

from controller.kube.connection import Connection
from controller.kube.pauses import Forever
from controller.kube.resources import Resource

log = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 0.2
"""Changes that follow each other this closely ring once."""

WATCH_SECONDS: Final = 300
"""After which the server ends a watch, and it is begun anew."""

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Collection:
    """The objects of a resource: all, those of a namespace, or the one with a name."""

    resource: Resource
    namespace: str = ""
    name: str = ""

    @property
    def path(self) -> str:
        """Path and query of a watch."""
        query = {"watch": "1", "timeoutSeconds": str(WATCH_SECONDS)}
        query |= {"fieldSelector": f"metadata.name={self.name}"} if self.name else {}
        return f"{self.resource.path(self.namespace)}?{urlencode(query)}"


class Bell:
    """Rung by every change of some collections."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rung = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def on(cls, connection: Connection, *collections: Collection) -> AsyncIterator["Bell"]:
        """A bell that listens for as long as the block lasts."""
        bell = cls(connection)
        tasks = [asyncio.create_task(bell._listen(c), name=f"watch {c.path}") for c in collections]
        try:
            yield bell
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self, seconds: float) -> None:
        """Return after a change since the last wait, or after so many seconds without one."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
                await asyncio.sleep(SETTLE_SECONDS)
        except TimeoutError:
            pass
        self._rung.clear()

    async def _listen(self, collection: Collection) -> None:
        async with self._connection.session() as session:
            for pause in Forever():
                try:
                    await self._ring(session, f"{self._connection.server}{collection.path}")
                except (aiohttp.ClientError, TimeoutError, OSError) as exc:
                    log.debug("watch: %s", exc)
                    await asyncio.sleep(pause)

    async def _ring(self, session: aiohttp.ClientSession, url: str) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=WATCH_SECONDS + 15)
        async with session.get(url, headers={"Accept": _METADATA_ONLY}, timeout=timeout, raise_for_status=True) as answer:
            self._rung.set()  # what changed before it listened was not heard
            async for _ in answer.content.iter_any():
                self._rung.set()
