"""What unfinished pulls have fetched, kept for the next try: by a lease for each image, which outlives the failed one.

containerd's transfer service makes a lease for each pull that has none, and ends it with the pull, so that what was fetched is
garbage when the pull fails. With a lease of ours it stays: complete layers, unpacked ones, and the ingests of layers that have
come in part. Those have the layer's digest as their name, so a pull of any image that has the layer goes on with it, from where
it stood: the fetcher asks for the rest by a Range header, and containerd computes the digest of the first part anew.
Locks on ingests are in containerd's memory alone, so none outlives a connection or a kill.
"""

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import content_pb2, leases_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.port import AlreadyExists, NotFound, RuntimeFailure

KEEP_SECONDS: Final = 24 * 3600.0
"""How long the parts of an image are kept that is not pulled to its end."""

EXPIRY_SECONDS: Final = 7 * KEEP_SECONDS
"""When containerd ends such a lease by itself, should no agent be there any more; no pull takes so long."""

PREFIX: Final = "image-pull."
"""How the names of these leases begin."""

_EXPIRE: Final = "containerd.io/gc.expire"
REFERENCE: Final = "moorage.dev/reference"
"""Label with the image's name."""


class LeaseEnded(NotFound):
    """The lease of a pull was ended under it."""

    @staticmethod
    def is_meant(failure: RuntimeFailure) -> bool:
        """Whether a call failed by that."""
        return isinstance(failure, NotFound) and "lease does not exist" in str(failure)


class KeptParts:
    """The leases of one namespace."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def hold(self, reference: str) -> tuple[str, bool]:
        """The lease for an image, and whether an earlier pull has left it."""
        name = lease_name(reference)
        until = datetime.fromtimestamp(time.time() + EXPIRY_SECONDS, UTC).isoformat(timespec="seconds")
        request = leases_pb2.CreateRequest(id=name, labels={_EXPIRE: until, REFERENCE: reference})
        try:
            await self._channel.call(methods.CREATE_LEASE, request)
        except AlreadyExists:
            return name, True
        return name, False

    async def release(self, reference: str, *, wait: bool = False) -> None:
        """Keep nothing for this image any more. Absent is success.

        Args:
            reference: of which image.
            wait: return when what nothing else needs is gone; otherwise that goes soon.
        """
        await self._end(lease_name(reference), wait=wait)

    async def ingested(self) -> Mapping[str, int]:
        """Bytes of all parts that have come in part, by the part's name (`layer-sha256:...`)."""
        answer = await self._channel.call(methods.LIST_INGESTS, content_pb2.ListStatusesRequest())
        return {one.ref: one.offset for one in answer.statuses}

    async def discard(self, part: str) -> None:
        """Forget what has come of a part: the next try fetches all of it. Absent is success."""
        with suppress(NotFound):
            await self._channel.call(methods.ABORT_INGEST, content_pb2.AbortRequest(ref=part))

    async def end_older(self, age: float, under_way: frozenset[str], *, wait: bool = False) -> int:
        """End what was kept for longer than `age` in seconds, but for these references; returns for how many images.

        `wait`: return when what nothing else needs is gone.
        """
        busy = {lease_name(reference) for reference in under_way}
        answer = await self._channel.call(methods.LIST_LEASES, leases_pb2.ListRequest())
        before = time.time() - age
        ours = [one for one in answer.leases if one.id.startswith(PREFIX) and one.id not in busy]
        old = [one.id for one in ours if one.created_at.ToNanoseconds() < before * 1e9]
        for name in old:
            await self._end(name, wait=wait and name == old[-1])
        return len(old)

    async def _end(self, name: str, *, wait: bool = False) -> None:
        request = leases_pb2.DeleteRequest(id=name, sync=wait)
        with suppress(NotFound):
            await self._channel.call(methods.DELETE_LEASE, request, seconds=methods.COLLECT if wait else methods.WRITE)


def lease_name(reference: str) -> str:
    """The id of the lease for an image, by its normalised reference."""
    return PREFIX + hashlib.sha256(reference.encode()).hexdigest()[:32]
