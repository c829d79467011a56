"""One node: tell when it fell silent, and let go of instances that no agent will ever confirm.

A RuntimeNode that is deleted says that the node will not come back. Its instances that are being deleted would wait for its
agent for ever, so after a pause (the agent of a living node puts its RuntimeNode back within it) their finalizer is taken off.
"""

import logging
import time
from typing import Final

from controller.api.conditions import READY, Condition, timestamp
from controller.api.labels import FINALIZER
from controller.api.reasons import Reason
from controller.kube.client import Client
from controller.kube.errors import ApiConflict, ApiNotFound
from controller.kube.patch import without_finalizer
from controller.kube.resources import INSTANCES, NODES
from controller.manager import metrics
from controller.manager.cache import Cache
from controller.manager.decide.availability import ABSENT_SECONDS
from controller.manager.decide.values import Instance, Node

log = logging.getLogger(__name__)

_ROUNDING_SECONDS: Final = 0.05
"""Added to a wake-up so that it does not come a moment too early."""


class NodeReconciler:
    """Reconciles nodes by name."""

    def __init__(self, client: Client, cache: Cache) -> None:
        self._client, self._cache = client, cache
        self._alive: dict[str, bool] = {}

    def is_alive(self, name: str) -> bool:
        """What the last reconcile found."""
        return self._alive.get(name, False)

    async def reconcile(self, name: str) -> tuple[bool, float | None]:
        """Look at one node; whether its state changed for the workloads, and the seconds until it may again.

        Raises:
            ApiFailure: when the API server did not take a write for now.
        """
        mono, now = time.monotonic(), time.time()
        fleet = self._cache.fleet(mono, now)
        node = fleet.nodes.get(name)
        if node is None:
            changed = self._alive.pop(name, None) is not None
            return changed, await self._let_go(name, now - fleet.absent.get(name, now))
        changed = self._alive.get(name) != node.alive
        self._alive[name] = node.alive
        if changed:
            log.info("node %s %s", name, "is heard" if node.alive else "is not heard")
        if not node.alive and node.lost_at is not None:
            changed = await self._tell_lost(node) or changed
        at = self._cache.heartbeats.next_change(name, mono)
        return changed, None if at is None else at - mono + _ROUNDING_SECONDS

    async def _tell_lost(self, node: Node) -> bool:
        """Ready=Unknown in the node's status, as nobody else can write it now; its agent corrects it when it is back.

        Returns:
            Whether it was written. The answer may have brought something else that has changed of the node, taints for
            instance, and when the watch does, it is no news any more.
        """
        if node.reported is not None and node.reported.reason == Reason.AGENT_STOPPED:
            return False
        ready = Condition(
            type=READY,
            status="Unknown",
            reason=Reason.AGENT_STOPPED,
            message="the agent stopped reporting",
            last_transition_time=timestamp(time.time()),
            observed_generation=node.reported.observed_generation if node.reported else None,
        )
        try:
            found = await self._client.get(NODES, node.name)
            conditions = [c for c in (found.get("status") or {}).get("conditions") or [] if c.get("type") != READY]
            body = {
                "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
                "status": {"conditions": [ready.to_json(), *conditions]},
            }
            answer = await self._client.patch(NODES, node.name, body, subresource="status")
        except (ApiNotFound, ApiConflict) as exc:  # gone, or its agent is back: an event is under way
            log.debug("node %s: %s", node.name, exc)
            return False
        metrics.WRITES.labels("node").inc()
        self._cache.put_node(answer, time.monotonic())
        return True

    async def _let_go(self, name: str, absent: float) -> float | None:
        """Take the agent's finalizer off what is being deleted there; seconds until that may be done."""
        waiting = [i for i in self._cache.on_node(name) if i.deleting and FINALIZER in i.finalizers]
        if not waiting:
            return None
        if absent < ABSENT_SECONDS:
            return ABSENT_SECONDS - absent + _ROUNDING_SECONDS
        for instance in waiting:
            await self._release(instance)
        return None

    async def _release(self, instance: Instance) -> None:
        key = instance.key
        try:
            found = await self._client.get(INSTANCES, key.name, key.namespace)
            meta = found["metadata"]
            body = without_finalizer(found)
            if meta["uid"] != instance.uid or not meta.get("deletionTimestamp") or body is None:
                return
            await self._client.patch(INSTANCES, key.name, body, key.namespace)
        except ApiNotFound:
            self._cache.drop_instance(key, instance.uid)
            return
        except ApiConflict as exc:
            log.debug("%s/%s: %s", *key, exc)
            return
        metrics.WRITES.labels("release").inc()
        log.warning("%s/%s: its node %s is gone: no agent confirms that nothing is left of it", *key, instance.node)
