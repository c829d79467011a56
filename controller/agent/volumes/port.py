"""What supervisors and the cleanup pass ask of the node's volumes."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from controller.agent.decide.eviction import Exceeded, SizeLimit
from controller.agent.decide.volumes.mounts import Preparation, Shared
from controller.agent.decide.volumes.wanted import WantedVolume


class Volumes(Protocol):
    """The volumes of this node's instances. One object serves a whole node."""

    def load(self) -> None:
        """Look at what is there from before."""
        ...

    def made(self, uid: str) -> Mapping[str, str]:
        """The volumes of an instance: by id, the state that each was last made in; empty when only its folder is known."""
        ...

    def uids(self) -> frozenset[str]:
        """Of whom there is anything on the node."""
        ...

    def follow(self, uid: str, limits: Sequence[SizeLimit], *, measured: bool) -> None:
        """How much may be in which volumes of an instance now; they are `measured` while it may write into them."""
        ...

    def exceeded(self, uid: str) -> Exceeded | None:
        """The volume of an instance in which more than its limit was found, as long as that is its limit."""
        ...

    async def found(self) -> frozenset[str]:
        """The same, and of whom the runtime holds an image.

        Raises:
            RuntimeFailure: when it could not be asked.
        """
        ...

    async def make(self, uid: str, volumes: Sequence[WantedVolume]) -> Mapping[str, str]:
        """Make volumes, or bring those that are there into the state that is wanted; what is in them stays.

        Returns:
            Why not, by the name of each volume that could not be made.

        Raises:
            VolumeFailure: when nothing can be made now.
        """
        ...

    async def remove(self, uid: str, ids: frozenset[str] | None = None) -> None:
        """Remove volumes with all that is in them; None: all, and all else of the instance. What is not there is success.

        Raises:
            VolumeFailure: when something is left.
        """
        ...

    async def prepare(self, uid: str, container: str, needed: Sequence[Preparation], shared: Shared | None = None) -> None:
        """See to what a container needs to mount its volumes, and to what all containers of the instance share.

        Raises:
            VolumeFailure: when something of it cannot be had.
        """
        ...
