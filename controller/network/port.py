"""The networks of a node's instances: all that an agent may ask of whatever makes them.

One instance has one network, named by the instance's uid; its containers join it by path. The port speaks of making it as it is
asked for and of removing it, not of how it is connected to the world.

Rules that everything behind it keeps:

- Making what is there as asked for, and removing what is not, is success and changes nothing.
- What a failing call had begun is made good by the next one, or by `remove`.
- Every call has a deadline; when it passes, `NetworkFailure` is raised, and a later call for the same instance waits for it.
- Addresses stay the same for as long as the network is there.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.api.hostports import HostPort


class NetworkFailure(Exception):  # noqa: N818 - as the runtime's tree of words for what went wrong
    """A network could not be made or removed; `str()` of it is a sentence for people."""


class NetworkState(enum.Enum):
    """What there is of one instance's network."""

    ABSENT = "absent"
    BROKEN = "broken"
    """Something is left of it, but it is not as asked for: the node was restarted, making it was interrupted, or what is asked
    for has changed."""
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Resolver:
    """Whom to ask for names (resolv.conf(5))."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """`name` or `name:value` each."""


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """The network that is asked for."""

    attached: bool = False
    """Connected to the world, by whatever the node is configured to use; otherwise there is nothing but loopback."""
    ports: tuple[HostPort, ...] = ()
    ingress_bandwidth: str = field(default="", compare=False)
    """Most that it may receive, in bits per second as a quantity; empty: no limit. Counts at the time of being attached."""
    egress_bandwidth: str = field(default="", compare=False)
    """The same for what it sends."""
    dns: Resolver | None = field(default=None, compare=False)
    """What the instance's resolver is told, for networks that want to know."""
    owner: str = field(default="", compare=False)
    """The instance, in messages: `namespace/name`."""


class Networks(Protocol):
    """The networks of this node's instances."""

    def load(self) -> None:
        """Look at what is there from before; to be called once, before anything else."""
        ...

    def state(self, uid: str, request: NetworkRequest | None = None) -> NetworkState:
        """What there is of one instance's network; without a request, any that can be joined is READY.

        Costs nothing for instances that have none.
        """
        ...

    def addresses(self, uid: str) -> tuple[str, ...]:
        """Addresses of the instance, the one to tell people first; none when it is not attached."""
        ...

    def uids(self) -> frozenset[str]:
        """Uids of the instances of which there is anything."""
        ...

    async def create(self, uid: str, request: NetworkRequest, pids: Sequence[int] = ()) -> None:
        """Make the network of an instance, or make it as asked for.

        Args:
            uid: the instance's.
            request: what is asked for.
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

    def trouble(self) -> str:
        """Why no instance can be attached on this node now; empty when nothing is known to be in the way."""
        ...
