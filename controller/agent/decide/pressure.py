"""When a node has too little disk for new work. Pure."""

from dataclasses import dataclass
from typing import Final

from controller.agent.decide.collect import Disk

TRANSITION_SECONDS: Final = 300.0
"""How long there must be room again before that is told (a kubelet's evictionPressureTransitionPeriod): new work would come at
once, and might fill the disk anew."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What is found of the disk over time."""

    on: bool = False
    """There is too little room, or there was a moment ago."""
    room_since: float | None = None
    """While it is on: since when there is room again."""


def judge(before: Pressure, disk: Disk, percent: int, now: float) -> Pressure:
    """What is found now.

    Args:
        before: what was found last.
        disk: as it is after images were removed for room.
        percent: how much of it must be free.
        now: seconds since the epoch.
    """
    if 100 * disk.free < percent * disk.capacity:
        return Pressure(on=True)
    if not before.on:
        return Pressure()
    since = now if before.room_since is None else before.room_since
    return Pressure() if now - since >= TRANSITION_SECONDS else Pressure(on=True, room_since=since)


def told(percent: int) -> str:
    """The message of the condition; it does not change while that is on."""
    return f"less than {percent}% of the disk of images is free, whatever images are removed: no new instances are placed here"
