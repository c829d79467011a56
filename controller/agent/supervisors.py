"""The supervisors of one node: one for each instance, and which of them look again when something changed."""

import asyncio
from collections.abc import Callable
from typing import Final

from controller.agent.store import Store
from controller.agent.supervisor import Supervisor

END_SECONDS: Final = 10.0
"""How long the end waits for work that is under way."""


class Supervisors:
    """Begins them, wakes them and ends them; one whose instance is gone ends by itself."""

    def __init__(self, store: Store, make: Callable[[str], Supervisor]) -> None:
        """Prepare it.

        Args:
            store: the instances that the node is to have.
            make: gives the supervisor of the instance of a uid.
        """
        self._store, self._make = store, make
        self._running: dict[str, tuple[Supervisor, asyncio.Task[None]]] = {}
        self._closed = False

    def __len__(self) -> int:
        """How many there are."""
        return len(self._running)

    def ensure(self, uid: str) -> None:
        """There is one for this instance from now on, until nothing of it is left."""
        if uid in self._running or self._closed:
            return
        supervisor = self._make(uid)
        task = asyncio.create_task(supervisor.run(), name=f"supervisor {uid}")
        self._running[uid] = (supervisor, task)
        task.add_done_callback(lambda _: self._running.pop(uid, None))

    def wake(self, uid: str) -> None:
        """Something about this instance changed."""
        found = self._running.get(uid)
        if found is not None:
            found[0].wake()

    def wake_all(self) -> None:
        """Something changed that may matter to each."""
        for supervisor, _ in self._running.values():
            supervisor.wake()

    def level_changed(self, namespace: str) -> None:
        """What a namespace enforces has changed."""
        for desired in self._store:
            if desired.instance.metadata.namespace == namespace:
                self.wake(desired.uid)

    def class_changed(self, name: str) -> None:
        """A RuntimeClass came, changed or went; empty when all are known now, which matters to whoever names one."""
        for desired in self._store:
            wanted = desired.instance.spec.runtime_class_name
            if wanted is not None and name in {wanted, ""}:
                self.wake(desired.uid)

    def close(self) -> None:
        """None begins any more."""
        self._closed = True

    async def end(self) -> frozenset[asyncio.Task[None]]:
        """End all after what is under way; returns those that take too long, which are to be cancelled."""
        for supervisor, _ in self._running.values():
            supervisor.end()
        running = [task for _, task in self._running.values()]
        if not running:
            return frozenset()
        _, late = await asyncio.wait(running, timeout=END_SECONDS)
        return frozenset(late)
