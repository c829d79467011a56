"""The status of the node's NodeImages: the latest wins, progress alone waits two seconds, and all is retried."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any, Final

from controller.agent import metrics
from controller.agent.decide.nodeimages import UNSETTLED, without_progress
from controller.api import conditions
from controller.api.nodeimages import NodeImagesStatus, NodeImageStatus
from controller.kube.client import Client
from controller.kube.errors import ApiConflict, ApiFailure, ApiInvalid, ApiNotFound, ApiUnavailable
from controller.kube.patch import delta
from controller.kube.resources import NODE_IMAGES
from controller.pauses import growing

log = logging.getLogger(__name__)

PROGRESS_SECONDS: Final = 2.0
"""Least pause before a write of progress and nothing else; most of the least pauses before any other."""

CHANGE_SECONDS: Final = 0.2
"""Least pause before a write of what people wait for, as of an image that is ready. It doubles while such follow each other."""

_FIRST_SECONDS: Final = 0.2

LONGEST_SECONDS: Final = 10.0
"""Longest pause after a write that failed; what was refused is tried again, too, when there is something newer to tell."""


class NodeImagesWriter:
    """Writes one status."""

    def __init__(self, client: Client, node: str) -> None:
        self._client, self._node = client, node
        self._uid = ""
        self._sent: dict[str, Any] = {}
        """What the API server has."""
        self._want: NodeImagesStatus | None = None
        self._woken = asyncio.Event()
        self._pace = _Pace()

    def known(self, obj: dict[str, Any]) -> None:
        """Take in what the API server has; of another object by the name nothing was ever written."""
        uid = str(obj["metadata"]["uid"])
        if uid != self._uid:
            self._uid, self._sent = uid, dict(obj.get("status") or {})
            self._woken.set()

    def submit(self, status: NodeImagesStatus) -> None:
        """Have this status written, soon; an earlier one that has not been written yet is dropped."""
        self._want = status
        self._woken.set()

    async def run(self) -> None:
        """Write for ever."""
        pauses, loop = growing(_FIRST_SECONDS, LONGEST_SECONDS), asyncio.get_running_loop()
        again = loop.call_soon(self._woken.set)
        while True:
            await self._woken.wait()
            self._woken.clear()
            again.cancel()
            try:
                early = await self._write(loop.time)
            except (ApiNotFound, ApiConflict) as exc:  # that object is gone; the watch brings the one in its place
                log.debug("status of the node's images: %s", exc)
                self._uid = ""
            except ApiFailure as exc:
                passing = isinstance(exc, ApiUnavailable)
                if not passing:
                    metrics.STATUS_REFUSALS.inc()
                log.log(logging.DEBUG if passing else logging.WARNING, "status of the node's images: %s", exc)
                await asyncio.sleep(next(pauses))
                if not isinstance(exc, ApiInvalid):
                    self._woken.set()
            else:
                pauses = growing(_FIRST_SECONDS, LONGEST_SECONDS)
                if early:
                    again = loop.call_later(early, self._woken.set)

    async def _write(self, clock: Callable[[], float]) -> float:
        """Write what there is to tell.

        Returns:
            In how many seconds that may be, if not yet; what there is to tell by then may be more pressing.
        """
        uid, want = self._uid, self._want
        if not uid or want is None:
            return 0.0
        sent = NodeImagesStatus.model_validate(self._sent)
        told = merged(sent, want)
        new = told.to_json()
        change = delta(self._sent, new)
        if not change:
            return 0.0
        progress = without_progress(told) == without_progress(sent)
        early = self._pace.early(clock(), progress=progress)
        if early > 0:
            return early
        await self._client.patch(NODE_IMAGES, self._node, {"metadata": {"uid": uid}, "status": change}, subresource="status")
        self._pace.wrote(clock(), progress=progress)
        metrics.STATUS_WRITES.inc()
        if uid == self._uid:
            self._sent = new
        return 0.0


class _Pace:
    """When the next write may be: of progress seldom, of all else soon, though not many in a row."""

    def __init__(self) -> None:
        self._wrote = self._changed = -math.inf
        self._gap = CHANGE_SECONDS

    def early(self, now: float, *, progress: bool) -> float:
        """Seconds until a write may be, of progress alone or of more; not above 0 when it may be now."""
        return self._wrote + (PROGRESS_SECONDS if progress else self._gap) - now

    def wrote(self, now: float, *, progress: bool) -> None:
        """Take in that there was a write."""
        if not progress:
            in_a_row = now - self._changed < 2 * PROGRESS_SECONDS
            self._gap = min(2 * self._gap, PROGRESS_SECONDS) if in_a_row else CHANGE_SECONDS
            self._changed = now
        self._wrote = now


def merged(sent: NodeImagesStatus, want: NodeImagesStatus) -> NodeImagesStatus:
    """The wanted status, with what only the API server remembers: times, and the last generation that was settled."""
    before = {(status.namespace, status.name): status for status in sent.images}
    settled = want.observed_generation != UNSETTLED
    return want.model_copy(
        update={
            "conditions": conditions.merge(sent.conditions, want.conditions),
            "observed_generation": want.observed_generation if settled else sent.observed_generation,
            "images": tuple(_since(before.get((status.namespace, status.name)), status) for status in want.images),
        }
    )


def _since(before: NodeImageStatus | None, now: NodeImageStatus) -> NodeImageStatus:
    same = before is not None and (before.revision, before.state) == (now.revision, now.state) and bool(before.since)
    return now.model_copy(update={"since": before.since}) if before is not None and same else now
