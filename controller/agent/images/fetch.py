"""Getting one image for one who waits: by which credentials, and whether it has to be fetched at all.

Of an image that is on the node, only the right to it is asked of the registry, by its digest; it is fetched when the registry
does not have that any more. What is to come from an archive asks no registry at all.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from controller.agent import metrics
from controller.agent.credentials.credentials import Credentials, Found
from controller.agent.credentials.tried import REFUSALS, tried
from controller.agent.decide.credentials.keyring import Candidate
from controller.agent.images.access import Access, repository
from controller.agent.images.archives import ArchiveNotAllowed, Archives
from controller.agent.images.meter import Meter
from controller.agent.images.waiter import Waiter
from controller.api.reasons import Reason
from controller.runtime.port import ImageFailure, ImageForbidden, ImageNotFound, ImageState, PullProgress, Runtime

Progress = Callable[[PullProgress], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image that may be used."""

    image: ImageState
    anew: bool
    """The registry was asked what its name means now; of an archive: it was read."""
    archive: str = ""
    """Where it came from, if not from its registry."""

    def serves(self, waiter: Waiter) -> bool:
        """Whether it is what somebody waits for, who may use it."""
        return not waiter.anew or (self.anew and self.archive == waiter.archive)


class Fetcher:
    """Gets images."""

    def __init__(
        self, runtime: Runtime, credentials: Credentials, access: Access, archives: Archives, slots: asyncio.Semaphore
    ) -> None:
        """Take what is needed; `slots` are as many as there may be pulls at the same time."""
        self._runtime, self._credentials, self._access = runtime, credentials, access
        self._archives, self._slots = archives, slots

    async def fetch(self, name: str, present: ImageState | None, waiter: Waiter, meter: Meter) -> Fetched:
        """Get an image.

        Args:
            name: normalised.
            present: what of that name is on the node.
            waiter: for whom.
            meter: told how far it is.

        Raises:
            ImageFailure: of the registry; when it refuses, with what was tried. Of an archive: as `Archives.load`.
            RuntimeFailure: when the runtime could not be asked.
        """
        if waiter.archive:
            return Fetched(await self._brought(name, present, waiter, meter), anew=True, archive=waiter.archive)
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
        async with self._turn(name, meter) as progress:
            image, used = await self._tried(name, "", found, progress)
            await self._access.accepted(image, used, pulled=True)
        return image

    async def _brought(self, name: str, present: ImageState | None, waiter: Waiter, meter: Meter) -> ImageState:
        """The image of an archive, if its name is to be had."""
        if present is not None and not self._access.replaceable(present, waiter.claim):
            raise ArchiveNotAllowed(
                f"{name} is on the node already, and not by an archive of this namespace alone: no archive takes its place"
            )
        async with self._turn(name, meter) as progress:
            image = await self._archives.load(waiter.archive, name, progress)
            await self._access.brought(image, waiter.claim)
        return image

    @asynccontextmanager
    async def _turn(self, name: str, meter: Meter) -> AsyncIterator[Progress]:
        """Wait for a turn, and note beginning and end of what brings an image; gives what is to be told how far that is."""
        loop = asyncio.get_running_loop()
        meter.queued = self._slots.locked()
        async with self._slots:
            began = loop.time()
            meter.begin(began)
            await self._access.begun(name)
            try:
                yield lambda progress: meter.add(progress, loop.time())
            except ImageFailure:
                await self._access.failed(name)
                raise
        metrics.PULL_SECONDS.observe(loop.time() - began)
        metrics.PULLS.labels(Reason.PULLED).inc()

    async def _tried(
        self, name: str, digest: str, found: Found, progress: Progress | None = None
    ) -> tuple[ImageState, Candidate | None]:
        """The image, and by which credentials it was to be had; without any when none were taken."""
        try:
            return await tried(
                found, lambda credential: self._runtime.pull(name, progress, credential=credential, digest=digest)
            )
        except REFUSALS:
            self._credentials.refused(repository(name))
            raise
