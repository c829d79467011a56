"""The whole of what a node's runtime is asked."""

import enum
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from controller.runtime.port.containers import Containers
from controller.runtime.port.events import RuntimeEvent
from controller.runtime.port.images import Images


class Feature(enum.StrEnum):
    """What a runtime may or may not be able to do; declared in `RuntimeInfo.features`."""

    HOST_NETWORK = "host-network"
    NETWORK_NAMESPACE = "network-namespace"
    """Join a network namespace given by path."""
    RESOURCE_UPDATE = "resource-update"
    PAUSE = "pause"
    EXEC = "exec"


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What the runtime is."""

    name: str
    version: str
    features: frozenset[Feature] = frozenset()
    snapshotters: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()
    """Names of the runtime handlers that a container may ask for, the default one first."""
    root_dir: str = ""
    """Where images and containers are stored, to watch its file system; empty when unknown."""


class Runtime(Images, Containers, Protocol):
    """The node runtime API. One object serves a whole node; all calls may run at the same time."""

    async def info(self) -> RuntimeInfo:
        """What the runtime is. Raises `Unsupported` when its version is too old, in words that say what is needed."""
        ...

    def events(self) -> AsyncGenerator[RuntimeEvent, None]:
        """Events of this node's containers and images, `SUBSCRIBED` first.

        The stream ends only by an exception: `Unavailable` when the connection broke. Then subscribe again, and list. Leave
        it with `contextlib.aclosing`, so that the subscription ends when its reader does.
        """
        ...

    async def tidy(self) -> int:
        """Remove what a crash left: of the runtime, which is counted, and of the process before this one. Called now and then.

        Only what was lost at the call before, too, is removed: the rest may be about to be taken up.
        """
        ...

    async def close(self) -> None:
        """Close the connection. What runs goes on."""
        ...
