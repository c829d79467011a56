"""Credentials are tried one after another until a registry takes some, and last without any."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from controller.agent.credentials.credentials import Found
from controller.agent.decide.credentials.keyring import Candidate
from controller.runtime.port import Credential, ImageFailure, ImageForbidden, ImageNotFound

log = logging.getLogger(__name__)

T = TypeVar("T")

REFUSALS: Final = (ImageForbidden, ImageNotFound)
"""Failures that may be otherwise with other credentials: many registries say "not found" of what somebody may not see."""


async def tried(found: Found, attempt: Callable[[Credential | None], Awaitable[T]]) -> tuple[T, Candidate | None]:
    """What an attempt gives by the first credentials that are taken, and by which; by None when none were.

    Raises:
        ImageFailure: when all were refused, the refusal that says most, with what was tried.
    """
    refusals: list[ImageFailure] = []
    for candidate in _each_once(found.candidates):
        try:
            return await attempt(candidate.credential), candidate
        except REFUSALS as exc:
            log.info("with %s: %s", candidate.said, exc)
            refusals.append(exc)
    if not any(isinstance(exc, ImageNotFound) for exc in refusals):
        try:
            return await attempt(None), None
        except REFUSALS as exc:
            refusals.append(exc)
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
    said = ", ".join(dict.fromkeys(candidate.said for candidate in found.candidates))
    parts = [str(best), *((f"tried with {said}",) if said else ()), *found.problems]
    told = type(best)("; ".join(parts))
    told.__cause__ = best
    return told
