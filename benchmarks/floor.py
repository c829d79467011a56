"""The floor: containers started by bare calls of containerd's API, and nothing else.

The calls are the fewest that do it: container record, snapshot, task, start, through the same gRPC channel that the agent uses.
The record goes first, since what it names is safe from containerd's garbage collector from then on, without a lease. Every
container has a shim of its own, as every instance of Moorage has.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty

from benchmarks.network import Network
from benchmarks.workloads import COMMAND
from controller.runtime.containerd import methods
from controller.runtime.containerd.api import containers_pb2, snapshots_pb2, tasks_pb2
from controller.runtime.containerd.api.containers_pb2 import Container
from controller.runtime.containerd.api.process_pb2 import RUNNING
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.containers import SPEC_TYPE
from controller.runtime.containerd.handlers import RUNC
from controller.runtime.containerd.host import detect_host
from controller.runtime.oci import User, runtime_spec
from controller.runtime.port import ContainerConfig, NotFound, RuntimeFailure
from tools.progress import ToolError

NAMESPACE = "moorage-floor"
PARALLEL = 4
SNAPSHOTTER = "overlayfs"
SECONDS = 30.0


class Floor:
    """Starts and removes containers in a containerd namespace of their own."""

    def __init__(self, address: str, chain_id: str, logs: Path, cgroup: str, network: Network) -> None:
        """Remember where.

        Args:
            address: containerd's socket.
            chain_id: name of the snapshot that the image is unpacked to.
            logs: folder for the output of containers whose spec is the product's.
            cgroup: path of the cgroup to make the containers' below.
            network: attaches those that are to have a network of their own.
        """
        self._address = address
        self._chain_id = chain_id
        self._logs = logs
        self._cgroup = cgroup
        self._network = network

    def start(self, ids: Iterable[str], *, product_spec: bool = False, attached: bool = False) -> float:
        """Start containers; returns the seconds from the first call to the last answer."""

        def work(channel: Channel) -> Callable[[str], Awaitable[None]]:
            return lambda name: self._start(channel, name, product_spec=product_spec, attached=attached)

        return asyncio.run(self._timed(ids, work))

    def remove(self, ids: Iterable[str], *, attached: bool = False) -> float:
        """Kill and remove containers, and their networks; returns the seconds it took."""

        async def one(channel: Channel, name: str) -> None:
            await _remove(channel, name)
            if attached:
                await self._network.detach(name)

        return asyncio.run(self._timed(ids, lambda channel: lambda name: one(channel, name)))

    def kill(self, name: str) -> float:
        """Kill a container's process and start another container when its end is seen; returns the seconds from the kill on.

        Both containers are removed afterwards.
        """
        return asyncio.run(self._kill(name))

    async def _timed(self, ids: Iterable[str], work: Callable[[Channel], Callable[[str], Awaitable[None]]]) -> float:
        channel = await self._connect()
        try:
            turn = asyncio.Semaphore(PARALLEL)
            do = work(channel)

            async def one(name: str) -> None:
                async with turn:
                    await do(name)

            begun = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for name in ids:
                    group.create_task(one(name))
            return time.monotonic() - begun
        except* RuntimeFailure as failures:
            raise ToolError(f"containerd: {failures.exceptions[0]}") from failures
        except* ToolError as failures:
            raise ToolError(str(failures.exceptions[0])) from failures
        finally:
            await channel.close()

    async def _kill(self, name: str) -> float:
        channel = await self._connect()
        try:
            await self._start(channel, name)
            pid = (await channel.call(methods.GET_TASK, tasks_pb2.GetRequest(container_id=name))).process.pid
            end = asyncio.create_task(channel.call(methods.WAIT, tasks_pb2.WaitRequest(container_id=name), seconds=SECONDS))
            await asyncio.sleep(0.5)  # so that the start is over, as it is for the containers of the product that are killed
            begun = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            await end
            await self._start(channel, f"{name}-again")
            passed = time.monotonic() - begun
            await _remove(channel, name)
            await _remove(channel, f"{name}-again")
            return passed
        finally:
            await channel.close()

    async def _connect(self) -> Channel:
        channel = Channel(self._address, NAMESPACE)
        await channel.call(methods.VERSION, Empty())
        return channel

    async def _start(self, channel: Channel, name: str, *, product_spec: bool = False, attached: bool = False) -> None:
        output = f"file://{self._logs / name}.log" if product_spec else ""
        spec = (product_like_spec if product_spec else plain_spec)(name, self._cgroup)
        if attached:
            spec["linux"]["namespaces"].append({"type": "network", "path": await self._network.attach(name)})
        record = Container(
            id=name,
            runtime=Container.Runtime(name=RUNC),
            spec=AnyMessage(type_url=SPEC_TYPE, value=json.dumps(spec).encode()),
            snapshotter=SNAPSHOTTER,
            snapshot_key=name,
        )
        await channel.call(methods.CREATE_CONTAINER, containers_pb2.CreateContainerRequest(container=record))
        wanted = snapshots_pb2.PrepareSnapshotRequest(snapshotter=SNAPSHOTTER, key=name, parent=self._chain_id)
        mounts = (await channel.call(methods.PREPARE, wanted)).mounts
        task = tasks_pb2.CreateTaskRequest(container_id=name, rootfs=mounts, stdout=output, stderr=output)
        await channel.call(methods.CREATE_TASK, task)
        await channel.call(methods.START_TASK, tasks_pb2.StartRequest(container_id=name))


async def _remove(channel: Channel, name: str) -> None:
    """Kill what runs, and remove all four in the reverse order of their making."""
    process = (await channel.call(methods.GET_TASK, tasks_pb2.GetRequest(container_id=name))).process
    if process.status == RUNNING:
        await channel.call(methods.KILL, tasks_pb2.KillRequest(container_id=name, signal=signal.SIGKILL))
        await channel.call(methods.WAIT, tasks_pb2.WaitRequest(container_id=name), seconds=SECONDS)
    await channel.call(methods.DELETE_TASK, tasks_pb2.DeleteTaskRequest(container_id=name))
    await channel.call(methods.DELETE_CONTAINER, containers_pb2.DeleteContainerRequest(id=name))
    with suppress(NotFound):  # containerd's garbage collector was faster, as nothing refers to it any more
        await channel.call(methods.REMOVE_SNAPSHOT, snapshots_pb2.RemoveSnapshotRequest(snapshotter=SNAPSHOTTER, key=name))


def plain_spec(name: str, cgroup: str) -> dict[str, Any]:
    """The least that `sleep` needs: three namespaces, /proc and /dev, a cgroup, the node's network."""
    return {
        "ociVersion": "1.1.0",
        "process": {"user": {"uid": 0, "gid": 0}, "args": list(COMMAND), "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}],
            "cgroupsPath": f"{cgroup}/{name}",
        },
    }


_CONFIG = ContainerConfig(
    id="",
    image="",
    args=COMMAND,
    labels={},
    env=(("PATH", "/bin"), ("HOSTNAME", "node")),
)


def product_like_spec(name: str, cgroup: str) -> dict[str, Any]:
    """What Moorage writes for such a container: capabilities, system call filter, masked paths, all default mounts."""
    return runtime_spec(replace(_CONFIG, id=name, cgroup_parent=cgroup), User(0, 0), _host())


_host = cache(detect_host)
