"""A decision -> writes. The answers go into the cache, so that the next decision starts from them."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

from controller.api.hostports import host_ports
from controller.kube.client import Client
from controller.kube.errors import (
    ApiAlreadyExists,
    ApiConflict,
    ApiDenied,
    ApiFailure,
    ApiForbidden,
    ApiInvalid,
    ApiNotFound,
)
from controller.kube.resources import INSTANCES
from controller.manager import metrics
from controller.manager.cache import Cache, Places
from controller.manager.decide.decision import Create, Decision, Delete, Patch
from controller.manager.decide.runtimeclass import takes
from controller.manager.decide.status import Refusal
from controller.manager.decide.values import Key, Workload

log = logging.getLogger(__name__)

PARALLEL_WRITES: Final = 8
"""Writes that are under way at once, over all workloads."""


class Writer:
    """Carries out decisions."""

    def __init__(self, client: Client, cache: Cache) -> None:
        self._client, self._cache = client, cache
        self._slots = asyncio.Semaphore(PARALLEL_WRITES)

    async def apply(self, workload: Workload, decision: Decision) -> Refusal | None:
        """Make all writes; the first refusal, if one was refused.

        Creations wait until every deletion has been taken, so that a place in the row is given up before it is taken anew.

        Raises:
            ApiFailure: when one failed for now. The others were made nevertheless, save for creations behind a deletion.
        """
        template = workload.spec.template.spec
        asked = takes(template, self._cache.classes)
        places = Places(tuple(c.node for c in decision.creates), host_ports(template.all_containers), asked)
        self._cache.reserve(places)
        try:
            results = await self._all(
                *(self._delete(workload, d) for d in decision.deletes), *(self._patch(workload, p) for p in decision.patches)
            )
            if not any(results[: len(decision.deletes)]):
                results += await self._all(*(self._create(workload, c) for c in decision.creates))
        finally:
            self._cache.release(places, workload.key)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return next((r for r in results if isinstance(r, Refusal)), None)

    async def _all(self, *writes: Coroutine[Any, Any, None]) -> list[Refusal | BaseException | None]:
        return await asyncio.gather(*map(self._guarded, writes), return_exceptions=True)

    async def _guarded(self, write: Coroutine[Any, Any, None]) -> Refusal | None:
        async with self._slots:
            try:
                await write
            except (ApiInvalid, ApiDenied) as exc:
                return Refusal(str(exc), final=True)
            except (ApiForbidden, _Taken) as exc:
                return Refusal(str(exc), final=False)
        return None

    async def _create(self, workload: Workload, create: Create) -> None:
        namespace, began = workload.key.namespace, time.monotonic()
        try:
            made = await self._client.create(INSTANCES, create.body, namespace)
            self._cache.created(made, began)
            metrics.WRITES.labels("create").inc()
            log.info("%s/%s: created instance %s on node %s", *workload.key, create.name, create.node)
        except ApiAlreadyExists:
            try:
                self._cache.put_instance(await self._client.get(INSTANCES, create.name, namespace))
            except ApiNotFound:
                return  # gone in between: its event wakes the workload
        except ApiNotFound as exc:  # the namespace is gone, or on its way out
            raise ApiForbidden(str(exc)) from exc
        known = self._cache.instances.get(Key(namespace, create.name))
        if known is not None and known.owner != workload.uid:
            raise _Taken(f"instance {create.name} is there already and belongs to somebody else: rename or delete it")

    async def _patch(self, workload: Workload, patch: Patch) -> None:
        key = patch.instance.key
        try:
            self._cache.put_instance(await self._client.patch(INSTANCES, key.name, patch.body, key.namespace))
        except (ApiNotFound, ApiConflict) as exc:
            self._gone(patch.instance.key, patch.instance.uid, exc)
            return
        metrics.WRITES.labels("patch").inc()
        log.info("%s/%s: brought instance %s up to date", *workload.key, key.name)

    async def _delete(self, workload: Workload, delete: Delete) -> None:
        key, uid = delete.instance.key, delete.instance.uid
        try:
            await self._client.delete(INSTANCES, key.name, key.namespace, uid=uid)
        except (ApiNotFound, ApiConflict) as exc:
            self._gone(key, uid, exc)
            return
        self._cache.mark_deleting(delete.instance)
        metrics.WRITES.labels("delete").inc()
        log.info("%s/%s: deleted instance %s: %s", *workload.key, key.name, delete.why)

    def _gone(self, key: Key, uid: str, why: ApiFailure) -> None:
        """The object, or exactly this one of its name, does not exist any more."""
        log.debug("%s/%s: %s", *key, why)
        self._cache.drop_instance(key, uid)


class _Taken(Exception):  # noqa: N818 - no error of the program
    """The name of an instance belongs to somebody else."""
