"""One object, watched by its name: a list that tells what is there, and a watch from there on.

For objects that are read because something names them, each for itself, so that nobody streams all of a kind. The halves' own
kinds, of which they want all, come through the informer.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from controller.kube import metrics
from controller.kube.client import DEADLINE_SECONDS, Object, failure
from controller.kube.connection import Connection
from controller.kube.errors import ApiNotFound, ApiUnavailable
from controller.kube.resources import Resource

WATCH_SECONDS: Final = 300
"""Least time after which the server ends a watch; at most twice that, so that not all of them begin anew at once."""

SILENCE_SECONDS: Final = 150.0
"""The server sends a bookmark each minute; a connection on which nothing came for so long is dead."""

_MOST_LINE: Final = 16 * 2**20
"""Longest line of a watch. An object of 1 MiB, the most that etcd takes, may be six times that in JSON."""


@dataclass(frozen=True, slots=True)
class Single:
    """One object of a namespace."""

    resource: Resource
    namespace: str
    name: str

    def path(self, **query: str) -> str:
        """Path and query that lead to it alone, as a list or a watch."""
        return f"{self.resource.path(self.namespace)}?{urlencode({'fieldSelector': f'metadata.name={self.name}', **query})}"


@asynccontextmanager
async def _translated(verb: str, resource: Resource) -> AsyncIterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
        raise ApiUnavailable(
            f"{verb} {resource.plural}: the API server does not answer: {str(exc) or type(exc).__name__}"
        ) from exc


async def changes(
    connection: Connection, session: aiohttp.ClientSession, single: Single
) -> AsyncGenerator[Object | None, None]:
    """The object as it is now, then after each change; None while there is none. Ends when it has to be begun anew.

    Raises:
        ApiFailure: when it cannot be asked for, or is no longer told of.
    """
    meter = metrics.WatchMeter("agent", single.resource.plural)
    listed = await _listed(connection, session, single)
    items = listed.get("items") or []
    yield items[0] if items else None
    meter.confirmed()
    version = str((listed.get("metadata") or {}).get("resourceVersion", ""))
    while True:
        async for kind, obj in _watched(connection, session, single, version):
            if kind == "ERROR":
                found = failure("watch", single.resource, int(obj.get("code") or 500), json.dumps(obj).encode())
                if isinstance(found, ApiNotFound):
                    return  # that version is too old: it is listed anew
                raise found
            version = str(obj["metadata"]["resourceVersion"])
            if kind != "BOOKMARK":
                meter.event()
                yield None if kind == "DELETED" else obj


async def _listed(connection: Connection, session: aiohttp.ClientSession, single: Single) -> Object:
    code, began = "none", perf_counter()
    try:
        async with _translated("list", single.resource), asyncio.timeout(DEADLINE_SECONDS):
            async with session.get(connection.server + single.path()) as answer:
                code, data = str(answer.status), await answer.read()
            if answer.status < 400:
                found = json.loads(data)
                if isinstance(found, dict):
                    return found
                raise ValueError("the answer is not an object")
    finally:
        metrics.called("list", single.resource.plural, code, perf_counter() - began)
    raise failure("list", single.resource, int(code), data)


async def _watched(
    connection: Connection, session: aiohttp.ClientSession, single: Single, version: str
) -> AsyncIterator[tuple[str, Any]]:
    """Kinds of changes and objects, until the server ends the watch."""
    seconds = int(WATCH_SECONDS * random.uniform(1, 2))  # noqa: S311 - jitter
    query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=DEADLINE_SECONDS, sock_read=SILENCE_SECONDS)
    url = connection.server + single.path(**query)
    async with _translated("watch", single.resource), session.get(url, timeout=timeout) as answer:
        if answer.status < 400:
            async for line in _lines(answer.content):
                event = json.loads(line)
                yield event["type"], event["object"]
            return
        data = await answer.read()
    raise failure("watch", single.resource, answer.status, data)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The stream's own way to read lines has a limit that large objects go beyond."""
    kept = b""
    async for chunk in content.iter_any():
        *lines, kept = (kept + chunk).split(b"\n")
        if len(kept) > _MOST_LINE:
            raise ValueError("a line is too long")
        for line in filter(None, lines):
            yield line
