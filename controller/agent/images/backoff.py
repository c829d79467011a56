"""What a failed pull is called, and how long the next try waits."""

from typing import Final

from controller.agent.decide.observation import Pull
from controller.agent.images.archives import ArchiveNotAllowed, ArchiveNotFound, InvalidArchive
from controller.api.reasons import Reason
from controller.pauses import doubled, jittered
from controller.runtime.port import ImageFailure, RegistryUnreachable

INITIAL_SECONDS: Final = 1.0
MAX_SECONDS: Final = 60.0
"""Pauses between failed pulls of one image: 1 s, doubling up to a minute."""

JITTER: Final = 0.2
"""Part of a pause that it may be longer, so that a fleet does not come back as one."""

_REASONS: Final = {
    RegistryUnreachable: Reason.REGISTRY_UNAVAILABLE,
    ArchiveNotAllowed: Reason.ARCHIVE_NOT_ALLOWED,
    ArchiveNotFound: Reason.ARCHIVE_NOT_FOUND,
    InvalidArchive: Reason.INVALID_ARCHIVE,
}
"""What keeps its name however often it fails."""


def failed(cause: Exception, failures: int, now: float) -> Pull:
    """How a pull failed.

    Args:
        cause: what ended it.
        failures: how many failed in a row before it.
        now: seconds since the epoch.
    """
    return Pull(running=False, reason=_reason(cause, failures), message=str(cause), retry_at=now + pause(failures))


def pause(failures: int) -> float:
    """Seconds until the next try, after so many failures in a row before the last one."""
    return jittered(doubled(INITIAL_SECONDS, MAX_SECONDS, failures), 0.0, JITTER)


def _reason(cause: Exception, failures: int) -> Reason:
    for kind, reason in _REASONS.items():
        if isinstance(cause, kind):
            return reason
    if isinstance(cause, ImageFailure) and failures:
        return Reason.IMAGE_PULL_BACK_OFF
    return Reason.ERR_IMAGE_PULL
