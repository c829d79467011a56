"""Files of configMap, secret, downwardAPI and projected volumes: replaced all at once, while containers read them.

As Kubernetes' AtomicWriter has it: the files are in a folder with the time in its name, the link `..data` leads to that folder,
and each name that people see is a link through it. New files get a new folder, complete and with its owners, and then the link
is replaced, which is one step: a reader finds all files as they were, or all as they are.
"""

import os
import shutil
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from controller.agent.decide.volumes.wanted import File, VolumeFailure
from controller.agent.volumes import ownership, paths

DATA: Final = "..data"
_NEXT: Final = "..data_tmp"
_FOLDER_MODE: Final = 0o755


def write(folder: str, files: Mapping[str, File], group: int | None = None) -> bool:
    """See to it that these are the files of a volume, and no others; returns whether anything had to be written.

    Args:
        folder: the volume's.
        files: by their paths below it.
        group: that they belong to, who may read them then.

    Raises:
        VolumeFailure: when a path is none.
        OSError: when they cannot be written; then those before are still there.
    """
    for path in files:
        _check(path)
    current = _current(folder)
    if current and _same(f"{folder}/{current}", files, group):
        return False
    new = _written(folder, files)
    tops = {path.partition("/")[0] for path in files}
    owners = {path.partition("/")[0]: file.owner for path, file in files.items() if file.owner is not None}
    for name in tops:
        _link(folder, name, owners.get(name))
    if group is not None:
        ownership.give(folder, group, read_only=True)
    with suppress(FileNotFoundError):
        os.unlink(f"{folder}/{_NEXT}")  # noqa: PTH108 - plain calls, as all of these
    os.symlink(new, f"{folder}/{_NEXT}")  # noqa: PTH211
    os.rename(f"{folder}/{_NEXT}", f"{folder}/{DATA}")  # noqa: PTH104
    _tidy(folder, tops, new)
    return True


def written(folder: str) -> bool:
    """Whether there are files of a volume at all."""
    return bool(_current(folder))


def _check(path: str) -> None:
    parts = path.split("/")
    if not all(parts) or ".." in parts or "." in parts or path.startswith("..") or "\0" in path:
        raise VolumeFailure(f"{path!r} is no path of a file in a volume")


def _current(folder: str) -> str:
    """Name of the folder that is in force; empty when there is none."""
    try:
        name = os.readlink(f"{folder}/{DATA}")  # noqa: PTH115
    except FileNotFoundError:
        return ""
    return name if "/" not in name and os.path.isdir(f"{folder}/{name}") else ""  # noqa: PTH112


def _same(folder: str, files: Mapping[str, File], group: int | None) -> bool:
    there = [os.path.relpath(f"{at}/{name}", folder) for at, _, names in os.walk(folder) for name in names]
    return sorted(there) == sorted(files) and all(_alike(f"{folder}/{path}", file, group) for path, file in files.items())


def _alike(path: str, file: File, group: int | None) -> bool:
    found = os.stat(path)  # noqa: PTH116
    mode = file.mode if group is None else file.mode | ownership.READABLE
    if stat.S_IMODE(found.st_mode) != mode or (group is not None and found.st_gid != group):
        return False
    if found.st_uid != (os.geteuid() if file.owner is None else file.owner):
        return False
    with open(path, "rb") as there:  # noqa: PTH123
        return there.read() == file.content


def _written(folder: str, files: Mapping[str, File]) -> str:
    """A new folder with the files; its name."""
    now = time.time_ns()
    name = time.strftime("..%Y_%m_%d_%H_%M_%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09}"
    new = f"{folder}/{name}"
    paths.make_all(new, _FOLDER_MODE)
    for path, file in files.items():
        paths.make_all(os.path.dirname(f"{new}/{path}"), _FOLDER_MODE)  # noqa: PTH120
        descriptor = os.open(f"{new}/{path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as made:
            made.write(file.content)
            os.fchmod(descriptor, file.mode)
            if file.owner is not None:
                os.fchown(descriptor, file.owner, -1)
    return name


def _link(folder: str, name: str, owner: int | None) -> None:
    """The name that people see, its owner's as the file is; what a subPath has made in its place gives way."""
    path, target = f"{folder}/{name}", f"{DATA}/{name}"
    with suppress(FileNotFoundError):
        found = os.lstat(path).st_mode
        if stat.S_ISLNK(found) and os.readlink(path) == target:  # noqa: PTH115
            return
        shutil.rmtree(path) if stat.S_ISDIR(found) else os.unlink(path)  # noqa: PTH108
    os.symlink(target, path)  # noqa: PTH211
    if owner is not None:
        os.lchown(path, owner, -1)


def _tidy(folder: str, tops: set[str], current: str) -> None:
    """Remove names that lead nowhere any more, and folders of before, also those that an interrupted writer has left."""
    for name in os.listdir(folder):  # noqa: PTH208
        path = f"{folder}/{name}"
        if name.startswith("..") and name not in {DATA, current}:
            shutil.rmtree(path, ignore_errors=True)
        elif name not in tops and not name.startswith("..") and os.path.islink(path):  # noqa: PTH114
            os.unlink(path)  # noqa: PTH108
