"""Which instance names what, of the things that are followed for as long as somebody names them."""

from typing import Generic, TypeVar

R = TypeVar("R")


class Named(Generic[R]):
    """What each instance names, by its uid."""

    def __init__(self) -> None:
        self._of: dict[str, frozenset[R]] = {}

    def change(self, uid: str, refs: frozenset[R]) -> tuple[frozenset[R], frozenset[R]]:
        """The instance names these now; what came with that, and what went."""
        before = self._of.get(uid, frozenset())
        if refs == before:
            return frozenset(), frozenset()
        if refs:
            self._of[uid] = refs
        else:
            del self._of[uid]
        return refs - before, before - refs

    def clear(self) -> None:
        """Nobody names anything."""
        self._of.clear()
