"""Care of the node's attachments, in the background.

Whether plugins can attach anything (STATUS), whether what is attached is in order (CHECK), and what belongs to nobody (GC).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from controller.network.attached import AttachedNetworks

log = logging.getLogger(__name__)

STATUS_SECONDS: Final = 60.0
"""Pause between two questions to the plugins of the node's network."""

CHECK_EVERY: Final = 10
"""Attachments are checked at the start, and then each time that plugins have been asked this often: every ten minutes."""


async def care_for_ever(networks: AttachedNetworks, wake: Callable[[str], None], changed: Callable[[], None]) -> None:
    """Look after them.

    Args:
        networks: the node's.
        wake: called with the uid of each instance whose attachment broke.
        changed: called when there is something else to be told of the node's network.
    """
    turn = 0
    while True:
        before = networks.trouble()
        await networks.ask()
        if networks.trouble() != before:
            changed()
        if turn % CHECK_EVERY == 0:
            for uid in await networks.check():
                wake(uid)
            await networks.collect()
        turn += 1
        await asyncio.sleep(STATUS_SECONDS)
