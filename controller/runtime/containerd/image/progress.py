"""How far a pull is, from the messages of containerd's transfer service. Pure.

What is said is not always progress: while a layer is unpacked, the service tells so three times a second, whether anything
moves or not, and of what is fetched it tells only when there is more. A layer is seen to grow by 1 MiB at a time, since
containerd writes so much at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from controller.runtime.containerd.api.transfer_types_pb2 import Progress
from controller.runtime.port import PullProgress

_HERE: Final = frozenset({"complete", "already exists", "extracting", "extracted", "saved"})
"""Events of a part that is here."""


Progressed = Callable[[PullProgress], None]
"""Is told how far it is."""

_MOVING: Final = frozenset({"downloading", "uploading"})


@dataclass(slots=True)
class _Part:
    """A manifest, a config or a layer."""

    size: int
    present: int = 0
    """Bytes that were here before the pull began."""
    done: int = 0
    unpacked: int = 0
    confirmed: bool = False
    """It is told to be complete where it goes."""


@dataclass(slots=True)
class Tally:
    """Adds up what is told of each part of an image, over the tries of one pull, or of a push."""

    ingested: Mapping[str, int] = field(default_factory=dict)
    """Bytes of parts that an earlier pull has left unfinished, by the part's name."""
    parts: dict[str, _Part] = field(default_factory=dict)
    """By digest."""
    layers: bool = False
    """A layer was named: before, the sum would be that of a few small documents."""
    index: str = ""
    """Digest of what the image's name points at."""
    moves: int = 0
    """How often anything came or was unpacked."""

    def add(self, message: Progress) -> bool:
        """Take in one message; returns whether it tells anything new."""
        digest = message.desc.digest
        if not digest:
            return True
        self.index = self.index or digest
        part = self.parts.get(digest)
        if part is None:
            part = self.parts[digest] = _Part(message.desc.size, min(self.ingested.get(message.name, 0), message.desc.size))
            part.done = part.present
            self.layers = self.layers or "layer" in message.desc.media_type or "rootfs" in message.desc.media_type
            self._take(part, message)
            return True
        return self._take(part, message)

    def _take(self, part: _Part, message: Progress) -> bool:
        before = part.done, part.unpacked
        if message.event == "already exists":
            part.present = part.present if part.done == part.size else part.size
        if message.event in _HERE:
            part.done, part.confirmed = part.size, True
        elif message.event in _MOVING:
            part.done = min(message.progress, part.size)
            part.present = min(part.present, part.done)
        if message.event in {"extracting", "extracted"}:
            part.unpacked = message.progress if message.event == "extracting" else part.size
        moved = (part.done, part.unpacked) > before
        self.moves += moved
        return moved

    @property
    def complete(self) -> bool:
        """Whether every part is here; they may not be unpacked."""
        return self.layers and all(part.done == part.size for part in self.parts.values())

    @property
    def settling(self) -> bool:
        """Whether all bytes of a part have gone, and it is not told yet that they arrived."""
        return any(part.done == part.size and not part.confirmed for part in self.parts.values())

    @property
    def state(self) -> PullProgress:
        """All parts together."""
        parts = self.parts.values()
        total = sum(part.size for part in parts) if self.layers else 0
        return PullProgress(sum(part.done for part in parts), total, sum(part.present for part in parts))


@dataclass(slots=True)
class Told:
    """Takes in what is told of a transfer, and tells how far it is whenever that is something else."""

    tally: Tally
    progress: Progressed | None
    _last: PullProgress | None = None

    def take(self, message: Progress) -> bool:
        """Take in one message; returns whether it tells anything new."""
        new = self.tally.add(message)
        state = self.tally.state
        if self.progress and self.tally.parts and state != self._last:
            self._last = state
            self.progress(state)
        return new
