"""One container's hooks and probes: what they have found so far, and the tasks that go on finding it.

First the postStart handler, then the startup probe, then the other two side by side. What was found is noted in labels of the
container, before it is acted upon where that must not be forgotten (a start, a failure), and now and then otherwise
(readiness).
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from controller.agent import metrics
from controller.agent.decide import health
from controller.agent.probes.handlers import Handlers, Subject
from controller.agent.probes.outcome import NoOutcome, Outcome
from controller.agent.probes.rounds import Kind, Row, Schedule, first
from controller.agent.view import NodeView
from controller.api import labels
from controller.api.probes import Probe
from controller.api.reasons import Reason
from controller.api.spec import Container
from controller.runtime.port import ContainerState, RuntimeFailure

log = logging.getLogger(__name__)

NOTE_SECONDS: Final = 5.0
"""Pause between two notes of a container's readiness."""

GIVE_WAY_SECONDS: Final = 5.0
"""How long a command gives way to crashed containers that come back, its wait for a turn included: that may never end."""


@dataclass(frozen=True, slots=True)
class Room:
    """What all attendants share."""

    handlers: Handlers
    view: NodeView
    connections: asyncio.Semaphore
    """Probes by network that are made at the same time."""
    commands: asyncio.Semaphore
    """Commands that run at the same time: each is a process that the runtime has to start, at half the cost of a container."""
    calm: asyncio.Event
    """Set while no crashed container comes back: commands give way to that, for a while."""
    began: float
    """When this agent began, in seconds since the epoch."""

    @asynccontextmanager
    async def turn(self, *, command: bool) -> AsyncIterator[None]:
        """Wait until it is the caller's turn."""
        asked = asyncio.get_running_loop().time()
        async with self.commands if command else self.connections:
            if command:
                await self._give_way(asked)
            metrics.PROBE_WAIT_SECONDS.observe(asyncio.get_running_loop().time() - asked)
            yield

    async def _give_way(self, asked: float) -> None:
        longest = asked + GIVE_WAY_SECONDS - asyncio.get_running_loop().time()
        if longest > 0 and not self.calm.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(longest):
                    await self.calm.wait()


class Attendant:
    """Looks after one container that runs."""

    def __init__(self, room: Room, state: ContainerState, changed: Callable[[], None], tell: "Tell") -> None:
        self._room, self._id, self._changed, self._tell = room, state.id, changed, tell
        self.health = health.noted(state)
        self._began = state.started_at if state.started_at is not None else state.created_at
        self._adopted = self._began < room.began
        self._hooks = state.labels.get(labels.HOOKS, "")
        self._noted_ready = self.health.ready
        self._subject: Subject | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._watched: dict[str, Probe] = {}
        self._unmade: dict[str, str] = {}
        """Why a probe could not be made, as it was last told."""

    def attend(self, subject: Subject) -> None:
        """Look after it as its spec says now."""
        before, self._subject = self._subject, subject
        if before is not None and before.container is subject.container:
            return
        if before is not None:
            self._changed_spec(before.container, subject.container)
        if health.hooks_label(subject.container) != self._hooks:
            self._hooks = health.hooks_label(subject.container)
            self._run("note of hooks", self._note({labels.HOOKS: self._hooks}))
        self._arrange()

    def rest(self) -> None:
        """Stop looking after it; what was found stays known."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._watched.clear()
        self._subject = None

    def _changed_spec(self, old: Container, new: Container) -> None:
        """A container that runs has started, and is as ready as it was, whatever probe it is given now."""
        judged = health.state(old, self.health)
        started = new.startup_probe is not None and old.startup_probe is None and judged.started
        ready = new.readiness_probe is not None and old.readiness_probe is None and not judged.unready
        if started or ready:
            self._found(started=started or self.health.started, ready=ready or self.health.ready)
            marks = {labels.STARTUP: started, labels.READINESS: ready}
            self._run("note of a new probe", self._note({label: health.PASSED for label, true in marks.items() if true}))
            self._noted_ready = self._noted_ready or ready

    def _arrange(self) -> None:
        """Begin what is to be done now, and end what is not."""
        if self._subject is None:
            return
        wanted = self._wanted(self._subject.container)
        for kind, probe in tuple(self._watched.items()):
            if wanted.get(kind) != probe:
                self._watched.pop(kind)
                task = self._tasks.pop(kind, None)
                if task is not None and task is not asyncio.current_task():
                    task.cancel()
        if self.health.hooking and not self.health.failed and "hook" not in self._tasks:
            self._run("hook", self._post_start())
        for kind in wanted.keys() - self._watched.keys():
            self._watched[kind] = wanted[kind]
            self._run(kind, self._watch(Kind(kind), wanted[kind]))

    def _wanted(self, container: Container) -> dict[str, Probe]:
        """The probes that are to be made now."""
        judged = health.state(container, self.health)
        if judged.unhealthy or judged.hooking:
            return {}
        if not judged.started:
            found = {Kind.STARTUP: container.startup_probe}
        else:
            found = {Kind.READINESS: container.readiness_probe, Kind.LIVENESS: container.liveness_probe}
        return {kind: probe for kind, probe in found.items() if probe is not None}

    def _run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks[name] = asyncio.create_task(work, name=f"{name} of {self._id}")
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("%s of container %s ended by a defect", name, self._id, exc_info=failure)

    def _found(self, **changes: Any) -> None:
        self.health = replace(self.health, **changes)
        self._changed()

    # --- postStart

    async def _post_start(self) -> None:
        subject = self._subject
        handler = subject.container.lifecycle.post_start if subject is not None else None
        outcome = Outcome(ok=True)
        if subject is not None and handler is not None:
            try:
                outcome = await self._room.handlers.hook(handler, subject)
            except NoOutcome as exc:
                outcome = Outcome(ok=False, said=str(exc))
        if outcome.ok:
            await self._note({labels.POST_START: ""})
            self._found(hooking=False)
            self._arrange()
        else:
            self._tell(Reason.FAILED_POST_START_HOOK, f"postStart handler failed: {outcome.said}")
            await self._fail("postStart", outcome.said)

    # --- probes

    async def _watch(self, kind: Kind, probe: Probe) -> None:
        """Make one probe again and again."""
        loop = asyncio.get_running_loop()
        offset = loop.time() - time.time()
        chance = random.random()  # noqa: S311 - jitter
        schedule = first(kind, probe, began=self._began, now=time.time(), chance=chance, adopted=self._adopted)
        schedule = replace(schedule, due=schedule.due + offset, counted=schedule.counted + offset)
        row = Row()
        while True:
            await asyncio.sleep(max(0.0, schedule.due - loop.time()))
            async with self._room.turn(command=probe.exec is not None):
                outcome = await self._once(kind, probe)
            now = loop.time()
            trying, schedule = schedule.trying, self._next(schedule, probe, outcome, now)
            if outcome is None or (trying and not outcome.ok):
                continue
            told = row.ok is not outcome.ok
            row = row.then(ok=outcome.ok)
            if not outcome.ok and (told or row.count == probe.failure_threshold):
                self._tell(Reason.UNHEALTHY, f"{kind} probe failed: {outcome.said}")
            if row.counts(probe) and await self._take(kind, outcome):
                return

    @staticmethod
    def _next(schedule: Schedule, probe: Probe, outcome: Outcome | None, now: float) -> Schedule:
        if outcome is not None and outcome.ok and schedule.trying:
            return schedule.settled(probe, now)
        return schedule.after(probe, now)

    async def _once(self, kind: Kind, probe: Probe) -> Outcome | None:
        """Make it once; None when nothing was found out, which changes nothing, as for the kubelet."""
        if self._subject is None:
            return None
        try:
            outcome = await self._room.handlers.probe(probe, self._subject)
        except NoOutcome as exc:
            metrics.PROBES.labels(kind, "unknown").inc()
            if self._unmade.get(kind) != str(exc):
                self._unmade[kind] = str(exc)
                self._tell(Reason.UNHEALTHY, f"{kind} probe could not be made: {exc}")
            return None
        self._unmade.pop(kind, None)
        metrics.PROBES.labels(kind, "success" if outcome.ok else "failure").inc()
        if outcome.warning:
            self._tell(Reason.PROBE_WARNING, f"{kind} probe: {outcome.said}")
        return outcome

    async def _take(self, kind: Kind, outcome: Outcome) -> bool:
        """Take in what is believed now; whether this probe has come to its end by it."""
        match kind:
            case Kind.READINESS:
                if outcome.ok is not self.health.ready or (not outcome.ok and not self.health.said):
                    self._found(ready=outcome.ok, said="" if outcome.ok else outcome.said)
                    if "note" not in self._tasks:
                        self._run("note", self._note_readiness())
                return False
            case Kind.STARTUP if outcome.ok:
                await self._note({labels.STARTUP: health.PASSED})
                self._found(started=True, said="")
                self._watched.pop(kind, None)
                self._arrange()
                return True
            case _ if outcome.ok:
                return False
            case _:
                await self._fail(kind, outcome.said)
                return True

    async def _fail(self, cause: str, said: str) -> None:
        """It has to be restarted; nothing more is asked of it."""
        await self._note({labels.UNHEALTHY: f"{cause} {said}".strip()})
        self._found(failed=cause, said=said)
        self._arrange()

    async def _note_readiness(self) -> None:
        """Write it down when it has been the same for a while: a restarted agent begins with it, and finds out by itself."""
        while self._noted_ready is not self.health.ready:
            await asyncio.sleep(NOTE_SECONDS)
            ready = self.health.ready
            await self._note({labels.READINESS: health.PASSED if ready else ""})
            self._noted_ready = ready

    async def _note(self, found: dict[str, str]) -> None:
        """Write labels of the container; one that cannot be written is found out anew by the next agent."""
        try:
            await self._room.handlers.runtime.set_labels(self._id, found)
            await self._room.view.refresh(self._id)
        except RuntimeFailure as exc:
            log.debug("container %s cannot be noted to have %s: %s", self._id, found, exc)


Tell = Callable[[Reason, str], None]
"""Records a Warning about the container."""
