"""Archives of images: the one place where the agent reads files that a ContainerImage names.

The folders are the node administrator's; the paths come from anybody who may create a ContainerImage. So a path is opened by
the kernel in one call that does not leave its folder (openat2(2) with RESOLVE_BENEATH), and from then on there is a descriptor
and no name: nothing else is read if the path means something else a moment later.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from controller import kernel
from controller.agent.volumes.paths import leads_out
from controller.runtime.port import DiskFull, ImageFailure, ImageState, PullProgress, PullStalled, Runtime

FOLDER: Final = "archives"
"""Below the agent's state folder: where archives are looked for by default."""

_FOLDER_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK

_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


class ArchiveNotAllowed(ImageFailure):
    """The archive may not be used here: it is in none of the folders, or the image's name is not to be had by an archive."""


class ArchiveNotFound(ImageFailure):
    """There is no such file on the node; it may be there later."""


class InvalidArchive(ImageFailure):
    """The file cannot be read, or is no archive of the one image that is wanted."""


class Archives:
    """The archives of one node."""

    def __init__(self, runtime: Runtime, folders: Sequence[Path]) -> None:
        """`folders`: archives are read from below them, and from nowhere else."""
        self._runtime, self._folders = runtime, tuple(folders)

    async def load(self, path: str, name: str, progress: Callable[[PullProgress], None]) -> ImageState:
        """Bring the one image that is in an archive to the node.

        Args:
            path: of the archive on the node.
            name: normalised; what the image is called there.
            progress: told bytes of the file.

        Raises:
            ArchiveNotAllowed, ArchiveNotFound, InvalidArchive: as they say.
            DiskFull: the node has no room for it.
            RuntimeFailure: when the runtime could not be asked.
        """
        descriptor = await asyncio.to_thread(self._open, path)
        opened = f"/proc/self/fd/{descriptor}"
        try:
            (image,) = await self._runtime.import_images(opened, name=name, progress=progress)
        except (DiskFull, PullStalled) as exc:
            raise type(exc)(str(exc).replace(opened, path)) from exc
        except ImageFailure as exc:
            raise InvalidArchive(str(exc).replace(opened, path)) from exc
        finally:
            os.close(descriptor)
        return image

    def _open(self, path: str) -> int:
        """A descriptor of the file, which is a regular one."""
        folder = self._folder(path)
        try:
            found = _opened(folder, path)
        except OSError as exc:
            if exc.errno in _MISSING:
                raise ArchiveNotFound(f"archive {path}: there is no such file on this node") from exc
            if leads_out(exc):
                raise ArchiveNotAllowed(f"archive {path}: a link in its path leads out of {folder}") from exc
            raise InvalidArchive(f"archive {path} cannot be read: {exc.strerror}") from exc
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise InvalidArchive(f"archive {path} is no regular file")
        return found

    def _folder(self, path: str) -> Path:
        """The folder that it is to be in, the innermost one."""
        written = Path(path)
        above = [folder for folder in self._folders if folder in written.parents]
        if not above or ".." in written.parts:
            folders = ", ".join(map(str, self._folders))
            raise ArchiveNotAllowed(f"archive {path} is in none of the folders that this node reads archives from ({folders})")
        return max(above, key=lambda folder: len(folder.parts))


def _opened(folder: Path, path: str) -> int:
    root = os.open(folder, _FOLDER_FLAGS)
    try:
        return kernel.open_beneath(root, str(Path(path).relative_to(folder)), _FILE_FLAGS)
    finally:
        os.close(root)
