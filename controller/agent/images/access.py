"""Who may use the images that are on the node: the rules of `decide/credentials/access.py` with what this node knows."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache

from controller.agent.decide.credentials import access
from controller.agent.decide.credentials.access import Rule
from controller.agent.decide.credentials.claim import Claim
from controller.agent.decide.credentials.keyring import Candidate
from controller.agent.images.records import PullRecords
from controller.runtime.port import Credential, ImageState
from controller.runtime.reference import parse

PASSES = 60
"""After so many passes of the cleanup, each a minute, it is looked which images are still there."""

_ARCHIVE = "archive "
"""What keys of those begin with who name an archive; the others are hashes, or empty."""


def alone(key: str) -> bool:
    """Whether what happens to others says nothing to somebody with this key (`Access.key`)."""
    return key.startswith(_ARCHIVE)


class Access:
    """Rights to the images of one node."""

    def __init__(self, records: PullRecords, rule: Rule | None = None) -> None:
        self._records, self._rule = records, rule or Rule()
        self._passes = 0

    def allowed(self, image: ImageState, claim: Claim) -> bool:
        """Whether an image on the node may be used without its registry being asked."""
        records = self._records
        return access.allowed(
            self._rule,
            repository(image.name),
            records.of(image.digest),
            claim,
            self._mark,
            pulling=records.pulling(image.name),
        )

    def key(self, name: str, claim: Claim, archive: str = "") -> str:
        """What sets those apart whose tries may end differently, or be told differently; the same for all without Secrets.

        Who names an archive asks no registry, so what happens to others says nothing to it, nor the other way round (`alone`).
        """
        if archive:
            return f"{_ARCHIVE}{claim.namespace}{archive}"
        found = claim.candidates(repository(name))
        parts = [*(part for one in found for part in (self._mark(one.credential), one.said)), *claim.problems]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest() if parts else ""

    async def begun(self, name: str) -> None:
        """A pull of this name is about to begin."""
        await self._records.begin(name)

    async def failed(self, name: str) -> None:
        """It has ended, and nothing came of it."""
        await self._records.end(name)

    async def accepted(self, image: ImageState, used: Candidate | None, *, pulled: bool) -> None:
        """Its registry has let somebody in, by these credentials or without any; `pulled`: by the pull that was begun."""
        known = self._records.of(image.digest) or {}
        noted = access.noted(known, repository(image.name), used, self._mark)
        await self._records.put(image.digest, noted, of=image.name if pulled else "")

    def replaceable(self, image: ImageState, claim: Claim) -> bool:
        """Whether an archive may take the place of an image that is on the node; also of one whose import was cut short."""
        known = self._records.of(image.digest)
        cut_short = known is None and self._records.unfinished(image.name)
        return cut_short or access.replaceable(known, repository(image.name), claim.namespace)

    async def brought(self, image: ImageState, claim: Claim) -> None:
        """It came by an archive that somebody named, by the import that was begun."""
        known = self._records.of(image.digest) or {}
        await self._records.put(image.digest, access.brought(known, repository(image.name), claim.namespace), of=image.name)

    async def tidy(self, images: Callable[[], Awaitable[Iterable[ImageState]]]) -> None:
        """Now and then: forget what is known of images that are gone.

        Raises:
            RuntimeFailure: when the runtime could not be asked.
        """
        self._passes = (self._passes + 1) % PASSES
        if self._passes == 1:
            await self._records.keep({image.digest for image in await images()})

    def _mark(self, credential: Credential) -> str:
        return access.fingerprint(credential, self._records.salt)


@lru_cache(maxsize=4096)
def repository(name: str) -> str:
    """Registry and path of a normalised name."""
    return parse(name).name
