"""The node's images as supervisors see them, by the reference as it is written in specs."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from controller.agent.credentials.credentials import Credentials
from controller.agent.decide.credentials.claim import NOTHING, Claim
from controller.agent.decide.damage import Found, reason
from controller.agent.decide.observation import ImageView, Pull
from controller.agent.images.access import Access
from controller.agent.images.archives import Archives
from controller.agent.images.fetch import Fetcher
from controller.agent.images.integrity import Integrity, Told
from controller.agent.images.presence import Presence
from controller.agent.images.pulls import Ended, Pulls
from controller.agent.images.waiter import Waiter
from controller.api.reasons import Reason
from controller.runtime import reference
from controller.runtime.port import ImageState, InvalidReference, Runtime


class Images:
    """Images of one node. Two spellings of one image (`nginx`, `docker.io/library/nginx:latest`) are one."""

    def __init__(
        self,
        runtime: Runtime,
        credentials: Credentials,
        access: Access,
        *,
        parallel_pulls: int = 3,
        archive_dirs: Sequence[Path] = (),
        changed: Callable[[str], None] = lambda _name: None,
        ended: Ended = lambda _failure, _total: None,
    ) -> None:
        """Take what is needed.

        Args:
            runtime: has the images.
            credentials: what registries are shown.
            access: tells who may use what is there.
            parallel_pulls: how many pulls there are at the same time.
            archive_dirs: archives are read from below these folders, and from nowhere else.
            changed: is to have everybody look who needs an image of this (normalised) name.
            ended: is told of each pull that has ended, before those who wait for it are.
        """
        self._runtime, self._access, self._changed = runtime, access, changed
        self._presence = Presence(runtime.image)
        self._integrity = Integrity(runtime, self._presence.of, self._put_off, self._out_of_use)
        fetcher = Fetcher(runtime, credentials, access, Archives(runtime, archive_dirs), asyncio.Semaphore(parallel_pulls))
        self._pulls = Pulls(fetcher, access, self._presence.of, self._presence.arrived, ended)

    async def view(
        self, image: str, claim: Claim = NOTHING, held: Collection[tuple[str, str]] = (), archive: str = ""
    ) -> ImageView:
        """What is known of a reference to somebody; the runtime is only asked when that may have changed.

        An image that is there is not there for somebody who was not let in to it: nothing tells the two apart.

        Args:
            image: as it is written.
            claim: by which Secrets it is asked for.
            held: normalised names and digests of images that containers of the same instance are made of: what it has been
                let in to, it may use again.
            archive: path of the archive that it is to come from, if not from its registry.

        Raises:
            RuntimeFailure: when the runtime could not be asked.
        """
        try:
            name = normalised(image)
        except InvalidReference as exc:
            return ImageView(None, Pull(running=False, reason=Reason.INVALID_IMAGE_NAME, message=str(exc), terminal=True))
        present = await self._presence.of(name)
        if present is not None and not self._usable(present, claim, held):
            present = None
        pull = self._pulls.of(name, self._access.key(name, claim, archive))
        found = self._integrity.damage(name) if present is None else None
        if found is None or not self._usable(found.image, claim, held):
            return ImageView(present, pull)
        if pull is not None and not pull.running and found.message not in pull.message:
            pull = replace(pull, message=f"{pull.message}; {found.message}")
        return ImageView(None, pull, found.message)

    def pull(self, image: str, waiter: Waiter) -> bool:
        """Begin a pull, or join the one that is under way; returns whether this call began it.

        The waiter is told at its end. While a failed pull is tried again, the failure stays in sight. Of an image that is there
        it is only asked whether the waiter may use it.

        Raises:
            InvalidReference: when it is none; `view` says so before.
        """
        return self._pulls.pull(normalised(image), waiter)

    def under_way(self) -> frozenset[str]:
        """What is being pulled, or waits for its turn, by normalised name."""
        return self._pulls.under_way()

    def room_made(self) -> None:
        """There is room on the disk: pulls that found none need not wait any longer."""
        self._pulls.room_made()

    def suspect(self, image: ImageState, done: Told) -> bool:
        """Something failed that a damaged image can be the cause of: have it read, and taken out of use if it is damaged.

        Returns whether `done` is going to be called: not when the image was whole just now.
        """
        return self._integrity.suspect(image, done)

    def changed(self, name: str) -> None:
        """The runtime says that an image of this (normalised) name changed: look again when it is next needed."""
        self._presence.changed(name)

    def doubt(self) -> None:
        """The runtime was away, and nobody told what changed meanwhile: look again at every image."""
        self._presence.doubt()
        self._pulls.runtime_back()

    async def tidy(self) -> None:
        """Now and then: forget who was let in to images that are gone.

        Raises:
            RuntimeFailure: when the runtime could not be asked.
        """
        await self._access.tidy(self._runtime.images)

    async def close(self) -> None:
        """Give up the pulls that are under way; what is complete of them stays in the runtime."""
        await self._integrity.close()
        await self._pulls.close()

    def _out_of_use(self, name: str) -> None:
        self._presence.doubt()  # others may have the same layers
        self._changed(name)

    def _put_off(self, found: Found) -> None:
        """What was damaged before, and then fetched anew, is fetched after a pause."""
        if found.retry_at:
            self._pulls.put_off(found.image.name, Pull(False, reason(found), found.message, found.retry_at))

    def _usable(self, image: ImageState, claim: Claim, held: Collection[tuple[str, str]]) -> bool:
        return (image.name, image.digest) in held or self._access.allowed(image, claim)


@lru_cache(maxsize=4096)
def normalised(image: str) -> str:
    """The name under which the runtime knows a reference. Raises `InvalidReference`."""
    return str(reference.parse(image))
