"""Which images were last used when, and what instances ran before their last change: kept over restarts of the agent.

A use lasts as long as an instance names the image or a container is made of it; its time is that of its end. So there is
something to be written only when a use begins or ends.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.agent.decide.imagerefs import image_references
from controller.agent.decide.observation import Desired
from controller.agent.images.images import normalised
from controller.agent.kept import Kept
from controller.runtime.port import InvalidReference

log = logging.getLogger(__name__)

FILE: Final = "imageuses.json"
"""Below the state folder."""


@dataclass(slots=True)
class _Followed:
    """The instances of one workload on this node, or one that is of none."""

    now: frozenset[str] = frozenset()
    """Names of the images that they name."""
    before: frozenset[str] = frozenset()
    """Of those that they named last, and do not any more: what they go back to if the change is taken back."""


class ImageUses:
    """Uses of the images of one node, by normalised name."""

    def __init__(self, path: Path) -> None:
        self._path, self._kept = path, Kept(path)
        self._instances: dict[str, dict[str, frozenset[str]]] = {}
        """What each instance names, by the uid of its workload (its own if it has none), and its own uid."""
        self._followed: dict[str, _Followed] = {}
        """By the same first uid."""
        self._using: frozenset[str] = frozenset()
        """What was used at the last look, and what has been since."""
        self._ended: dict[str, float] = {}
        """When the use of a name ended that is not used now, in seconds since the epoch."""

    def load(self, wanted: Iterable[Desired]) -> None:
        """Read what an earlier agent has kept, and take in the instances that it has kept.

        A file that cannot be used is told of: images then count as never used.
        """
        try:
            kept = self._kept.load()
            self._using = frozenset(map(str, kept.get("using", ())))
            self._ended = {str(name): float(at) for name, at in kept.get("ended", {}).items()}
            self._followed = {
                str(uid): _Followed(frozenset(map(str, now)), frozenset(map(str, before)))
                for uid, now, before in kept.get("instances", ())
            }
        except (ValueError, TypeError, AttributeError) as exc:
            log.warning("%s: when images were used is known from now on: %s", self._path, exc)
        self._take(wanted)

    def named(self) -> frozenset[str]:
        """What instances name."""
        return frozenset().union(*(found.now for found in self._followed.values()))

    def before(self) -> frozenset[str]:
        """What they named before their last change."""
        return frozenset().union(*(found.before for found in self._followed.values()))

    def ended(self) -> Mapping[str, float]:
        """When each use ended that is over, in seconds since the epoch."""
        return dict(self._ended)

    def note(self, desired: Desired) -> None:
        """Take in one instance as it is now."""
        whose, names = _named(desired)
        self._instances.setdefault(whose, {})[desired.uid] = names
        self._follow(whose)
        if not names <= self._using:
            self._using |= names
            self._kept.changed()

    def look(self, wanted: Iterable[Desired], running: Iterable[str]) -> None:
        """Take in all instances, and what containers are made of."""
        self._take(wanted)
        if gone := self._followed.keys() - self._instances.keys():
            self._followed = {whose: found for whose, found in self._followed.items() if whose not in gone}
            self._kept.changed()
        using = self.named() | frozenset(running)
        if using != self._using:
            self._ended |= dict.fromkeys(self._using - using, time.time())
            self._using = using
            for name in using & self._ended.keys():
                del self._ended[name]
            self._kept.changed()

    def forget_but(self, names: Iterable[str]) -> None:
        """Forget the uses of what is not on the node any more."""
        gone = self._ended.keys() - set(names)
        for name in gone:
            del self._ended[name]
        if gone:
            self._kept.changed()

    async def keep_for_ever(self) -> None:
        """Write changes to disk."""
        await self._kept.keep_for_ever(self._table)

    def _take(self, wanted: Iterable[Desired]) -> None:
        self._instances = {}
        for desired in wanted:
            whose, names = _named(desired)
            self._instances.setdefault(whose, {})[desired.uid] = names
        for whose in self._instances:
            self._follow(whose)

    def _follow(self, whose: str) -> None:
        now = frozenset().union(*self._instances[whose].values())
        found = self._followed.setdefault(whose, _Followed())
        if found.now == now:
            return
        if gone := found.now - now:
            found.before = gone
        found.before -= now
        found.now = now
        self._kept.changed()

    def _table(self) -> dict[str, Any]:
        followed = [[uid, sorted(found.now), sorted(found.before)] for uid, found in sorted(self._followed.items())]
        return {"using": sorted(self._using), "ended": self._ended, "instances": followed}


def _named(desired: Desired) -> tuple[str, frozenset[str]]:
    meta = desired.instance.metadata
    whose = next((owner.uid for owner in meta.owner_references if owner.controller), desired.uid)
    return whose, frozenset(filter(None, map(_name, image_references(desired.instance.spec))))


def _name(reference: str) -> str:
    try:
        return normalised(reference)
    except InvalidReference:
        return ""
