"""The ends of processes that their shim does not tell.

A shim that ends with its last task can be gone before its last events are on their way: after `ctr task rm -f` sometimes
neither the end nor the deletion is told. So the kernel is asked to tell, too, by a file descriptor for each process
(pidfd_open(2)), which costs nothing while it runs. What follows is usually told by the shim within milliseconds, with its exit
code; only when it is not, containerd is asked, and the end is published through containerd, so that it comes in the same
stream as everything else.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final

from controller.runtime.port import ContainerState, EventKind, NotFound, Phase, RuntimeEvent, RuntimeFailure

log = logging.getLogger(__name__)

PAUSES: Final = (0.2, 0.3, 0.5, 1.0, 2.0, 4.0)
"""Seconds from the end of a process, and from question to question, until containerd knows of it.

After that it is left to the next list of the node.
"""
_CLOSED: Final = -1


@dataclass(slots=True)
class _Watched:
    """A process that is watched, or that has ended and has not been told yet."""

    pid: int
    descriptor: int
    asking: asyncio.Task[None] | None = None


class Ends:
    """Watches the processes of containers for as long as somebody reads the events."""

    def __init__(
        self, inspect: Callable[[str], Awaitable[ContainerState]], publish: Callable[[ContainerState, int], Awaitable[None]]
    ) -> None:
        """Take how to ask for a container, and how to publish the end of one, with the process id that it had."""
        self._inspect, self._publish = inspect, publish
        self._watched: dict[str, _Watched] = {}
        self._readers = 0

    async def listen(self, events: AsyncGenerator[RuntimeEvent, None]) -> AsyncGenerator[RuntimeEvent, None]:
        """Pass the events on; while that goes on, processes are watched."""
        self._readers += 1
        try:
            async with aclosing(events):
                async for event in events:
                    if event.kind in {EventKind.EXITED, EventKind.REMOVED}:
                        self._forget(event.container_id)
                    yield event
        finally:
            self._readers -= 1
            if not self._readers:
                for container_id in tuple(self._watched):
                    self._forget(container_id)

    def follow(self, states: Iterable[ContainerState]) -> None:
        """Watch those that run; once more is the same."""
        if not self._readers:
            return
        for state in states:
            if state.phase not in {Phase.RUNNING, Phase.PAUSED} or not state.pid:
                continue
            known = self._watched.get(state.id)
            if known is None or known.pid != state.pid:
                self._forget(state.id)
                self._watch(state.id, state.pid)

    def _watch(self, container_id: str, pid: int) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._watched[container_id] = _Watched(pid, _CLOSED)
            self._ended(container_id)
        except OSError as exc:  # its end is told by the shim all the same, or found by the next list
            log.debug("the end of %s is not watched: %s", container_id, exc)
        else:
            self._watched[container_id] = _Watched(pid, descriptor)
            asyncio.get_running_loop().add_reader(descriptor, self._ended, container_id)

    def _ended(self, container_id: str) -> None:
        watched = self._watched[container_id]
        self._close(watched)
        watched.asking = asyncio.create_task(self._ask(container_id, watched.pid), name=f"end of {container_id}")

    async def _ask(self, container_id: str, pid: int) -> None:
        for pause in PAUSES:
            await asyncio.sleep(pause)
            try:
                state = await self._inspect(container_id)
                if state.phase is Phase.EXITED:
                    await self._publish(state, pid)
                    return
            except NotFound:
                return
            except RuntimeFailure:
                continue

    def _forget(self, container_id: str) -> None:
        watched = self._watched.pop(container_id, None)
        if watched is None:
            return
        if watched.asking is not None:
            watched.asking.cancel()
        self._close(watched)

    @staticmethod
    def _close(watched: _Watched) -> None:
        if watched.descriptor == _CLOSED:
            return
        with suppress(RuntimeError):  # the loop is closed
            asyncio.get_running_loop().remove_reader(watched.descriptor)
        os.close(watched.descriptor)
        watched.descriptor = _CLOSED
