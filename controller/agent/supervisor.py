"""One supervisor for each instance: wake, observe, plan, report, act; again until there is nothing to do.

It is level-triggered: what woke it does not matter. It lives on the store, on the runtime's events and on its own deadlines,
and never waits for the API server before it does what the node has to do.
"""

import asyncio
import logging
import time
from dataclasses import replace
from typing import Final

from controller.agent.acting.actor import AROUND, Actor, turn
from controller.agent.acting.hands import Hands
from controller.agent.decide.actions import Action
from controller.agent.decide.eviction import size_limits
from controller.agent.decide.observation import Desired, Observation
from controller.agent.decide.plan import Plan, Verdict, plan
from controller.agent.decide.status import instance_status
from controller.agent.decide.volumes.contents import tokens
from controller.agent.observe import Notes, known, observe
from controller.agent.report.finalizer import Finalizer
from controller.agent.report.writer import StatusWriter
from controller.agent.stopwatch import Stopwatch
from controller.agent.store import Store
from controller.api import conditions
from controller.api.amounts import NOTHING, instance_requests
from controller.api.reasons import REFUSALS, Reason
from controller.runtime.port import RuntimeFailure, Unavailable

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
"""Pauses while the runtime or the API server does not answer."""

ANNOUNCED: Final = {
    Reason.CRASH_LOOP_BACK_OFF: Reason.BACK_OFF,
    Reason.INVALID_IMAGE_NAME: Reason.FAILED,
    Reason.ERR_IMAGE_NEVER_PULL: Reason.FAILED,
    Reason.RUNTIME_CLASS_UNAVAILABLE: Reason.FAILED,
    **dict.fromkeys(REFUSALS, Reason.FAILED),
}
"""Verdicts that are told in an Event when they begin; failures of actions are told by the actor."""


WHOLE: Final = ""
"""Name under which it is kept what was announced of the instance itself."""


class Supervisor:
    """Keeps one instance as it is wanted, until nothing of it is left."""

    def __init__(self, uid: str, store: Store, hands: Hands, writer: StatusWriter, finalizer: Finalizer) -> None:
        self._uid, self._store, self._hands = uid, store, hands
        self._writer, self._finalizer = writer, finalizer
        self._notes = Notes()
        self._woken = asyncio.Event()
        self._actor = Actor(hands, self._notes, self.wake)
        self._ending = False
        self._pause = FIRST_PAUSE_SECONDS
        self._reasons: dict[str, tuple[Reason, str]] = {}
        """What each container's verdict was, and what was missing, when it was last announced."""
        self._told: object = None
        """What the last submitted status was made from."""
        self._done: tuple[Action, ...] = ()
        self._stopwatch = Stopwatch()

    def wake(self) -> None:
        """Look again."""
        self._woken.set()

    def end(self) -> None:
        """End after what is under way; what runs on the node goes on."""
        self._ending = True
        self._woken.set()

    async def run(self) -> None:
        """Return when the instance is gone, or after `end`."""
        while not self._ending:
            self._woken.clear()
            if not self._hands.view.listed.is_set():
                await self._woken.wait()  # without a list of what exists, nothing may be concluded
                continue
            desired = self._store.get(self._uid)
            if desired is None:
                return
            try:
                wake_at = await self._round(desired)
            except RuntimeFailure as exc:
                level = logging.DEBUG if isinstance(exc, Unavailable) else logging.WARNING
                log.log(level, "%s/%s: %s", desired.instance.metadata.namespace, desired.instance.metadata.name, exc)
                wake_at = self._later()
            except Exception:
                log.exception("%s/%s: trying again", desired.instance.metadata.namespace, desired.instance.metadata.name)
                wake_at = self._later()
            await self._wait(wake_at)

    async def _round(self, desired: Desired) -> float | None:
        """One round; returns when to look again (None: when woken)."""
        if desired.deleting:
            self._stopwatch.deleting()
            self._writer.forget(self._uid)  # what is still to be told of it must not be told of a namesake
        else:
            self._finalizer.ensure(desired)
        seen, decided = await self._look(desired)
        if decided.actions:
            await self._act(desired, seen, decided)
            if decided.actions == self._done:
                return self._later()  # the same again: it had no effect, so not at full speed
            self._pause, self._done = FIRST_PAUSE_SECONDS, decided.actions
            return time.time()
        self._done = ()
        if decided.torn_down:
            return await self._torn_down(desired, decided)
        return decided.wake_at

    async def _look(self, desired: Desired) -> tuple[Observation, Plan]:
        """Observe, decide, and have told what is the case."""
        hands = self._hands
        around = (hands.view, hands.images, hands.networks, hands.volumes, hands.levels, hands.classes, hands.probes)
        given = known(desired, hands.sources, hands.tokens, hands.networks, self._notes, hands.node)
        seen = await observe(desired, *around, given, self._notes)
        hands.probes.follow(desired, seen.containers, seen.stopping)
        self._actor.suspicions.follow(desired, seen)
        now = time.time()
        decided, seen = self._decide(desired, seen, now)
        self._note_use(desired, decided)
        self._announce(desired, decided)
        case = (desired, decided.verdicts, decided.torn_down, decided.blocked, decided.addresses, decided.ending)
        if not desired.deleting and (decided.blocked or not decided.waits) and case != self._told:
            self._told = case
            status = instance_status(desired, decided, self._hands.node, now)
            wanted = not desired.instance.spec.suspend
            ready = conditions.is_true(status.conditions, conditions.READY)
            self._stopwatch.seen(new=wanted and not seen.containers, ready=wanted and ready)
            self._writer.submit(self._uid, status)
        return seen, decided

    def _decide(self, desired: Desired, seen: Observation, now: float) -> tuple[Plan, Observation]:
        """The plan, with what room there is; a place is taken, or given back, in the same moment."""
        room, spec, asked = self._hands.room, desired.instance.spec, NOTHING
        wanted = not (desired.deleting or spec.suspend)
        if wanted:
            asked = instance_requests(spec) + self._hands.classes.overhead(spec.runtime_class_name)
            seen = replace(seen, shortage=room.shortage(self._uid, asked))
        decided = plan(desired, seen, now)
        self._hands.volumes.follow(self._uid, size_limits(spec) if wanted else (), measured=not decided.idle)
        if decided.waits:
            return decided, seen
        if decided.idle:
            room.leave(self._uid)
        elif seen.shortage is not None:
            room.wait(self._uid)
        elif wanted:
            room.take(self._uid, asked)
        return decided, seen

    def _note_use(self, desired: Desired, decided: Plan) -> None:
        """Tokens are had for what runs or is to run, and for nothing that has ended, waits for its spec, or is refused."""
        if decided.waits or decided.idle != self._notes.in_use:
            return
        self._notes.in_use = not decided.idle
        if tokens(desired.instance):
            self.wake()

    async def _act(self, desired: Desired, seen: Observation, decided: Plan) -> None:
        """Do what is quick at once, and the rest when it is its turn; if the world moved meanwhile, what is right by then.

        Networks and volumes have turns of their own, since a plugin or a file system that hangs must not keep those waiting
        that need none. What comes after one is decided when it is there.
        """
        around = [a for a in decided.actions if isinstance(a, AROUND)]
        quick = [a for a in decided.actions if turn([a]) is None and not isinstance(a, AROUND)]
        await self._actor.carry_out(desired, [*quick, *around], seen.images)
        if around:
            return
        heavy = [a for a in decided.actions if turn([a]) is not None]
        priority = turn(heavy)
        if priority is None:
            return
        async with self._hands.slots.take(priority):
            newest = self._store.get(self._uid)
            if newest is not None and self._woken.is_set():
                self._woken.clear()
                desired = newest
                seen, decided = await self._look(desired)
                heavy = list(decided.actions)
                if any(isinstance(a, AROUND) for a in heavy):
                    return  # it has a turn of its own in the next round, and not this slot
            await self._actor.carry_out(desired, heavy, seen.images)

    def _announce(self, desired: Desired, decided: Plan) -> None:
        """An Event for each container that begins to wait: for its next try, or for somebody to mend what it names."""
        if decided.waits:
            return
        now = {name: (v.reason, v.message if v.missing else "") for name, v in decided.verdicts.items()}
        before, self._reasons = self._reasons, now
        news = {
            verdict.told(name, verdict.message): event
            for name, verdict in decided.verdicts.items()
            if (event := _event(verdict)) and before.get(name) != now[name]
        }
        if (ending := decided.ending) is not None:
            now[WHOLE] = (ending.reason, "")
            if before.get(WHOLE) != now[WHOLE]:
                news[ending.message] = ending.reason
        for message, event in news.items():
            self._hands.events.record(desired.instance, event, message, warning=True)

    async def _torn_down(self, desired: Desired, decided: Plan) -> float | None:
        self._notes.forget()
        if not desired.deleting:
            return decided.wake_at
        meta = desired.instance.metadata
        await self._hands.logs.remove(meta.namespace, meta.name, meta.uid)
        self._hands.files.remove(meta.uid)
        if not await self._finalizer.remove(desired):
            return self._later()
        self._store.remove(self._uid)
        self._stopwatch.deleted()
        return time.time()

    def _later(self) -> float:
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return time.time() + pause

    async def _wait(self, wake_at: float | None) -> None:
        if wake_at is None:
            await self._woken.wait()
            return
        pause = wake_at - time.time()
        if pause <= 0 or self._woken.is_set():
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(pause):
                await self._woken.wait()
        except TimeoutError:
            pass


def _event(verdict: Verdict) -> Reason | None:
    """Reason of the Event that tells of a verdict when it begins; None when there is none."""
    if verdict.missing:
        return Reason.FAILED_MOUNT if verdict.reason is Reason.FAILED_MOUNT else Reason.FAILED
    return ANNOUNCED.get(verdict.reason)
