"""The networks of a node's instances: all that an agent may ask of whatever makes them.

One instance has one network, named by the instance's uid; its containers join it by path. The port speaks of making and
removing it, not of what it is connected to: attachment to the world goes behind it.

Rules that everything behind it keeps:

- Making what is there, and removing what is not, is success and changes nothing.
- What a failing call had begun is made good by the next one, or by `remove`.
- Every call has a deadline; when it passes, `NetworkFailure` is raised, and a later call for the same instance waits for it.
"""

import enum
from collections.abc import Sequence
from typing import Protocol


class NetworkFailure(Exception):  # noqa: N818 - as the runtime's tree of words for what went wrong
    """A network could not be made or removed; `str()` of it is a sentence for people."""


class NetworkState(enum.Enum):
    """What there is of one instance's network."""

    ABSENT = "absent"
    BROKEN = "broken"
    """Something is left of it, but nothing can join it: the node was restarted, or making it was interrupted."""
    READY = "ready"


class Networks(Protocol):
    """The networks of this node's instances."""

    def load(self) -> None:
        """Look at what is there from before; to be called once, before anything else."""
        ...

    def state(self, uid: str) -> NetworkState:
        """What there is of one instance's network. Costs nothing for instances that have none."""
        ...

    def uids(self) -> frozenset[str]:
        """Uids of the instances of which there is anything."""
        ...

    async def create(self, uid: str, pids: Sequence[int] = ()) -> None:
        """Make the network of an instance.

        Args:
            uid: the instance's.
            pids: processes of the instance that run already: if one of them is in a network of its own, that one it is.

        Raises:
            NetworkFailure: when it could not be made; the message names the cause.
        """
        ...

    async def remove(self, uid: str) -> None:
        """Remove the network of an instance, and every trace of it.

        Raises:
            NetworkFailure: when something is left.
        """
        ...
