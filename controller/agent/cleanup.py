"""The cleanup pass: compare what exists on the node with what is wanted, repair it, and count it in a metric that must read 0.

Every path that makes something also removes it; this pass is for what no path can see: an instance whose finalizer was removed
by hand, or a state folder that was lost. It only acts on what the API server has confirmed since the start: an instance that is
merely unknown is left alone.
"""

import asyncio
import logging
import shutil
from typing import Final

from controller.agent import metrics
from controller.agent.acting.hands import Hands
from controller.agent.decide.volumes.wanted import VolumeFailure
from controller.agent.store import Store
from controller.api import labels
from controller.network.port import NetworkFailure
from controller.runtime.port import RuntimeFailure

log = logging.getLogger(__name__)

PASS_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 2.0
"""Pauses before the two passes after the runtime was away."""


class Cleanup:
    """Removes what belongs to no instance."""

    def __init__(self, store: Store, hands: Hands) -> None:
        self._store, self._view, self._runtime, self._images = store, hands.view, hands.runtime, hands.images
        self._logs, self._files, self._sources = hands.logs, hands.files, hands.sources
        self._networks, self._volumes = hands.networks, hands.volumes
        self._suspects: set[str] = set()
        self._exists: frozenset[str] = frozenset()
        self._confirmed = asyncio.Event()
        self._woken = asyncio.Event()

    def confirm(self, exists: frozenset[str]) -> None:
        """The API server has said which instances this node has, by uid: also one that is not understood is left alone."""
        self._exists = exists
        self._confirmed.set()

    async def run(self) -> None:
        """Look for ever. What is found must be found twice, a pass apart, before it is removed."""
        await self._confirmed.wait()
        while True:
            await self.once()
            try:
                async with asyncio.timeout(PASS_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue
            self._woken.clear()
            await asyncio.sleep(SETTLE_SECONDS)
            await self.once()
            await asyncio.sleep(SETTLE_SECONDS)

    def wake(self) -> None:
        """The runtime went away or came back: what it lost by that is looked for soon."""
        self._woken.set()

    async def once(self) -> None:
        """One pass."""
        if self._view.error:
            return
        found: set[str] = set()
        for container in self._view.all():
            uid = container.labels.get(labels.INSTANCE_UID, "")
            if uid and not self._wanted(uid):
                found.add(container.id)
                if container.id in self._suspects:
                    await self._remove(container.id)
        for uid, folder in self._logs.folders().items():
            if not self._wanted(uid):
                found.add(str(folder))
                if str(folder) in self._suspects:
                    metrics.LEFTOVERS.labels("log").inc()
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        found |= self._files_pass()
        found |= await self._networks_pass()
        found |= await self._volumes_pass()
        self._suspects = found
        self._sources.tidy()
        await self._tidy()

    async def _tidy(self) -> None:
        try:
            await self._images.tidy()
            count = await self._runtime.tidy()
        except RuntimeFailure as exc:
            log.warning("the runtime cannot be tidied now: %s", exc)
            return
        if count:
            log.warning("the runtime had lost %d of its own processes, which were ended", count)
            metrics.LEFTOVERS.labels("runtime").inc(count)

    def _wanted(self, uid: str) -> bool:
        return uid in self._store or uid in self._exists

    def _files_pass(self) -> set[str]:
        """Folders of /etc/hosts and the like that no instance and no container needs; what was found before is removed."""
        unwanted = {f"files {u}": u for u in self._files.uids() if not (self._wanted(u) or self._view.of(u))}
        for name in unwanted.keys() & self._suspects:
            metrics.LEFTOVERS.labels("files").inc()
            self._files.remove(unwanted[name])
        return set(unwanted)

    async def _networks_pass(self) -> set[str]:
        """Those that no instance and no container needs; what was found before is removed."""
        unwanted = {u for u in self._networks.uids() if not (self._wanted(u) or self._view.of(u))}
        for uid in unwanted & self._suspects:
            await self._remove_network(uid)
        return unwanted

    async def _volumes_pass(self) -> set[str]:
        """Those that no instance and no container needs; what was found before is removed."""
        unwanted: set[str] = set()
        try:
            unwanted = {f"volumes {u}" for u in await self._volumes.found() if not (self._wanted(u) or self._view.of(u))}
            for name in unwanted & self._suspects:
                log.warning("%s, of an instance which is not there, are removed", name)
                await self._volumes.remove(name.removeprefix("volumes "))
                metrics.LEFTOVERS.labels("volumes").inc()
        except (VolumeFailure, RuntimeFailure) as exc:
            log.warning("volumes of nobody cannot be looked for or removed now: %s", exc)
        return unwanted

    async def _remove_network(self, uid: str) -> None:
        log.warning("the network of instance %s, which is not there, is removed", uid)
        try:
            await self._networks.remove(uid)
        except NetworkFailure as exc:
            log.warning("it cannot be removed now: %s", exc)
            return
        metrics.LEFTOVERS.labels("network").inc()

    async def _remove(self, container_id: str) -> None:
        log.warning("container %s belongs to no instance and is removed", container_id)
        try:
            await self._runtime.remove(container_id)
        except RuntimeFailure as exc:
            log.warning("container %s cannot be removed now: %s", container_id, exc)
            return
        metrics.LEFTOVERS.labels("container").inc()
        self._view.drop(container_id)
