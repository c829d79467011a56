"""Users of an image: its own passwd and group files, read once for each stack of layers."""

import asyncio
from collections import OrderedDict
from typing import Final

from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.image.rootfs import layer_folders, read_file
from controller.runtime.oci import User, resolve_user
from controller.runtime.port import Unsupported

_MOST_BYTES: Final = 1 << 20
"""Of either file; a usual one has 2 kB."""

_REMEMBERED: Final = 64
"""Stacks of layers of which the files are kept in memory."""

Files = tuple[str, str]


class Users:
    """Resolves `ContainerConfig.user`."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._files: OrderedDict[str, asyncio.Task[Files]] = OrderedDict()

    async def resolve(self, user: str, chain_id: str) -> User:
        """Resolve a user in the image with these layers.

        Raises:
            InvalidConfig: when the image has no such user or group.
            NotFound: when the layers are not on the node.
            Unsupported: when a name is to be looked up, and this snapshotter keeps no files that could be read.
        """
        try:
            passwd, group = await self._read(chain_id) if chain_id else ("", "")
        except Unsupported:
            if not user.replace(":", "0").isdigit() and user:
                raise
            passwd, group = "", ""
        return resolve_user(user, passwd, group)

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
