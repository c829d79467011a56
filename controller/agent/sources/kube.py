"""The objects from the API server itself: one watch for each, for as long as an instance of this node names it."""

import asyncio
import base64
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from controller.agent.named import Named
from controller.agent.sources.kept import Kept
from controller.agent.sources.port import Absent, Found, Kind, Ref, Unread, View
from controller.kube.connection import Connection
from controller.kube.errors import ApiFailure, ApiForbidden
from controller.kube.pauses import Forever
from controller.kube.resources import CONFIG_MAPS, SECRETS, Resource
from controller.kube.single import Single, changes
from controller.pauses import growing

log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 2.0
"""How long the API server is waited for before what an earlier agent has kept is taken for what there is."""

_REFUSED_SECONDS: Final = (1.0, 30.0)
"""First and longest pause after refusals: nobody tells when a right is given, and an API server that has just been started
refuses for a moment what it has not read the rights of yet."""

_RESOURCES: Final[Mapping[Kind, Resource]] = {Kind.CONFIG_MAP: CONFIG_MAPS, Kind.SECRET: SECRETS}


@dataclass(slots=True)
class _Entry:
    """One object that is followed."""

    users: set[str] = field(default_factory=set)
    """Uids of the instances that name it."""
    view: View = field(default_factory=Unread)
    kept: Found | None = None
    """What an earlier agent has kept of it, until the API server has said something."""
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None


class KubeSources:
    """The port, in front of the API server."""

    def __init__(self, connection: Connection, kept: Mapping[Kind, Kept], changed: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            connection: to the API server.
            kept: where objects of each kind are kept.
            changed: called with the uid of each instance that names an object that has changed.
        """
        self._connection, self._kept, self._changed = connection, kept, changed
        self._session: aiohttp.ClientSession | None = None
        self._entries: dict[Ref, _Entry] = {}
        self._named: Named[Ref] = Named()
        self._before: dict[Ref, Found] = {}
        """Kept by an earlier agent, and asked for by nobody yet."""
        self._doubted: set[Ref] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def load(self) -> None:
        """Read what an earlier agent has kept."""
        for kept in self._kept.values():
            self._before |= kept.load()

    def watches(self) -> dict[tuple[str, ...], float]:
        """How many objects of each kind are watched."""
        open_now = Counter(ref.kind for ref in tuple(self._entries))
        return {(kind.value,): float(open_now[kind]) for kind in Kind}

    def follow(self, uid: str, refs: frozenset[Ref]) -> None:
        """Watch what the instance names now, and end the watches of what nobody names any more."""
        came, went = self._named.change(uid, refs)
        for ref in came:
            self._entries.setdefault(ref, _Entry()).users.add(uid)
            self._open(ref)
        for ref in went:
            entry = self._entries[ref]
            entry.users.discard(uid)
            if not entry.users:
                self._close(ref)

    def view(self, ref: Ref) -> View:
        """What is known of it."""
        entry = self._entries.get(ref)
        return entry.view if entry is not None else Unread()

    def tidy(self) -> None:
        """What nobody asks for at the second look is forgotten."""
        for ref in self._doubted & self._before.keys():
            del self._before[ref]
            self._kept[ref.kind].drop(ref)
        self._doubted = set(self._before)

    async def close(self) -> None:
        """End all watches; what was read stays for the next agent."""
        tasks = [*self._closing, *(e.task for e in self._entries.values() if e.task is not None)]
        for entry in self._entries.values():
            if entry.timer is not None:
                entry.timer.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- one object

    def _open(self, ref: Ref) -> None:
        entry = self._entries[ref]
        if entry.task is not None:
            return
        entry.kept = self._before.pop(ref, None)
        if entry.kept is not None:
            entry.timer = asyncio.get_running_loop().call_later(FRESH_SECONDS, self._settle, ref, entry)
        entry.task = asyncio.create_task(self._follow(ref, entry), name=f"watch {ref.kind} {ref.namespace}/{ref.name}")

    def _close(self, ref: Ref) -> None:
        entry = self._entries.pop(ref)
        if entry.timer is not None:
            entry.timer.cancel()
        if entry.task is not None:
            entry.task.cancel()
            self._closing.add(entry.task)
            entry.task.add_done_callback(self._closing.discard)
        self._kept[ref.kind].drop(ref)

    async def _follow(self, ref: Ref, entry: _Entry) -> None:
        """For ever: list, watch, and begin anew when that ends."""
        pauses, refused = iter(Forever()), growing(*_REFUSED_SECONDS)
        while True:
            try:
                async for obj in self._read(ref):
                    pauses, refused = iter(Forever()), growing(*_REFUSED_SECONDS)
                    self._seen(ref, entry, obj)
            except ApiFailure as exc:
                log.debug("%s %s/%s: %s", ref.kind, ref.namespace, ref.name, exc)
                self._failed(ref, entry, exc)
                await asyncio.sleep(next(refused if isinstance(exc, ApiForbidden) else pauses))
            except Exception:
                log.exception("%s %s/%s: watching anew", ref.kind, ref.namespace, ref.name)
                await asyncio.sleep(next(pauses))

    async def _read(self, ref: Ref) -> AsyncIterator[dict[str, Any] | None]:
        if self._session is None:
            self._session = self._connection.session(most=0)
        single = Single(_RESOURCES[ref.kind], ref.namespace, ref.name)
        async with aclosing(changes(self._connection, self._session, single)) as found:
            async for obj in found:
                yield obj

    def _seen(self, ref: Ref, entry: _Entry, obj: dict[str, Any] | None) -> None:
        """The API server has said what there is."""
        found = _found(ref.kind, obj) if obj is not None else None
        if found is None:
            self._kept[ref.kind].drop(ref)
        elif found != entry.view and found != entry.kept:
            self._kept[ref.kind].put(ref, found)
        self._tell(entry, found or Absent())

    def _failed(self, ref: Ref, entry: _Entry, exc: ApiFailure) -> None:
        """It could not be asked; what is known stays."""
        self._settle(ref, entry)
        if isinstance(entry.view, Unread):
            self._tell(entry, Unread(f'{ref.kind} "{ref.name}" cannot be read: {_why(ref.kind, exc)}'))

    def _settle(self, ref: Ref, entry: _Entry) -> None:  # noqa: ARG002 - as the other steps
        """Nothing newer is to be had: what an earlier agent has kept is what there is."""
        if isinstance(entry.view, Unread) and entry.kept is not None:
            self._tell(entry, entry.kept)

    def _tell(self, entry: _Entry, view: View) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if not isinstance(view, Unread):
            entry.kept = None
        if view != entry.view:
            entry.view = view
            for uid in tuple(entry.users):
                self._changed(uid)


def _why(kind: Kind, exc: ApiFailure) -> str:
    if isinstance(exc, ApiForbidden):
        return f"agents have no right to read {kind.kind_name}s here (values agent.configMaps and agent.secrets of the chart)"
    return str(exc)


def _found(kind: Kind, obj: dict[str, Any]) -> Found:
    data: dict[str, str] = obj.get("data") or {}
    uid = str(obj["metadata"].get("uid") or "")
    if kind is Kind.SECRET:
        return Found({key: base64.b64decode(value or "") for key, value in data.items()}, uid=uid)
    binary: dict[str, str] = obj.get("binaryData") or {}
    return Found(
        {key: (value or "").encode() for key, value in data.items()},
        {key: base64.b64decode(value or "") for key, value in binary.items()},
        uid,
    )
