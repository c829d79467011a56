"""Kopf as an informer: in a thread and loop of its own, it lists, watches, authenticates and reconnects, and writes nothing.

Kopf ends on errors that a node agent must survive, and it never notices deletions that happened while it was not watching.
So it is run crash-only, restarted whenever it ends, and a sweep over the objects' metadata every few minutes makes good what it
cannot promise: vanished objects are delivered as DELETED, and an informer that has gone blind is restarted.
"""

import asyncio
import logging
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final

import kopf

from controller.kube import metrics
from controller.kube.client import Client
from controller.kube.connection import Connection
from controller.kube.discovery import until_served
from controller.kube.errors import ApiFailure
from controller.kube.resources import Resource
from controller.kube.settings import settings

log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 300.0
"""Mean pause between two sweeps."""

SETTLE_SECONDS: Final = 5.0
"""After Kopf has started and has had this long to list, a sweep finds what was deleted while nothing was watched."""

BLIND_SECONDS: Final = 30.0
"""A change that the API server has had for this long and Kopf has not delivered means that Kopf is blind."""

INCURABLE_TIMES: Final = 4
"""Found blind so often in a row, although Kopf was started anew each time, an informer will not recover by itself."""

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Watch:
    """What to watch: a resource, and optionally only some of its objects."""

    resource: Resource
    field_selector: str = ""


Deliver = Callable[[Watch, str, Object], None]
"""Called in the caller's loop with the watch, `ADDED`, `MODIFIED` or `DELETED`, and the object (for a deletion found by the
sweep only its metadata)."""

Synced = Callable[[Watch, frozenset[str]], None]
"""Called in the caller's loop after each sweep with the uids that exist, of the objects that were known before it."""


class Informer:
    """Deliver every change of the watched objects to one callback, for ever."""

    def __init__(
        self,
        connection: Connection,
        client: Client,
        watches: Sequence[Watch],
        deliver: Deliver,
        synced: Synced | None = None,
        half: str = "agent",
    ) -> None:
        """Prepare it.

        Args:
            connection: for Kopf.
            client: for the sweep.
            watches: what to watch.
            deliver: gets every change.
            synced: gets what exists, after each sweep.
            half: `agent` or `manager`, for the metrics.
        """
        self._connection, self._client = connection, client
        self._watches, self._deliver, self._synced = tuple(watches), deliver, synced
        self._seen: dict[Watch, dict[str, Object]] = {w: {} for w in watches}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._kopf: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._checks: set[asyncio.Task[None]] = set()
        self._arrived: deque[tuple[Watch, str, Object]] = deque()
        self._announced = False
        self._blind: Counter[Watch] = Counter()
        self._half = half
        self._meters = {w: metrics.WatchMeter(half, w.resource.plural) for w in watches}

    async def start(self) -> None:
        """Start the thread and the sweep."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self._thread.start()
        self._sweeper = asyncio.create_task(self._sweep_for_ever(), name="informer sweep")

    async def stop(self) -> None:
        """Stop both, and wait for the thread."""
        self._stopping.set()
        tasks = [*self._checks, *([self._sweeper] if self._sweeper is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.restart()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 10.0)

    def known(self, watch: Watch, obj: Object) -> None:
        """The caller knows this object from a list of its own: should it have vanished since, that is delivered too."""
        self._seen[watch].setdefault(obj["metadata"]["uid"], _identity(obj))

    def count_restart(self, cause: str) -> None:
        """Count that the watches are begun anew: they `ended`, or were found `blind` or `deaf`."""
        metrics.WATCH_RESTARTS.labels(self._half, cause).inc()

    def incurable(self) -> str:
        """Why this process can no longer see what the API server has, although that answers; empty while it can.

        An API server that does not answer is never a reason: only what it has and Kopf did not deliver counts.
        """
        found = [w.resource.plural for w, times in self._blind.items() if times >= INCURABLE_TIMES]
        return f"changes of {', '.join(found)} are not delivered, though watched anew {INCURABLE_TIMES} times" if found else ""

    def restart(self) -> None:
        """End Kopf now; its thread starts it again, and it lists everything anew."""
        running = self._kopf
        if running is not None:
            loop, ended = running
            try:
                loop.call_soon_threadsafe(ended.set)
            except RuntimeError:  # the loop closed in the meantime: it is being restarted already
                log.debug("kopf has already ended")

    # --- in Kopf's thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                asyncio.run(self._operate())
            except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - whatever ends Kopf, it is started again
                if not self._stopping.is_set():
                    self.count_restart("ended")
                    log.warning("watching ended and is started again: %r", exc)
            self._stopping.wait(random.uniform(0.2, 1.0))  # noqa: S311 - jitter

    async def _operate(self) -> None:
        ended = asyncio.Event()
        self._kopf = (asyncio.get_running_loop(), ended)
        if self._stopping.is_set() or self._loop is None or self._loop.is_closed():
            return
        operator = asyncio.create_task(self._watch_what_is_served(self._loop))
        waiter = asyncio.create_task(ended.wait())
        try:
            await asyncio.wait({operator, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._kopf = None
            operator.cancel()
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
            try:
                await asyncio.gather(operator)
            finally:
                await asyncio.sleep(0.05)  # a closed TLS connection needs some turns of the loop to be gone (aiohttp)

    async def _watch_what_is_served(self, callers: asyncio.AbstractEventLoop) -> None:
        served = until_served(self._client, (w.resource for w in self._watches))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(served, callers))
        callers.call_soon_threadsafe(self._started.set)
        await kopf.operator(registry=self._registry(), settings=settings(self._watches), clusterwide=True)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        async def login(**_: Any) -> kopf.AiohttpSession:
            return kopf.AiohttpSession(server=self._connection.server, aiohttp_session=self._connection.session())

        kopf.on.login(registry=registry)(login)
        for watch in self._watches:
            resource = watch.resource
            kopf.on.event(resource.group, resource.version, resource.plural, registry=registry, id=resource.plural)(
                self._handler(watch)
            )
        return registry

    def _handler(self, watch: Watch) -> Callable[..., Any]:
        async def on_event(event: Any, **_: Any) -> None:
            loop = self._loop
            if loop is not None and not loop.is_closed():
                self._arrived.append((watch, str(event["type"] or "ADDED"), dict(event["object"])))
                if not self._announced:  # else the caller's loop has been told, and has not come to it yet
                    self._announced = True
                    # Not in Kopf's context: that names this event, and each task that comes of it would keep the context.
                    loop.call_soon_threadsafe(self._receive_all, context=Context())

        return on_event

    # --- in the caller's loop

    def _receive_all(self) -> None:
        """Take in what has arrived; what comes from the first line on is announced anew, so nothing is left lying."""
        self._announced = False
        while self._arrived:
            self._receive(*self._arrived.popleft())

    def _receive(self, watch: Watch, kind: str, obj: Object) -> None:
        if self._stopping.is_set():
            return
        self._meters[watch].event()
        seen, uid = self._seen[watch], obj["metadata"]["uid"]
        if kind == "DELETED":
            seen.pop(uid, None)
        else:
            seen[uid] = _identity(obj)
        self._deliver(watch, kind, obj)

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                for watch in self._watches:
                    await self._sweep(watch)
            except ApiFailure as exc:
                log.debug("sweep: %s", exc)
                await asyncio.sleep(random.uniform(1.0, 3.0))  # noqa: S311 - jitter
                continue
            try:
                async with asyncio.timeout(SWEEP_SECONDS * random.uniform(0.8, 1.2)):  # noqa: S311 - jitter
                    await self._started.wait()
            except TimeoutError:
                continue
            self._started.clear()
            await asyncio.sleep(SETTLE_SECONDS)

    async def _sweep(self, watch: Watch) -> None:
        before = dict(self._seen[watch])
        exists = await self._versions(watch)
        if self._synced is not None:
            self._synced(watch, frozenset(exists))
        for uid, metadata in before.items():
            if uid not in exists and uid in self._seen[watch]:
                log.info("%s %s vanished unseen", watch.resource.plural, metadata["name"])
                self._receive(watch, "DELETED", {"metadata": metadata})
        behind = self._behind(watch, exists)
        if not behind:
            self._confirm(watch)
        else:
            check = asyncio.create_task(self._check(watch, behind), name="informer check")
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)

    async def _check(self, watch: Watch, behind: dict[str, str]) -> None:
        """Whether what was not delivered is still there, unchanged, and still not delivered: then Kopf is blind."""
        await asyncio.sleep(BLIND_SECONDS)
        behind = self._behind(watch, behind)
        if not behind:
            self._confirm(watch)
            return
        try:
            exists = await self._versions(watch)
        except ApiFailure as exc:
            log.debug("sweep: %s", exc)
            return
        if any(exists.get(uid) == version for uid, version in self._behind(watch, behind).items()):
            log.warning("%s: changes were not delivered for %.0f s; watching anew", watch.resource.plural, BLIND_SECONDS)
            self._blind[watch] += 1
            self.count_restart("blind")
            self.restart()

    def _confirm(self, watch: Watch) -> None:
        """All that the API server has was delivered."""
        del self._blind[watch]
        self._meters[watch].confirmed()

    async def _versions(self, watch: Watch) -> dict[str, str]:
        """The resourceVersion by uid of all that exists."""
        listed = await self._client.list_metadata(watch.resource, field_selector=watch.field_selector)
        return {item["metadata"]["uid"]: str(item["metadata"]["resourceVersion"]) for item in listed}

    def _behind(self, watch: Watch, exists: dict[str, str]) -> dict[str, str]:
        """Of these versions by uid, those that were not delivered, nor anything newer."""
        seen = self._seen[watch]
        return {u: v for u, v in exists.items() if u not in seen or _is_older(str(seen[u]["resourceVersion"]), v)}


def _is_older(version: str, than: str) -> bool:
    """Resource versions are comparable as numbers (KEP-5504); with a server whose are none, another one counts as older."""
    if version.isdecimal() and than.isdecimal():
        return int(version) < int(than)
    return version != than


def _identity(obj: Object) -> Object:
    return {key: obj["metadata"].get(key) for key in ("name", "namespace", "uid", "resourceVersion")}
