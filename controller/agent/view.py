"""The agent's one view of the node's containers, kept as an informer keeps its cache.

It is listed at the start, after every reconnect of the event stream and once a minute, and kept current by the runtime's events
and by the answers to the agent's own calls. So a wake-up costs no call, and a hundred starts at once do not list the node a
hundred times.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from controller.agent import metrics
from controller.api import labels
from controller.runtime.port import ContainerState, EventKind, NotFound, Phase, Runtime, RuntimeEvent, RuntimeFailure

log = logging.getLogger(__name__)

RELIST_SECONDS: Final = 60.0
"""Pause between two lists of the whole node while the event stream is well."""

_LIFE: Final = {Phase.UNKNOWN: -1, Phase.CREATED: 0, Phase.RUNNING: 1, Phase.PAUSED: 1, Phase.EXITED: 2}
"""A container is made, runs and ends once: what would take it back in its life is old news."""


class NodeView:
    """Containers by id, and by the uid of their instance."""

    def __init__(
        self,
        runtime: Runtime,
        changed: Callable[[str], None],
        image_changed: Callable[[str], None] = lambda _: None,
        availability_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._runtime = runtime
        self._changed, self._image_changed, self._availability_changed = changed, image_changed, availability_changed
        self._containers: dict[str, ContainerState] = {}
        self._by_uid: dict[str, set[str]] = {}
        self.error = "the runtime has not been asked yet"
        """Why what is held may be out of date; empty while the event stream is well."""
        self.down_since = time.time()
        self.listed = asyncio.Event()
        """Set once the node has been listed for the first time."""
        self.listed_at = self.event_at = 0.0
        """When the node was last listed, and when the runtime last sent an event, in seconds since the epoch; 0: never."""

    # --- reading

    def of(self, uid: str) -> tuple[ContainerState, ...]:
        """The containers of one instance."""
        return tuple(self._containers[i] for i in self._by_uid.get(uid, ()))

    def all(self) -> tuple[ContainerState, ...]:
        """Every container."""
        return tuple(self._containers.values())

    # --- the answers to the agent's own calls

    def put(self, state: ContainerState) -> None:
        """Take in the state of one container, unless something newer is known."""
        known = self._containers.get(state.id)
        if known is not None and _LIFE[known.phase] > _LIFE[state.phase]:
            self._store(replace(known, started_at=known.started_at or state.started_at))
            return
        self._store(_kept(known, state))

    def drop(self, container_id: str) -> None:
        """It is confirmed that this container is gone."""
        known = self._containers.pop(container_id, None)
        if known is not None:
            uid = known.labels.get(labels.INSTANCE_UID, "")
            self._by_uid.get(uid, set()).discard(container_id)
            if not self._by_uid.get(uid):
                self._by_uid.pop(uid, None)
            self._changed(uid)

    async def refresh(self, container_id: str) -> None:
        """Ask for one container anew, after an answer that did not fit what was known."""
        known = self._containers.get(container_id)
        try:
            state = await self._runtime.inspect(container_id)
        except NotFound:
            self.drop(container_id)
            return
        newest = self._containers.get(container_id)
        if newest is known:
            self._store(_kept(known, state))
        elif newest is not None:  # an event came while the answer was on its way
            self.put(state)

    # --- the runtime's own news

    async def run(self) -> None:
        """Follow the runtime for ever."""
        failures = 0
        while True:
            try:
                await self._follow()
            except RuntimeFailure as exc:
                if not self.error:
                    log.warning("the runtime does not answer: %s", exc)
                    self.down_since = time.time()
                    failures = 0
                self.error = str(exc)
                self._availability_changed()
            failures = min(failures + 1, 4)
            await asyncio.sleep(0.1 * 2**failures * random.uniform(0.7, 1.3))  # noqa: S311 - jitter

    async def _follow(self) -> None:
        lister: asyncio.Task[None] | None = None
        await self._runtime.info()  # raises when it is too old
        try:
            async for event in self._runtime.events():
                if event.kind is EventKind.SUBSCRIBED:
                    await self._list()
                    lister = asyncio.create_task(self._relist_for_ever(), name="relist")
                else:
                    self.event_at = time.time()
                    metrics.RUNTIME_EVENTS.inc()
                    self._apply(event)
        finally:
            if lister is not None:
                lister.cancel()
                await asyncio.gather(lister, return_exceptions=True)

    async def _relist_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RELIST_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - jitter
            try:
                await self._list()
            except RuntimeFailure as exc:
                log.warning("listing the node's containers failed, the next try is in a minute: %s", exc)

    async def _list(self) -> None:
        before = dict(self._containers)
        listed = {state.id: state for state in await self._runtime.list()}
        for container_id, known in before.items():
            if container_id not in listed and self._containers.get(container_id) is known:
                self.drop(container_id)
        for state in listed.values():
            if state.id in self._containers or state.id not in before:  # else removed while the list was on its way
                self.put(state)
        recovered, self.error = bool(self.error), ""
        self.listed_at = time.time()
        self.listed.set()
        if recovered:
            self._availability_changed()

    def _apply(self, event: RuntimeEvent) -> None:
        if event.kind is EventKind.IMAGE_CHANGED:
            self._image_changed(event.image)
            return
        known = self._containers.get(event.container_id)
        if known is None:
            return
        match event.kind:
            case EventKind.EXITED:
                self.put(replace(known, phase=Phase.EXITED, pid=0, exit_code=event.exit_code, exited_at=event.at))
            case EventKind.OOM:
                self._store(replace(known, oom_killed=True))
            case EventKind.REMOVED:
                self.drop(event.container_id)
            case EventKind.PAUSED if known.phase is Phase.RUNNING:
                self._store(replace(known, phase=Phase.PAUSED))
            case EventKind.RESUMED if known.phase is Phase.PAUSED:
                self._store(replace(known, phase=Phase.RUNNING))
            case _:
                pass

    def _store(self, state: ContainerState) -> None:
        known = self._containers.get(state.id)
        if known == state:
            return
        uid = state.labels.get(labels.INSTANCE_UID, "")
        if known is not None and known.labels.get(labels.INSTANCE_UID, "") != uid:
            self.drop(state.id)  # somebody gave it to another instance
        self._containers[state.id] = state
        self._by_uid.setdefault(uid, set()).add(state.id)
        self._changed(uid)


def _kept(known: ContainerState | None, state: ContainerState) -> ContainerState:
    """The new state, with what only the past could tell: when it was started, and that memory ran out."""
    if known is None:
        return state
    return replace(
        state,
        started_at=known.started_at if state.started_at is None else state.started_at,
        oom_killed=known.oom_killed or state.oom_killed,
    )
