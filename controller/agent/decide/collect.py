"""Which images give way when the disk has too little room, and in which order. Pure.

As a kubelet's image manager: above a high mark images are removed until the use is down to a low one, the one first whose last
use is the longest ago. What anybody uses, or is about to, is not removed, whatever the disk says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from controller.api.people import duration_text, size_text
from controller.runtime.port import ImageName, ImageState

NEVER: Final = 100
"""A high mark that is never reached: nothing is ever removed for room."""

ROOM_FOR_ONE: Final = 3
"""How many times the bytes of a pull an image takes: as it is stored, and unpacked, which is about twice that."""

_NAMED: Final = 5
"""As many removals are named in a message; of the others it has the number."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that images are on."""

    capacity: int
    """Bytes."""
    free: int
    """Bytes of it that can still be used."""

    @property
    def used(self) -> float:
        """The part in use, from 0 to 1."""
        return (self.capacity - self.free) / self.capacity if self.capacity else 0.0

    @property
    def percent(self) -> int:
        """The same for people."""
        return round(100 * self.used)


@dataclass(frozen=True, slots=True)
class Marks:
    """When images are removed for room (a kubelet's imageGCHighThresholdPercent and so on)."""

    high: int = 85
    """Percent of the disk in use from which on images are removed; 100: never."""
    low: int = 80
    """Percent in use that they are removed down to."""
    minimum_age: float = 120.0
    """Seconds for which an image stays in any case: whoever fetched it is about to use it."""

    def reached(self, disk: Disk) -> bool:
        """Whether there is too little room."""
        return self.high < NEVER and 100 * (disk.capacity - disk.free) >= self.high * disk.capacity

    def goal(self, disk: Disk, wanted: int = 0) -> int:
        """Bytes that are to be free in the end; `wanted`: by a pull that has found no room."""
        return min(max(disk.capacity * (100 - self.low) // 100, wanted), disk.capacity)


class Use(StrEnum):
    """Why an image stays, as it is said behind a number of images; of several the first one is said."""

    CONTAINER = "used by containers"
    INSTANCE = "named by instances"
    PULL = "being pulled"
    PINNED = "pinned by ContainerImages"
    BEFORE = "what instances ran before their last change"
    YOUNG = "younger than the minimum age"
    SHARED = "made of layers that others need"
    STUCK = "not to be removed now"


class Kind(StrEnum):
    """What is removed, as metrics call it."""

    INCOMPLETE = "incomplete"
    UNUSED = "unused"


UNFINISHED: Final = "unfinished"
"""What pulls have fetched that did not come to their end: no image, but removed as well, and counted beside."""


@dataclass(frozen=True, slots=True)
class Removal:
    """One image, by all of its names: one of them alone would free nothing."""

    digest: str
    names: tuple[str, ...]
    kind: Kind
    size: int
    """Bytes as stored; 0 when that is not known. What it frees may be more, or less."""
    reason: str

    def __str__(self) -> str:
        return f"{', '.join(self.names)} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is decided upon."""

    names: tuple[ImageName, ...]
    """Every name on the node, in our own namespace of the runtime."""
    complete: tuple[ImageState, ...]
    """Those of them that can be run."""
    uses: Mapping[str, Use]
    """What anybody uses, by name or by digest."""
    used_at: Mapping[str, float]
    """When a name was last used by anybody, in seconds since the epoch; before that it was never, as far as is known."""
    now: float
    minimum_age: float


@dataclass(frozen=True, slots=True)
class Survey:
    """What may go, and what stays."""

    removals: tuple[Removal, ...]
    """In their order."""
    kept: Mapping[Use, int] = field(default_factory=dict)
    """How many images stay, and why."""

    def staying(self) -> str:
        """What stays, in words: `2 used by containers, 1 pinned by ContainerImages`."""
        return ", ".join(f"{self.kept[use]} {use}" for use in Use if self.kept.get(use)) or "there are none"


@dataclass(frozen=True, slots=True)
class _Image:
    """All that is known of one digest."""

    digest: str
    names: tuple[str, ...]
    since: float
    """When the youngest of its names came to it."""
    used_at: float
    """When it was last used; if never, then when it came."""
    used: bool
    state: ImageState | None
    """None when it is not complete, or not for this node."""


def survey(facts: Facts) -> Survey:
    """Tell of every image whether it may go, and order those that may: what is of no use first, then by their last use."""
    images = _images(facts)
    kept: dict[str, Use] = {}
    for image in images:
        if use := _use(image, facts):
            kept[image.digest] = use
    needed = {layer for image in images if image.digest in kept and image.state for layer in image.state.layers}
    going: list[_Image] = []
    for image in images:
        if image.digest in kept:
            continue
        if image.state and image.state.layers and needed.issuperset(image.state.layers):
            kept[image.digest] = Use.SHARED
        else:
            going.append(image)
    going.sort(key=lambda image: (image.state is not None, image.used_at, image.digest))
    return Survey(tuple(_removal(image, facts.now) for image in going), Counter(kept.values()))


def _images(facts: Facts) -> list[_Image]:
    states = {state.digest: state for state in facts.complete}
    by_digest: dict[str, list[ImageName]] = {}
    for name in facts.names:
        by_digest.setdefault(name.digest, []).append(name)
    return [_image(digest, names, states.get(digest), facts.used_at) for digest, names in by_digest.items()]


def _image(digest: str, names: Iterable[ImageName], state: ImageState | None, used_at: Mapping[str, float]) -> _Image:
    ordered = sorted(names, key=lambda name: name.name)
    since = max(name.since for name in ordered)
    last = max(used_at.get(name.name, 0.0) for name in ordered)
    return _Image(digest, tuple(name.name for name in ordered), since, max(since, last), last > 0, state)


def _use(image: _Image, facts: Facts) -> Use | None:
    found = {use for key in (image.digest, *image.names) if (use := facts.uses.get(key)) is not None}
    if facts.now - image.since < facts.minimum_age:
        found.add(Use.YOUNG)
    return next((use for use in Use if use in found), None)


def _removal(image: _Image, now: float) -> Removal:
    size = image.state.size if image.state else 0
    since = duration_text(max(0.0, now - image.used_at))
    if image.state is None:
        return Removal(image.digest, image.names, Kind.INCOMPLETE, size, f"not complete, there for {since}")
    reason = f"not used for {since}" if image.used else f"never used, there for {since}"
    return Removal(image.digest, image.names, Kind.UNUSED, size, reason)


def told_removed(removed: Iterable[Removal], freed: int, before: Disk, after: Disk, unfinished: int = 0) -> str:
    """What a collection came to, for an Event: the first few images by name and reason; and of how many unfinished pulls."""
    images = tuple(removed)
    named = "; ".join(map(str, images[:_NAMED]))
    rest = f"; and {len(images) - _NAMED} more" if len(images) > _NAMED else ""
    what = [f"{len(images)} image{'s' if len(images) != 1 else ''}"] if images else []
    what += [f"what {unfinished} unfinished pull{'s' if unfinished != 1 else ''} had fetched"] if unfinished else []
    told = f"removed {' and '.join(what)}, {size_text(freed)} freed, disk from {before.percent}% to {after.percent}% in use"
    return f"{told}: {named}{rest}" if images else told


def told_short(survey: Survey) -> str:
    """That images alone make too little room, for an Event."""
    return f"the disk of images has too little room, and no further image may be removed: {survey.staying()}"
