"""Which containers share a shim.

Containers with the same value of an annotation are served by one shim: 22 MB for 40 containers in place of 18 MB for each.
The shim's socket is named after that value, and the shim ends with its last container. Both have gaps in which a second one
goes wrong:

- Two first containers at the same time may each start a shim, of which one is then never used and never ends: the second one
  finds the socket bound but not yet listening, and takes it for a dead one.
- A container made while the shim is about to end is given that shim. And the shim that ends removes the socket of one that
  took over its name: that one goes on, but after a restart of containerd it is not found any more, and its containers are
  killed.

So tasks of one shim are made and deleted one after the other, and the value is never used again once a shim was left by its
last container: the next one of the group gets a new value. That somebody else deleted a
task (`ctr task rm`) is told by `departed`. What this process has not made itself it does not share with: after a restart of
the agent, a group may have two shims for a while.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

GROUP: Final = "io.containerd.runc.v2.group"
"""Annotation that names the shim: containers with the same value share one."""


@dataclass(slots=True, eq=False)
class _Shim:
    """A shim, to be or there already."""

    name: str
    group: str
    members: set[str] = field(default_factory=set)
    """Containers that are to be served by it."""
    tasks: set[str] = field(default_factory=set)
    """Those of them that are."""
    left: bool = False
    """Its last task has left it: it ends, or has."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Groups:
    """The shims of the containers that this process has made."""

    def __init__(self) -> None:
        self._of_group: dict[str, _Shim] = {}
        self._of_container: dict[str, _Shim] = {}

    def join(self, container_id: str, group: str) -> str:
        """Choose the shim of a container, unless it has one; without a group it is one of its own. Returns the shim's name."""
        known = self._of_container.get(container_id)
        if known is not None and not known.left:
            return known.name
        shim = self._of_group.get(group) if group else None
        if shim is None or shim.left:
            shim = _Shim(f"{group or container_id}.{secrets.token_hex(4)}", group)
            if group:
                self._of_group[group] = shim
        shim.members.add(container_id)
        self._of_container[container_id] = shim
        return shim.name

    def knows(self, container_id: str) -> bool:
        """Whether a container was made here."""
        return container_id in self._of_container

    def departed(self, container_id: str) -> None:
        """A container's task is gone, whoever deleted it; the shim that it was the last one of must not be joined any more."""
        shim = self._of_container.get(container_id)
        if shim is not None:
            self._depart(shim, container_id)

    def abandon(self, container_id: str) -> None:
        """The shim that was chosen for a container has ended, with whatever was in it."""
        shim = self._of_container.get(container_id)
        if shim is not None:
            shim.left = True

    def leave(self, container_id: str) -> None:
        """Forget a container that has no task any more, or never had one."""
        shim = self._of_container.pop(container_id, None)
        if shim is None:
            return
        shim.members.discard(container_id)
        if not shim.members and self._of_group.get(shim.group) is shim:
            del self._of_group[shim.group]

    @asynccontextmanager
    async def starting(self, container_id: str) -> AsyncIterator[str]:
        """While a task is made; yields the name of another shim when the chosen one cannot be used, else nothing."""
        shim, changed = self._of_container.get(container_id), ""
        if shim is None or shim.left:
            changed = self.join(container_id, "")
            shim = self._of_container[container_id]
        async with shim.lock:
            if shim.left:  # while the lock was waited for
                changed = self.join(container_id, "")
                shim = self._of_container[container_id]
            shim.tasks.add(container_id)
            try:
                yield changed
            except BaseException:
                self._depart(shim, container_id)
                raise

    @asynccontextmanager
    async def ending(self, container_id: str) -> AsyncIterator[None]:
        """While a task is deleted."""
        shim = self._of_container.get(container_id)
        if shim is None:
            yield
            return
        async with shim.lock:
            self._depart(shim, container_id)
            yield

    @staticmethod
    def _depart(shim: _Shim, container_id: str) -> None:
        if container_id in shim.tasks:
            shim.tasks.discard(container_id)
            shim.left = not shim.tasks
