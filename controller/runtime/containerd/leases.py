"""Leases: what they hold, containerd's garbage collector leaves alone.

Looks into an image and imports need one of ours. Creating a container needs none, which saves two writes to containerd's
database for each: its record is written first, and a record holds the snapshot that it names from the moment that this exists
(see `ContainerdRuntime.create`). Pulls have leases that outlive them (image/kept.py).
"""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import leases_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.port import NotFound, RuntimeFailure

EXPIRY_SECONDS: Final = 300.0
"""After this time a lease holds nothing any more, should its maker have been killed."""

_EXPIRE: Final = "containerd.io/gc.expire"

_OURS: Final = "moorage-"
_MINE: Final = f"{_OURS}{secrets.token_hex(4)}-"
"""How the names of this process's leases begin."""


@asynccontextmanager
async def lease(channel: Channel, seconds: float = EXPIRY_SECONDS, *, swept: bool = False) -> AsyncIterator[str]:
    """A lease for as long as the block runs; yields its id.

    Args:
        channel: the connection.
        seconds: how long it holds at most.
        swept: when the block fails, what only it held is gone before the failure is told.
    """
    until = datetime.fromtimestamp(time.time() + seconds, UTC)
    name = f"{_MINE}{secrets.token_hex(8)}"
    request = leases_pb2.CreateRequest(id=name, labels={_EXPIRE: until.isoformat(timespec="seconds")})
    await channel.call(methods.CREATE_LEASE, request)
    try:
        yield name
    except BaseException:
        with suppress(RuntimeFailure):  # the failure that is told is the first one
            await _end(channel, name, sync=swept)
        raise
    await _end(channel, name)


async def _end(channel: Channel, name: str, *, sync: bool = False) -> None:
    """`sync`: return when containerd has collected what nothing needs any more."""
    with suppress(NotFound):
        request = leases_pb2.DeleteRequest(id=name, sync=sync)
        await channel.call(methods.DELETE_LEASE, request, seconds=methods.COLLECT if sync else methods.WRITE)


async def end_abandoned(channel: Channel) -> None:
    """End the leases of earlier processes that were killed, and with each what only it held; what they hold expires late."""
    found = await channel.call(methods.LIST_LEASES, leases_pb2.ListRequest())
    for name in (one.id for one in found.leases):
        if name.startswith(_OURS) and not name.startswith(_MINE):
            await _end(channel, name, sync=True)


async def collect_garbage(channel: Channel) -> None:
    """Have containerd collect its garbage, and wait for it: that is what the synchronous deletion of any lease does."""
    name = f"{_MINE}{secrets.token_hex(8)}"
    await channel.call(methods.CREATE_LEASE, leases_pb2.CreateRequest(id=name))
    await channel.call(methods.DELETE_LEASE, leases_pb2.DeleteRequest(id=name, sync=True), seconds=methods.COLLECT)
