"""Removing what layers were unpacked to, with all that lies on it.

containerd's collector takes a snapshot away without a word to its parent, which goes on naming it as a child. So a layer that
other images were made on, before these were collected, cannot be removed: for containerd it is one that something lies on. Its
collector does not ask for children, but for what names a snapshot: the config of an image names the uppermost of its layers, by
a label. Without that label nothing needs them, and they are collected.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import content_pb2, snapshots_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.snapshots import Snapshots
from controller.runtime.containerd.leases import collect_garbage
from controller.runtime.port import Conflict, NotFound

_NAMES: Final = "containerd.io/gc.ref.snapshot."
"""How the label begins by which a blob keeps a snapshot (containerd, docs/garbage-collection.md); the snapshotter follows."""


class Layers:
    """What was unpacked with one snapshotter in one namespace."""

    def __init__(self, channel: Channel, snapshots: Snapshots) -> None:
        self._channel, self._snapshots = channel, snapshots

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove snapshots; absent is success.

        Args:
            keys: each comes before what it lies on, as `on_top_of` gives them.

        Raises:
            Conflict: when something else needs one of them, as a pull does that is under way. The others are gone.
        """
        for key in keys:
            with suppress(Conflict):
                await self._snapshots.remove(key)
        if left := await self._left(keys):
            await self._unname(left)
            await collect_garbage(self._channel)
            left = await self._left(keys)
        if left:
            raise Conflict(f"something else in containerd still needs {', '.join(left)}")

    async def _left(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of them that are still there."""
        found = await self._snapshots.list() if keys else {}
        return [key for key in keys if key in found]

    async def _unname(self, keys: Sequence[str]) -> None:
        """Take the names of these snapshots from the configs of images; pulling such an image writes its one again."""
        label = f"{_NAMES}{self._snapshots.snapshotter}"
        filters = [f'labels."{label}"=="{key}"' for key in keys]
        answers = self._channel.stream(methods.LIST_CONTENT, content_pb2.ListContentRequest(filters=filters))
        for blob in [info.digest async for answer in answers for info in answer.info]:
            info = content_pb2.Info(digest=blob, labels={label: ""})
            request = content_pb2.UpdateRequest(info=info, update_mask=FieldMask(paths=[f"labels.{label}"]))
            with suppress(NotFound):
                await self._channel.call(methods.UPDATE_CONTENT, request)


def on_top_of(layers: Iterable[str], found: Mapping[str, snapshots_pb2.Info]) -> tuple[str, ...]:
    """These layers, as far as they are there, and all that lies on them; each comes before what it lies on."""
    above: dict[str, list[str]] = {}
    for key, info in found.items():
        above.setdefault(info.parent, []).append(key)
    going: dict[str, None] = {}
    pending = [layer for layer in layers if layer in found]
    while pending:
        key = pending.pop()
        going.pop(key, None)
        going[key] = None
        pending += above.get(key, ())
    return tuple(reversed(going))
