"""Tasks: what runs of a container."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any as Json
from typing import Final

from google.protobuf.any_pb2 import Any

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import cgroups1_pb2, cgroups2_pb2, tasks_pb2
from controller.runtime.containerd.api.process_pb2 import Process
from controller.runtime.containerd.api.types_pb2 import Metric, Mount
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.records import Facts
from controller.runtime.port import Conflict, ContainerStats, NotFound

RESOURCES_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"

KILL: Final = 9
END_SECONDS: Final = 10.0
"""How long a process may take to be gone after SIGKILL; longer only while it hangs in the kernel."""


class Tasks:
    """Tasks of one namespace."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def create(self, container_id: str, mounts: Sequence[Mount], facts: Facts, stdin: str = "") -> int:
        """Make the task: the OCI runtime sets all up and waits with the command. Raises `AlreadyExists`, `NotFound`.

        Returns the pid of what is to become the command.

        The shim itself writes the log, so that no byte is lost and no writer blocked whatever happens to this process. The file
        is there already, and is named in two ways: with one name for both streams (as a `file://` URI always has), the shim
        shares one open file and closes it when the first stream ends, and what was last written to the other is lost. With a
        terminal there is one stream, and the shim does not append: see terminals.py.

        Args:
            container_id: whose task it is.
            mounts: its root file system.
            facts: what is known of it.
            stdin: a pipe (fifo(7)) for its standard input; the shim opens both ends, and its name is not needed after that.
        """
        log = facts.log_path
        folder, _, name = log.rpartition("/")
        if facts.tty:
            stdout, stderr = log or os.devnull, ""
        else:
            # Without a log, but with standard input, the shim wants files to copy to all the same.
            stdout, stderr = (log, f"{folder}/./{name}") if log else (os.devnull, os.devnull) if stdin else ("", "")
        request = tasks_pb2.CreateTaskRequest(
            container_id=container_id,
            rootfs=mounts,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=facts.tty,
        )
        return (await self._channel.call(methods.CREATE_TASK, request)).pid

    async def start(self, container_id: str) -> int:
        """Let the command run; returns its pid. Raises `Conflict` when it was started before."""
        return (await self._channel.call(methods.START_TASK, tasks_pb2.StartRequest(container_id=container_id))).pid

    async def get(self, container_id: str) -> Process:
        """One task. Raises `NotFound` when the container has none, or does not exist."""
        return (await self._channel.call(methods.GET_TASK, tasks_pb2.GetRequest(container_id=container_id))).process

    async def list(self) -> dict[str, Process]:
        """All tasks by their container. containerd leaves out those whose shim does not answer it."""
        answer = await self._channel.call(methods.LIST_TASKS, tasks_pb2.ListTasksRequest())
        return {process.id: process for process in answer.tasks}

    async def kill(self, container_id: str, number: int) -> None:
        """Send a signal to the main process. Raises `NotFound`."""
        await self._channel.call(methods.KILL, tasks_pb2.KillRequest(container_id=container_id, signal=number))

    async def delete(self, container_id: str) -> bool:
        """Delete a task, killing what runs of it; absent is success. Returns whether there was one.

        It is tried without a kill first, since most tasks that are deleted have ended: that is one call instead of three.
        """
        try:
            return await self._delete(container_id)
        except Conflict:
            await self._end(container_id)
            await self._delete(container_id)
            return True

    async def _delete(self, container_id: str) -> bool:
        try:
            await self._channel.call(methods.DELETE_TASK, tasks_pb2.DeleteTaskRequest(container_id=container_id))
        except NotFound:
            return False
        return True

    async def _end(self, container_id: str) -> None:
        with suppress(NotFound):
            await self.kill(container_id, KILL)
        # Waited for even if there was nothing to kill any more: the shim may not have noticed that end yet.
        with suppress(NotFound):
            request = tasks_pb2.WaitRequest(container_id=container_id)
            await self._channel.call(methods.WAIT, request, seconds=END_SECONDS)

    async def update(self, container_id: str, resources: dict[str, Json]) -> None:
        """Change the limits of what runs."""
        limits = Any(type_url=RESOURCES_TYPE, value=json.dumps(resources).encode())
        request = tasks_pb2.UpdateTaskRequest(container_id=container_id, resources=limits)
        await self._channel.call(methods.UPDATE_TASK, request)

    async def pause(self, container_id: str) -> None:
        """Freeze the cgroup."""
        await self._channel.call(methods.PAUSE, tasks_pb2.PauseTaskRequest(container_id=container_id))

    async def resume(self, container_id: str) -> None:
        """Thaw the cgroup."""
        await self._channel.call(methods.RESUME, tasks_pb2.ResumeTaskRequest(container_id=container_id))

    async def stats(self) -> tuple[ContainerStats, ...]:
        """What every task uses, in one call."""
        answer = await self._channel.call(methods.METRICS, tasks_pb2.MetricsRequest())
        return tuple(found for metric in answer.metrics if (found := _stats(metric)) is not None)


def _stats(metric: Metric) -> ContainerStats | None:
    """Decode a measurement; None for a kind that is not known (another OCI runtime's)."""
    if metric.data.type_url.endswith("io.containerd.cgroups.v1.Metrics"):
        old = cgroups1_pb2.Metrics.FromString(metric.data.value)
        used = old.memory.usage.usage - old.memory.total_inactive_file
        return ContainerStats(metric.id, old.cpu.usage.total / 1e9, max(used, 0), old.pids.current)
    if metric.data.type_url.endswith("io.containerd.cgroups.v2.Metrics"):
        new = cgroups2_pb2.Metrics.FromString(metric.data.value)
        used = new.memory.usage - new.memory.inactive_file
        return ContainerStats(metric.id, new.cpu.usage_usec / 1e6, max(used, 0), new.pids.current)
    return None
