"""Getting one image for one who waits: by which credentials, and whether it has to be fetched at all.

Credentials are tried one after another until a registry takes some, and last without any. Of an image that is on the node, only
the right to it is asked of the registry, by its digest; it is fetched when the registry does not have that any more.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.agent import metrics
from controller.agent.credentials.credentials import Credentials, Found
from controller.agent.decide.credentials.keyring import Candidate
from controller.agent.images.access import Access, repository
from controller.agent.images.meter import Meter
from controller.agent.images.waiter import Waiter
from controller.api.reasons import Reason
from controller.runtime.port import Credential, ImageFailure, ImageForbidden, ImageNotFound, ImageState, PullProgress, Runtime

log = logging.getLogger(__name__)

REFUSALS = (ImageForbidden, ImageNotFound)
"""Failures that may be otherwise with other credentials: many registries say "not found" of what somebody may not see."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image that may be used."""

    image: ImageState
    anew: bool
    """The registry was asked what its name means now."""


class Fetcher:
    """Gets images."""

    def __init__(self, runtime: Runtime, credentials: Credentials, access: Access, slots: asyncio.Semaphore) -> None:
        """Take what is needed; `slots` are as many as there may be pulls at the same time."""
        self._runtime, self._credentials, self._access, self._slots = runtime, credentials, access, slots

    async def fetch(self, name: str, present: ImageState | None, waiter: Waiter, meter: Meter) -> Fetched:
        """Get an image.

        Args:
            name: normalised.
            present: what of that name is on the node.
            waiter: for whom.
            meter: told how far it is.

        Raises:
            ImageFailure: of the registry; when it refuses, with what was tried.
            RuntimeFailure: when the runtime could not be asked.
        """
        found = await self._credentials.find(repository(name), waiter.claim)
        if present is not None and not waiter.anew:
            image = await self._let_in(name, present.digest, found)
            if image is not None:
                return Fetched(image, anew=False)
        return Fetched(await self._pulled(name, found, meter), anew=True)

    async def _let_in(self, name: str, digest: str, found: Found) -> ImageState | None:
        """The image that is there, if its registry lets these credentials in; None when it does not have it any more."""
        answer = "Failed"
        try:
            image, used = await self._tried(name, digest, found)
            await self._access.accepted(image, used, pulled=False)
            answer = "Granted"
        except ImageNotFound:
            answer = "NotFound"
            return None
        except ImageForbidden:
            answer = "Denied"
            raise
        else:
            return image
        finally:
            metrics.IMAGE_ACCESS.labels(answer).inc()

    async def _pulled(self, name: str, found: Found, meter: Meter) -> ImageState:
        loop = asyncio.get_running_loop()
        meter.queued = self._slots.locked()
        async with self._slots:
            began = loop.time()
            meter.begin(began)
            await self._access.begun(name)
            try:
                image, used = await self._tried(name, "", found, lambda progress: meter.add(progress, loop.time()))
            except ImageFailure:
                await self._access.failed(name)
                raise
            await self._access.accepted(image, used, pulled=True)
        metrics.PULL_SECONDS.observe(loop.time() - began)
        metrics.PULLS.labels(Reason.PULLED).inc()
        return image

    async def _tried(
        self, name: str, digest: str, found: Found, progress: Callable[[PullProgress], None] | None = None
    ) -> tuple[ImageState, Candidate | None]:
        """The image, and by which credentials it was to be had; without any when none were taken."""
        refusals: list[ImageFailure] = []
        for candidate in _each_once(found.candidates):
            try:
                return await self._runtime.pull(name, progress, credential=candidate.credential, digest=digest), candidate
            except REFUSALS as exc:
                log.info("%s with %s: %s", name, candidate.said, exc)
                refusals.append(exc)
        if not any(isinstance(exc, ImageNotFound) for exc in refusals):
            try:
                return await self._runtime.pull(name, progress, digest=digest), None
            except REFUSALS as exc:
                refusals.append(exc)
        self._credentials.refused(repository(name))
        raise _told(refusals, found)


def _each_once(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of equal credentials the first."""
    first: dict[Credential, Candidate] = {}
    for candidate in candidates:
        first.setdefault(candidate.credential, candidate)
    return list(first.values())


def _told(refusals: Sequence[ImageFailure], found: Found) -> ImageFailure:
    """The refusal that says most, with what was tried."""
    best = next((exc for exc in refusals if isinstance(exc, ImageNotFound)), refusals[0])
    tried = ", ".join(dict.fromkeys(candidate.said for candidate in found.candidates))
    parts = [str(best), *((f"tried with {tried}",) if tried else ()), *found.problems]
    told = type(best)("; ".join(parts))
    told.__cause__ = best
    return told
