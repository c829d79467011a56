"""The volumes of a node, in a folder for each instance: `<folder>/<uid>/<kind>~<name>~<hash>`, and `subpaths` beside them.

A volume is made when its marker is there, an empty file beside its folder: what was begun before that is begun anew. Besides,
only what was last asked for is kept, in memory: an agent that begins asks for everything once, and finds it there.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from controller import kernel
from controller.agent.decide.eviction import Exceeded, SizeLimit
from controller.agent.decide.volumes.mounts import PRIVATE, Preparation, Shared
from controller.agent.decide.volumes.wanted import Files, Folder, ImageVolume, NodePath, VolumeFailure, WantedVolume
from controller.agent.volumes import commons, files, hostpaths, images, ownership, paths
from controller.agent.volumes.limits import SizeLimits
from controller.agent.volumes.place import Place
from controller.runtime.port import ImageFiles, NotFound, Runtime, RuntimeFailure, Unavailable

log = logging.getLogger(__name__)

FOLDER: Final = "volumes"
"""Below the agent's state folder."""

_MARKER: Final = ".made"
_IMAGE: Final = "image~"
_OPEN_TO_ALL: Final = 0o777


class NodeVolumes:
    """See `controller.agent.volumes.port.Volumes`."""

    def __init__(self, folder: str, place: Place, runtime: Runtime) -> None:
        self._folder, self._place, self._runtime = folder, place, runtime
        self._made: dict[str, dict[str, str]] = {}
        self._limits = SizeLimits(folder, place, lambda uid, id_: bool(self.made(uid).get(id_)))
        self._sharing: set[str] = set()
        """Uids of those whose containers share what they are to share."""

    def load(self) -> None:
        """List the folder. What is no folder in it was made by somebody else, and is left alone."""
        with suppress(FileNotFoundError):
            for folder in filter(Path.is_dir, Path(self._folder).iterdir()):
                ids = {path.name.removesuffix(_MARKER) for path in folder.glob("*~*")}
                self._made[folder.name] = dict.fromkeys(ids, "")
        self._limits.load()

    def made(self, uid: str) -> Mapping[str, str]:
        """By id, the state that each was last made in."""
        return dict(self._made.get(uid, {}))

    def uids(self) -> frozenset[str]:
        """Those that may have a folder."""
        return frozenset(self._made)

    def follow(self, uid: str, limits: Sequence[SizeLimit], *, measured: bool) -> None:
        """See `SizeLimits`."""
        self._limits.follow(uid, limits, measured=measured)

    def exceeded(self, uid: str) -> Exceeded | None:
        """See `SizeLimits`."""
        return self._limits.exceeded(uid)

    async def measure_for_ever(self, wake: Callable[[str], None]) -> None:
        """Look for volumes that have outgrown their limits; `wake` is called with the uid of an instance that has one."""
        await self._limits.run(wake)

    async def found(self) -> frozenset[str]:
        """Those, and whose images are held although their folder is lost."""
        return self.uids() | {holder.partition(".")[0] for holder in await self._runtime.image_holders()}

    async def make(self, uid: str, volumes: Sequence[WantedVolume]) -> Mapping[str, str]:
        """One after another; one that fails keeps none of the others from being made."""
        made = self._made.setdefault(uid, {})
        for volume in volumes:
            made.setdefault(volume.id, "")
        failed: dict[str, str] = {}
        held = await self._hold(uid, volumes, failed)

        def work() -> None:
            os.umask(0)
            for volume in volumes:
                if volume.name in failed:
                    continue
                try:
                    self._make(uid, volume, held.get(volume.id))
                except (OSError, VolumeFailure) as exc:
                    failed[volume.name] = _told(exc)

        await self._do(uid, work)
        for volume in volumes:
            if volume.name not in failed:
                made[volume.id] = volume.state
        return failed

    async def remove(self, uid: str, ids: frozenset[str] | None = None) -> None:
        """Mounts first, then the marker, then the folder: what is interrupted is not taken for a volume."""
        folder = f"{self._folder}/{uid}"

        def work() -> None:
            if ids is None:
                kernel.unmount_below(folder)
                _delete(folder)
            else:
                for id_ in ids:
                    self._remove(f"{folder}/{id_}")

        await self._do(uid, work)
        await self._release(uid, ids)
        if ids is None:
            self._made.pop(uid, None)
            self._sharing.discard(uid)
        else:
            for id_ in ids:
                self._made.get(uid, {}).pop(id_, None)

    async def _release(self, uid: str, ids: frozenset[str] | None) -> None:
        """Images that volumes hold; where it is not known which those are, the runtime is asked."""
        if ids is None and uid not in self._made:
            holders = [holder for holder in await self._runtime.image_holders() if holder.startswith(f"{uid}.")]
        else:
            known = self._made.get(uid, {}) if ids is None else ids
            holders = [_holder(uid, id_) for id_ in known if id_.startswith(_IMAGE)]
        for holder in holders:
            await self._runtime.release_image(holder)

    async def prepare(self, uid: str, container: str, needed: Sequence[Preparation], shared: Shared | None = None) -> None:
        """One after another; the first that cannot be had ends it. What is shared is looked for once by each agent."""
        if shared is not None and uid in self._sharing:
            shared = None
        if not needed and shared is None:
            return
        if shared is not None:
            self._made.setdefault(uid, {})

        def work() -> None:
            os.umask(0)
            if shared is not None:
                _share(shared)
            for preparation in needed:
                _prepare(preparation, container)

        await self._do(uid, work)
        if shared is not None:
            self._sharing.add(uid)

    async def _hold(self, uid: str, volumes: Sequence[WantedVolume], failed: dict[str, str]) -> dict[str, ImageFiles]:
        """Images' files, by the volume's id. The volume's folder is there before: by that, an agent knows what may be held."""
        held = {}
        for volume in volumes:
            if isinstance(volume.source, ImageVolume):
                paths.make_all(f"{self._folder}/{uid}", 0o700)
                Path(f"{self._folder}/{uid}/{volume.id}").mkdir(exist_ok=True)
                try:
                    held[volume.id] = await self._runtime.hold_image(_holder(uid, volume.id), volume.source.reference)
                except Unavailable:
                    raise
                except NotFound as exc:  # not even held from before: it has to be pulled, as for a new volume
                    Path(f"{self._folder}/{uid}/{volume.id}").rmdir()
                    self._made[uid].pop(volume.id, None)
                    failed[volume.name] = str(exc)
                except RuntimeFailure as exc:
                    failed[volume.name] = str(exc)
        return held

    async def _do(self, uid: str, work: Callable[[], None]) -> None:
        try:
            await self._place.do(uid, work)
        except OSError as exc:
            raise VolumeFailure(_told(exc)) from exc

    # --- one volume, in the thread that works on it

    def _make(self, uid: str, volume: WantedVolume, held: ImageFiles | None) -> None:
        match volume.source:
            case NodePath(path, kind):
                hostpaths.check(path, kind)
            case ImageVolume() if held is not None:
                images.mount(held, f"{self._folder}/{uid}/{volume.id}")
            case ImageVolume():
                raise AssertionError(f"nothing is held of the image of {volume.name!r}")
            case Files() as source:
                paths.make_all(f"{self._folder}/{uid}", 0o700)
                self._make_files(f"{self._folder}/{uid}/{volume.id}", source, volume.fs_group)
            case Folder() as source:
                paths.make_all(f"{self._folder}/{uid}", 0o700)
                self._make_folder(f"{self._folder}/{uid}/{volume.id}", source, volume.fs_group)

    def _make_files(self, path: str, source: Files, group: int | None) -> None:
        with suppress(FileExistsError):
            os.mkdir(path, _OPEN_TO_ALL)  # noqa: PTH102
        if source.memory:
            tmpfs(path, None)
        if source.files is not None:
            files.write(path, source.files, group)
            Path(path + _MARKER).touch(0o600)
        elif not files.written(path):
            raise VolumeFailure("its files are gone, and what they should be is not known now")

    def _make_folder(self, path: str, source: Folder, group: int | None) -> None:
        marker = Path(path + _MARKER)
        with suppress(FileExistsError):
            os.mkdir(path, _OPEN_TO_ALL)  # noqa: PTH102
        fresh = not marker.exists()
        if source.memory:
            fresh = tmpfs(path, source.size) or fresh
        if group is not None and (fresh or os.stat(path).st_gid != group):  # noqa: PTH116
            ownership.give(path, group, read_only=False)
        marker.touch(0o600)

    def _remove(self, path: str) -> None:
        kernel.unmount_below(path)
        Path(path + _MARKER).unlink(missing_ok=True)
        _delete(path)


def _holder(uid: str, id_: str) -> str:
    """Who holds the image of a volume: the uid, and the hash of the volume's id that tells its name and its reference."""
    return f"{uid}.{hashlib.sha256(id_.encode()).hexdigest()[:8]}"


def tmpfs(path: str, size: int | None) -> bool:
    """See to it that a tmpfs is mounted on a folder, of that size in bytes; returns whether it is a new one.

    Raises:
        OSError: when it cannot be mounted, or holds more than the size already.
    """
    limit = f"size={size}" if size is not None else ""
    there = [point for point in kernel.mount_points() if point.path == path]
    if there:
        if size is not None:
            kernel.mount("tmpfs", path, "tmpfs", kernel.MS_REMOUNT, limit)
        return False
    kernel.mount_unswapped("tmpfs", path, data=limit)
    return True


def _delete(folder: str) -> None:
    """Delete a folder with all that is in it; links are deleted, and never followed."""

    def failed(_: object, __: str, raised: tuple[type[BaseException], BaseException, TracebackType]) -> None:
        if not isinstance(raised[1], FileNotFoundError):
            raise raised[1]

    shutil.rmtree(folder, onerror=failed)


def _share(shared: Shared) -> None:
    try:
        commons.make(shared)
    except OSError as exc:
        raise VolumeFailure(f"what its containers share cannot be made: {_told(exc)}") from exc


def _prepare(needed: Preparation, container: str) -> None:
    """See `Volumes.prepare`. What is wrong with a subPath is not told exactly: it could tell of the node's files."""
    if needed.make_root:
        hostpaths.make_folder(needed.root)
    if needed.sub_path:
        try:
            paths.bind(needed.root, needed.sub_path, needed.target)
        except OSError as exc:
            log.info("subPath %r of volume %r: %s", needed.sub_path, needed.volume, exc)
            why = ": it leads out of the volume" if paths.leads_out(exc) else ""
            raise VolumeFailure(
                f'failed to prepare subPath for volumeMount "{needed.volume}" of container "{container}"{why}'
            ) from exc
    if needed.propagation != PRIVATE:
        _check_propagation(needed)


def _check_propagation(needed: Preparation) -> None:
    path = needed.target or needed.root
    point = kernel.mount_of(path)
    if point is None or not (point.shared or (point.slave and needed.propagation == "rslave")):
        where = point.path if point is not None else "/"
        kind = "a shared mount" if needed.propagation == "rshared" else "a shared or slave mount"
        raise VolumeFailure(
            f'mountPropagation of volumeMount "{needed.volume}": path "{path}" is mounted on "{where}" but it is not {kind}'
        )


def _told(failure: Exception) -> str:
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror
    return str(failure)
