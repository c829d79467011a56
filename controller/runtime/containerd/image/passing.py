"""Names of images that last only as long as a call: of what is pushed, and of what an archive holds while it is imported.

Nobody above sees them: they are in no list and in no event. What a killed process has left of them goes by itself after a day,
where containerd knows of names that expire, and else when an agent begins.
"""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import images_pb2
from controller.runtime.containerd.api.images_pb2 import Image
from controller.runtime.containerd.api.types_pb2 import Descriptor
from controller.runtime.containerd.channel import Channel
from controller.runtime.port import NotFound, RuntimeFailure

_PREFIX: Final = "moorage-passing."
"""How they begin. No normalised reference does: those have a slash."""

SECONDS: Final = 24 * 3600.0
"""How long one stays at most."""

_EXPIRE: Final = "containerd.io/gc.expire"


def is_passing(name: str) -> bool:
    """Whether it is such a name."""
    return name.startswith(_PREFIX)


def passing_labels() -> Mapping[str, str]:
    """Labels of such a name."""
    until = datetime.fromtimestamp(time.time() + SECONDS, UTC)
    return {_EXPIRE: until.isoformat(timespec="seconds")}


@asynccontextmanager
async def passing(channel: Channel, target: Descriptor | None = None) -> AsyncIterator[str]:
    """A name for as long as the block runs.

    Args:
        channel: the connection.
        target: what it points at; None: what the block lets it point at.
    """
    name = f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        if target is not None:
            image = Image(name=name, target=target, labels=passing_labels())
            await channel.call(methods.CREATE_IMAGE, images_pb2.CreateImageRequest(image=image))
        yield name
    finally:
        with suppress(RuntimeFailure):  # it goes by itself in the end
            await channel.call(methods.DELETE_IMAGE, images_pb2.DeleteImageRequest(name=name))


async def remove_abandoned(channel: Channel, now: float) -> None:
    """Remove those of processes that were killed; `now` in seconds since the epoch."""
    answer = await channel.call(methods.LIST_IMAGES, images_pb2.ListImagesRequest())
    for image in answer.images:
        if is_passing(image.name) and now - image.created_at.ToSeconds() > SECONDS:
            with suppress(NotFound):
                await channel.call(methods.DELETE_IMAGE, images_pb2.DeleteImageRequest(name=image.name))
