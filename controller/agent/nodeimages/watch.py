"""The node's NodeImages from the API server: one object, watched by its name.

Not by the informer, which waits until all is served that it watches: where the definition is not installed yet, the node's
instances must not wait for it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

from controller.kube.connection import Connection
from controller.kube.errors import ApiFailure, ApiForbidden, ApiNotFound
from controller.kube.pauses import Forever
from controller.kube.resources import NODE_IMAGES
from controller.kube.single import Single, changes
from controller.pauses import growing

log = logging.getLogger(__name__)

REFUSED_SECONDS: Final = 30.0
"""Longest pause while it is refused, or the kind is not installed: nobody tells when that changes. The first ones are short,
since an API server that has just begun knows no rights for a moment."""

_FIRST_SECONDS: Final = 0.5

TOLD_REFUSALS: Final = 5
"""Refusals in a row after which that is told."""


async def watch_for_ever(connection: Connection, node: str, seen: Callable[[dict[str, Any] | None], None]) -> None:
    """Tell of the NodeImages of this node, as it is and after each change; None while there is none."""
    session, refusals = connection.session(most=0), 0
    pauses, refused = iter(Forever()), growing(_FIRST_SECONDS, REFUSED_SECONDS)
    try:
        while True:
            try:
                async with aclosing(changes(connection, session, Single(NODE_IMAGES, "", node))) as found:
                    async for obj in found:
                        pauses, refused, refusals = iter(Forever()), growing(_FIRST_SECONDS, REFUSED_SECONDS), 0
                        seen(obj)
            except (ApiForbidden, ApiNotFound) as exc:
                refusals += 1
                if refusals == TOLD_REFUSALS:
                    log.warning(
                        "which images the node is to have cannot be read: %s (moorage crds, or the agents' rights)", exc
                    )
                await asyncio.sleep(next(refused))
            except ApiFailure as exc:
                log.debug("node images: %s", exc)
                await asyncio.sleep(next(pauses))
    finally:
        await session.close()
