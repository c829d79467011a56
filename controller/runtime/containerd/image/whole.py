"""Pulls after which an image is whole and on the disk, whatever was on the node before.

containerd fetches nothing that it has a name for, and unpacks nothing that it has unpacked. So what is known to be damaged, or
may be after a loss of power, is taken away first; what shows itself to be damaged in the pull is taken away then, and the pull
is made once more.
"""

import logging
from dataclasses import replace

from controller.runtime.containerd.image.failures import of_content
from controller.runtime.containerd.image.progress import Progressed
from controller.runtime.containerd.image.pull import Order, Puller
from controller.runtime.containerd.image.quarantine import Quarantine
from controller.runtime.containerd.image.synced import SyncedImages
from controller.runtime.containerd.image.verify import Part, Verifier
from controller.runtime.port import DamageKind, ImageFailure

log = logging.getLogger(__name__)


class WholePulls:
    """Pulls of one namespace."""

    def __init__(self, puller: Puller, verifier: Verifier, quarantine: Quarantine, synced: SyncedImages) -> None:
        self._puller, self._verifier, self._quarantine, self._synced = puller, verifier, quarantine, synced

    async def pull(self, order: Order, progress: Progressed | None) -> None:
        """See `Puller.pull`. Raises `ImageDamaged` also when what is damaged on the node cannot be taken away."""
        await self._synced.drop_doubtful()
        await self._quarantine.end(order.name)
        with self._synced.busy(order.name) as since:
            try:
                await self._puller.pull(order, progress)
            except ImageFailure as failure:
                resolved = self._puller.resolved(order.name)
                if not of_content(failure) or not await self._discard_damaged(resolved):
                    raise
                await self._puller.pull(order, progress)
            await self._synced.settle(order.name, since)
            if await self._verifier.lacks_layers(order.name):
                await self._puller.pull(replace(order, unpack=False), progress)
                await self._synced.settle(order.name, since)

    async def _discard_damaged(self, digest: str) -> bool:
        """Take away what is damaged of an image that was being pulled; whether there was any."""
        if not digest:
            return False
        found = await self._verifier.look(Part(digest, -1, "index or manifest"))
        # What has just not come yet is no damage; a file that is gone is, if containerd still has a name for it.
        damaged = [one.digest for one in found if one.what is DamageKind.BLOB and await self._verifier.knows(one.digest)]
        if damaged:
            log.warning("fetched anew, since it is damaged on this node: %s", ", ".join(damaged))
            await self._quarantine.discard(damaged)
        return bool(damaged)
