"""One workload: read the caches, decide, write, report."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from controller.api.conditions import READY, find
from controller.api.workload import WorkloadStatus
from controller.kube.client import Client
from controller.kube.errors import ApiNotFound
from controller.kube.patch import delta
from controller.kube.resources import WORKLOADS
from controller.manager import metrics
from controller.manager.apply import Writer
from controller.manager.cache import Cache
from controller.manager.decide import rollout, status
from controller.manager.decide.decision import Decision
from controller.manager.decide.values import Key, Workload
from controller.manager.remembered import Memory, first_seen
from controller.pauses import doubled

log = logging.getLogger(__name__)

HOLD_SECONDS: Final = 1.0
"""How long a status that only tells of progress is held back, so that what becomes ready meanwhile is told once."""

LONGEST_HOLD_SECONDS: Final = 5.0
RETRY_FIRST_SECONDS: Final = 2.0
RETRY_LONGEST_SECONDS: Final = 60.0
"""Pauses before a write that was refused is tried again, doubling."""


class NotTaken(Exception):  # noqa: N818 - said to people as it is
    """A write was accepted and changed nothing: it is repeated with growing pauses, not at once."""


@dataclass(slots=True)
class _Memory(Memory):
    """With what came of the last writes."""

    refusal: status.Refusal | None = None
    refusals: int = 0
    retry_at: float = 0.0


class Reconciler:
    """Reconciles workloads by key."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        hold_seconds: float = HOLD_SECONDS,
        stale: Callable[[], str] = lambda: "",
    ) -> None:
        """Prepare it; `stale` says which installed definitions differ from this manager's own, empty when none does."""
        self._stale = stale
        self._client, self._cache, self._hold = client, cache, hold_seconds
        self._writer = Writer(client, cache)
        self._memories: dict[Key, _Memory] = {}
        self.unplaced: set[Key] = set()
        """Workloads that wait for room on a node."""

    async def reconcile(self, key: Key) -> float | None:
        """Bring one workload forward; the seconds until time alone changes something, or None.

        Raises:
            ApiFailure: when the API server did not take a write for now.
            NotTaken: when a write had no effect.
        """
        workload = self._cache.workloads.get(key)
        if workload is None or workload.deleting:  # its instances are the garbage collector's
            self._memories.pop(key, None)
            self.unplaced.discard(key)
            return None
        memory = self._remember(workload)
        done = await self._act(workload, memory)
        workload = self._cache.workloads.get(key)
        if workload is None or not memory.is_of(workload.uid, workload.generation):
            return 0.0
        decision = self._decide(workload)
        if _same(done, decision):
            raise NotTaken(f"instances {', '.join(p.instance.key.name for p in decision.patches)} do not take the template")
        (self.unplaced.add if decision.unplaced else self.unplaced.discard)(key)
        facts = status.Facts(
            workload=workload,
            instances=self._cache.owned_by(workload.uid),
            decision=decision,
            fleet=self._cache.fleet(time.monotonic(), time.time()),
            now=time.time(),
            first_seen=memory.first_seen,
            refusal=memory.refusal,
            stale=self._stale(),
        )
        told_in = await self._report(facts, memory)
        if self._changed(workload):  # the answer to that write has brought it: when the watch does, it is no news any more
            return 0.0
        again = None if decision.idle else 0.0
        return _soonest(again if memory.refusal is None else None, told_in, self._next(facts, memory))

    def _changed(self, workload: Workload) -> bool:
        """Whether somebody has asked for something else meanwhile."""
        known = self._cache.workloads.get(workload.key)
        return known is not None and (known.uid, known.generation) != (workload.uid, workload.generation)

    def _remember(self, workload: Workload) -> _Memory:
        memory = self._memories.get(workload.key)
        if memory is None or not memory.is_of(workload.uid, workload.generation):
            since = first_seen(memory, workload.status.conditions, workload.generation)
            memory = self._memories[workload.key] = _Memory(workload.uid, workload.generation, since)
        return memory

    def _decide(self, workload: Workload) -> Decision:
        now = time.time()
        fleet = self._cache.fleet(time.monotonic(), now)
        return rollout.decide(workload, self._cache.owned_by(workload.uid), fleet, now, self._cache.taken(workload))

    async def _act(self, workload: Workload, memory: _Memory) -> Decision | None:
        """Make the writes that are due; what was done, or None when nothing was."""
        decision = self._decide(workload)
        if decision.idle:
            memory.refusal, memory.refusals = None, 0
            return None
        if memory.refusal is not None and time.monotonic() < memory.retry_at:
            return None
        memory.refusal = await self._writer.apply(workload, decision)
        if memory.refusal is None:
            memory.refusals = 0
            return decision
        pause = doubled(RETRY_FIRST_SECONDS, RETRY_LONGEST_SECONDS, memory.refusals)
        memory.refusals += 1
        memory.retry_at = time.monotonic() + pause
        log.warning("%s/%s: %s (again in %.0f s)", *workload.key, memory.refusal.message, pause)
        return None

    async def _report(self, facts: status.Facts, memory: _Memory) -> float | None:
        """Write the status when it changed; seconds until a held one is due."""
        new = status.summarize(facts)
        change = delta(facts.workload.told, new.to_json())
        if not change:
            memory.held_since = None
            return None
        if held := memory.held(new.conditions, self._hold_seconds):
            return held
        await self._write(facts.workload, change, new)
        return None

    async def _write(self, workload: Workload, change: dict[str, Any], new: WorkloadStatus) -> None:
        body = {"metadata": {"uid": workload.uid}, "status": change}
        try:
            answer = await self._client.patch(WORKLOADS, workload.key.name, body, workload.key.namespace, subresource="status")
        except ApiNotFound:
            self._cache.drop_workload(workload.key, workload.uid)
            return
        self._cache.put_workload(answer)
        metrics.WRITES.labels("status").inc()
        ready = find(new.conditions, READY)
        if ready is not None:
            log.info("%s/%s: %s %s %s", *workload.key, new.ready, ready.reason, ready.message)

    def _hold_seconds(self) -> float:
        """Longer while many workloads come up at once: then each soon has something better to tell."""
        held = sum(m.held_since is not None for m in self._memories.values())
        return min(max(LONGEST_HOLD_SECONDS, self._hold), self._hold * (1 + held / 20))

    def _next(self, facts: status.Facts, memory: _Memory) -> float | None:
        times = [facts.decision.wake_at]
        if not status.judge(facts).ready:
            times.append(status.deadline(facts))
        ahead = [at - facts.now for at in times if at is not None and at > facts.now]
        if memory.refusal is not None:
            ahead.append(max(0.0, memory.retry_at - time.monotonic()))
        return min(ahead) + 0.01 if ahead else None


def _same(done: Decision | None, now: Decision) -> bool:
    """Whether one of the patches that were made is wanted again."""
    made = [p.body for p in done.patches] if done else []
    return any(p.body in made for p in now.patches)


def _soonest(*seconds: float | None) -> float | None:
    return min((s for s in seconds if s is not None), default=None)
