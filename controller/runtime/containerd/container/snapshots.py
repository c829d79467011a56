"""Root file systems, as layers on layers."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import snapshots_pb2
from controller.runtime.containerd.api.types_pb2 import Mount
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.leases import lease
from controller.runtime.port import NotFound


class Snapshots:
    """Snapshots of one snapshotter in one namespace."""

    def __init__(self, channel: Channel, snapshotter: str) -> None:
        self._channel = channel
        self.snapshotter = snapshotter

    async def prepare(self, key: str, parent: str) -> Sequence[Mount]:
        """Make a writable snapshot; returns how it is mounted. Raises `AlreadyExists`, `NotFound` when the parent is gone."""
        request = snapshots_pb2.PrepareSnapshotRequest(snapshotter=self.snapshotter, key=key, parent=parent)
        return (await self._channel.call(methods.PREPARE, request)).mounts

    async def mounts(self, key: str) -> Sequence[Mount]:
        """How a snapshot is mounted. Raises `NotFound`."""
        request = snapshots_pb2.MountsRequest(snapshotter=self.snapshotter, key=key)
        return (await self._channel.call(methods.MOUNTS, request)).mounts

    async def made_at(self, key: str) -> int:
        """When a snapshot was made, in nanoseconds since the epoch: another time is another snapshot. 0 when there is none."""
        request = snapshots_pb2.StatSnapshotRequest(snapshotter=self.snapshotter, key=key)
        try:
            return (await self._channel.call(methods.STAT_SNAPSHOT, request)).info.created_at.ToNanoseconds()
        except NotFound:
            return 0

    async def list(self) -> Mapping[str, snapshots_pb2.Info]:
        """All snapshots, by their names."""
        request = snapshots_pb2.ListSnapshotsRequest(snapshotter=self.snapshotter)
        answers = self._channel.stream(methods.LIST_SNAPSHOTS, request)
        return {info.name: info async for answer in answers for info in answer.info}

    async def remove(self, key: str) -> None:
        """Remove a snapshot; absent is success."""
        request = snapshots_pb2.RemoveSnapshotRequest(snapshotter=self.snapshotter, key=key)
        try:
            await self._channel.call(methods.REMOVE_SNAPSHOT, request)
        except NotFound:
            return

    @asynccontextmanager
    async def view(self, parent: str) -> AsyncIterator[Sequence[Mount]]:
        """How a committed snapshot would be mounted for reading: only a snapshot on top of it tells, and that is gone after.

        Raises:
            NotFound: when there is no such snapshot.
        """
        key = f"moorage-view-{secrets.token_hex(8)}"
        request = snapshots_pb2.ViewSnapshotRequest(snapshotter=self.snapshotter, key=key, parent=parent)
        async with lease(self._channel) as held:
            try:
                yield (await self._channel.call(methods.VIEW, request, lease=held)).mounts
            finally:
                await self.remove(key)
