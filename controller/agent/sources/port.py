"""The ConfigMaps and Secrets that a node's instances name: all that an agent may ask of whatever serves them.

Rules that everything behind it keeps:

- Only what an instance of this node names is read, for as long as one does.
- *Absent* (it does not exist) and *unread* (nobody could tell) are never confused.
- What was read once stays readable while whoever serves it is away, also for the next agent; a Secret until the node reboots.
- No call waits. Whoever follows an object is woken when it has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """Kinds of objects that hold values, as messages of Kubernetes name them."""

    CONFIG_MAP = "configmap"
    SECRET = "secret"  # noqa: S105 - the kind's name

    @property
    def kind_name(self) -> str:
        """The kind as manifests have it."""
        return "ConfigMap" if self is Kind.CONFIG_MAP else "Secret"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """One object."""

    kind: Kind
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Found:
    """It is there. What it holds is kept out of every text that is made of this."""

    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Of a ConfigMap `data`, as UTF-8; of a Secret `data`, decoded."""
    binary: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """`binaryData` of a ConfigMap, decoded."""
    uid: str = field(default="", compare=False)
    """Of the object; empty where an older agent kept it."""


@dataclass(frozen=True, slots=True)
class Absent:
    """It does not exist."""


@dataclass(frozen=True, slots=True)
class Unread:
    """It was never read."""

    why: str = ""
    """What is in the way, for people; empty while it is just being read."""


View = Found | Absent | Unread


class Sources(Protocol):
    """What serves the objects."""

    def follow(self, uid: str, refs: frozenset[Ref]) -> None:
        """The instance of that uid names these objects now, and no others; none: it lets go of all of them."""

    def view(self, ref: Ref) -> View:
        """What is known of an object that somebody follows."""

    def watches(self) -> Mapping[tuple[str, ...], float]:
        """How many objects are watched, by kind: the values of a gauge."""

    def tidy(self) -> None:
        """Forget what was kept by an earlier agent, and nobody has asked for since the last call."""
