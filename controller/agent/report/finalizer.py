"""The agent's finalizer: on while something of the instance may be on the node, off when its absence is confirmed."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from controller.agent.decide.observation import Desired
from controller.api.instance import ContainerInstance
from controller.api.labels import FINALIZER
from controller.kube.client import Client
from controller.kube.errors import ApiConflict, ApiFailure, ApiNotFound, ApiUnavailable
from controller.kube.pauses import Forever
from controller.kube.resources import INSTANCES

log = logging.getLogger(__name__)


class Finalizer:
    """Sets and removes the finalizer of this node's instances."""

    def __init__(self, client: Client, seen: Callable[[dict[str, Any]], None]) -> None:
        self._client, self._seen = client, seen
        self._setting: dict[str, asyncio.Task[None]] = {}

    def ensure(self, desired: Desired) -> None:
        """See to it that the finalizer is set, beside the work: an API server that is away must not keep the node from it.

        The manager creates instances with it; only those written by hand cost this write.
        """
        meta = desired.instance.metadata
        if FINALIZER in meta.finalizers or meta.uid in self._setting:
            return
        task = asyncio.create_task(self._set(desired), name=f"finalizer of {meta.name}")
        self._setting[meta.uid] = task
        task.add_done_callback(lambda _: self._setting.pop(meta.uid, None))

    async def remove(self, desired: Desired) -> bool:
        """Remove the finalizer; whether that is done, or the object is gone anyway. False: try again later."""
        meta = desired.instance.metadata
        if desired.gone or FINALIZER not in meta.finalizers:
            return True
        try:
            await self._patch(desired, [f for f in meta.finalizers if f != FINALIZER])
        except ApiNotFound:
            return True
        except ApiConflict:
            await self._look_again(desired)
            return False
        except ApiUnavailable:
            return False
        except ApiFailure as exc:
            log.warning("the finalizer of %s/%s cannot be removed: %s", meta.namespace, meta.name, exc)
            return False
        return True

    async def _set(self, desired: Desired) -> None:
        """Try until it is set, or the object is gone, going, or has it."""
        for pause in Forever():
            meta = desired.instance.metadata
            try:
                self._seen(await self._patch(desired, [*meta.finalizers, FINALIZER]))
            except ApiNotFound:
                return
            except ApiConflict:
                newer = await self._look_again(desired)
                if newer is None or newer.deleting or FINALIZER in newer.instance.metadata.finalizers:
                    return
                desired = newer
            except ApiFailure as exc:
                log.debug("the finalizer of %s/%s is set later: %s", meta.namespace, meta.name, exc)
            else:
                return
            await asyncio.sleep(pause)

    async def _patch(self, desired: Desired, finalizers: list[str]) -> dict[str, Any]:
        meta = desired.instance.metadata
        body = {"metadata": {"resourceVersion": meta.resource_version, "uid": meta.uid, "finalizers": finalizers}}
        return await self._client.patch(INSTANCES, meta.name, body, meta.namespace)

    async def _look_again(self, desired: Desired) -> Desired | None:
        """Somebody wrote in between: take in what is there now; None when that object is gone or cannot be asked for."""
        meta = desired.instance.metadata
        try:
            found = await self._client.get(INSTANCES, meta.name, meta.namespace)
        except ApiFailure as exc:
            log.debug("%s/%s: %s", meta.namespace, meta.name, exc)
            return None
        if found["metadata"]["uid"] != meta.uid:
            return None
        self._seen(found)
        return Desired(ContainerInstance.model_validate(found))
