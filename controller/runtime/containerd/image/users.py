"""Users of an image: its own passwd and group files, read once for each stack of layers."""

import asyncio
from collections import OrderedDict
from typing import Final

from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.image.rootfs import layer_folders, read_file
from controller.runtime.oci import User, account_text, container_user
from controller.runtime.port import ContainerConfig, Unsupported

_MOST_BYTES: Final = 1 << 20
"""Of either file; a usual one has 2 kB."""

_REMEMBERED: Final = 64
"""Stacks of layers of which the files are kept in memory."""

Files = tuple[str, str]


class Users:
    """Tells who the processes of containers are."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._files: OrderedDict[str, asyncio.Task[Files]] = OrderedDict()

    async def resolve(self, config: ContainerConfig, chain_id: str) -> User:
        """The user of a container whose image has these layers.

        Raises:
            InvalidConfig: when the image has no such user or group, or it is root and may not be.
            NotFound: when the layers are not on the node.
            Unsupported: when a name is to be looked up, and this snapshotter keeps no files that could be read.
        """
        try:
            passwd, group = await self._read(chain_id) if chain_id else ("", "")
        except Unsupported:
            wanted = account_text(config)
            if not wanted.replace(":", "0").isdigit() and wanted:
                raise
            passwd, group = "", ""
        return container_user(config, passwd, group)

    async def _read(self, chain_id: str) -> Files:
        """The files; those who ask at the same time share one look."""
        task = self._files.get(chain_id)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._files[chain_id] = asyncio.create_task(self._look(chain_id))
            if len(self._files) > _REMEMBERED:
                self._files.popitem(last=False)
        return await asyncio.shield(task)

    async def _look(self, chain_id: str) -> Files:
        async with self._snapshots.view(chain_id) as mounts:
            layers = layer_folders(mounts)
            passwd, group = (read_file(layers, path, _MOST_BYTES) for path in ("/etc/passwd", "/etc/group"))
        return (passwd or b"").decode(errors="replace"), (group or b"").decode(errors="replace")
