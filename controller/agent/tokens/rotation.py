"""When a token is to be replaced: the kubelet's rule (pkg/kubelet/token). Pure.

By the time since it was given out, and not by the time that is written in it: a node's clock may be wrong.
"""

from typing import Final

REPLACED_AT: Final = 0.8
"""Part of its life after which a token is replaced."""

OLDEST_SECONDS: Final = 24 * 3600.0
"""None becomes older, however long it would be good."""

JITTER_SECONDS: Final = 10.0
"""So much earlier at most, so that tokens which were given out together are not replaced together."""

_EARLIEST: Final = 0.5
"""Part of its life that a token is used in any case, should it be shorter than Kubernetes gives them out (600 s)."""


def due(given_at: float, life: float, jitter: float) -> float:
    """When a token is to be replaced.

    Args:
        given_at: when it was given out, in seconds since the epoch.
        life: for how many seconds from then it is good.
        jitter: a number from 0 to 1, at random.
    """
    after = min(REPLACED_AT * life, OLDEST_SECONDS) - jitter * JITTER_SECONDS
    return given_at + max(after, min(_EARLIEST * life, OLDEST_SECONDS))
