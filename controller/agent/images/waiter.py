"""Who waits for an image. What concerns one waiter's pull alone is a field here, so that pulls can be told apart by it."""

from collections.abc import Callable
from dataclasses import dataclass

from controller.agent.decide.credentials.claim import NOTHING, Claim
from controller.agent.decide.observation import Pull
from controller.runtime.port import ImageState

Done = Callable[[ImageState | None, Pull | None], None]
"""Told at the end of a pull: the image, or how the pull failed. Neither: it was another's, by other credentials, and says
nothing to this one, who has to look again."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """One who waits for the end of a pull."""

    done: Done
    """Called once, from the loop; it must not raise."""
    claim: Claim = NOTHING
    """The Secrets by which it may be let in to the image."""
    anew: bool = False
    """The registry has to be asked what the name means now, also when an image of it is on the node."""
    archive: str = ""
    """Path of the archive that it is to come from; empty: from its registry."""
    moved: Callable[[], None] = lambda: None
    """Called each time that there is something new to tell of the pull's progress, as seldom as people look; likewise."""
