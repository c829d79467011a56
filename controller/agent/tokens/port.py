"""Tokens of the ServiceAccounts that a node's instances act for: all that an agent may ask of whatever gives them out.

Rules that everything behind it keeps:

- Only what an instance of this node mounts is asked for, for as long as it does; each instance has tokens of its own.
- A token is replaced before it ends, and stays until then while no new one is to be had.
- A token is in memory alone, and in no text that is made of these values.
- No call waits. Whoever follows a token is woken when it has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class TokenRef:
    """One token of one instance, which all of its containers share."""

    uid: str
    """Of the instance."""
    namespace: str
    account: str
    """Name of the ServiceAccount."""
    audience: str = ""
    """Whom it is for; empty: the API server."""
    seconds: int = 3600
    """For how long it is asked for."""


@dataclass(frozen=True, slots=True)
class Token:
    """It is there, and good now."""

    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoToken:
    """There is none now."""

    why: str = ""
    """What is in the way, for people; empty while it is just being asked for."""


TokenView = Token | NoToken


class Tokens(Protocol):
    """What gives them out."""

    def follow(self, uid: str, refs: frozenset[TokenRef]) -> None:
        """The instance of that uid mounts these tokens now, and no others; none: it lets go of all of them."""

    def view(self, ref: TokenRef) -> TokenView:
        """What there is of a token that somebody follows."""

    def counts(self) -> Mapping[tuple[str, ...], float]:
        """How many are followed, by `fresh`, `late` (should have been replaced) and `missing`: the values of a gauge."""
