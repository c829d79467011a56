"""How glibc gives back what was freed, for processes that run long (mallopt(3)).

By itself it makes arenas for threads, of which each keeps what it once got, and with each large piece that is freed it raises
the size from which pieces are given back, up to 64 MiB: what a burst of work took still shows long after it.
"""

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_THRESHOLD_BYTES: Final = 128 * 1024
"""What glibc begins with, too; but what is set stays."""


def give_back_what_is_freed() -> None:
    """One arena for all threads, of which mostly one runs anyway, and thresholds that stay. Before other threads are started.

    A C library that has no mallopt (musl) is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _THRESHOLD_BYTES)
