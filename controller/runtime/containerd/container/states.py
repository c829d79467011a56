"""Observing: where every container is in its life, from its record and its task.

"It has no task" and "its shim could not be asked" must not be taken for each other, and neither must "never started" and "its
task is lost". containerd's list of tasks leaves out those whose shim does not answer, and a list is two calls, between which
things go on. So a container that has no task in the list though it was started is looked at again by itself, where the answer
is definite.
"""

import asyncio

from controller.runtime.containerd.api.containers_pb2 import Container
from controller.runtime.containerd.api.process_pb2 import Process
from controller.runtime.containerd.container import evidence
from controller.runtime.containerd.container.containers import Containers
from controller.runtime.containerd.container.records import (
    Facts,
    created_state,
    decode_facts,
    is_holder,
    lost_state,
    task_state,
    unknown_state,
    was_started,
)
from controller.runtime.containerd.container.tasks import Tasks
from controller.runtime.port import ContainerState, NotFound, Unavailable


class States:
    """Reads the states of one namespace's containers."""

    def __init__(self, containers: Containers, tasks: Tasks) -> None:
        self._containers = containers
        self._tasks = tasks
        self.starting: set[str] = set()
        """Containers that are being started here and now: their log may be there before their task is."""

    async def list(self) -> tuple[ContainerState, ...]:
        """All containers: one call for the records, one for the tasks."""
        records, processes = await asyncio.gather(self._containers.list(), self._tasks.list())
        states, unsure = [], []
        for record in records:
            if is_holder(record.id):
                continue
            state = self._state(record, processes.get(record.id))
            if state is None:
                unsure.append(record.id)
            else:
                states.append(state)
        found = await asyncio.gather(*(self._look_again(container_id) for container_id in unsure))
        return (*states, *(state for state in found if state is not None))

    def _state(self, record: Container, process: Process | None) -> ContainerState | None:
        """The state, or None when the list does not tell."""
        facts = decode_facts(record)
        if process is not None:
            return task_state(record, facts, process)
        if self._surely_created(record, facts):
            return created_state(record, facts)
        return lost_state(record, facts) if facts.boot_id != evidence.boot_id() else None

    async def _look_again(self, container_id: str) -> ContainerState | None:
        try:
            return await self.inspect(container_id)
        except NotFound:
            return None

    async def inspect(self, container_id: str) -> ContainerState:
        """One container. Raises `NotFound`."""
        record = await self._containers.get(container_id)
        facts = decode_facts(record)
        # Asked before the task: what was not started then, and has no task after, cannot be lost.
        created = self._surely_created(record, facts)
        try:
            return task_state(record, facts, await self._tasks.get(container_id))
        except NotFound:
            return created_state(record, facts) if created else lost_state(record, facts)
        except Unavailable:
            return unknown_state(record, facts)

    def _surely_created(self, record: Container, facts: Facts) -> bool:
        return record.id in self.starting or not was_started(record, facts)
