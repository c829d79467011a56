"""image volumes: the files of an image, mounted read-only, and without the right to execute any of them."""

import os
from collections.abc import Sequence
from typing import Final

from controller import kernel
from controller.runtime.port import ImageFiles

_FLAGS: Final = kernel.MS_RDONLY | kernel.MS_NOEXEC
MOST_OPTIONS: Final = 4095
"""Bytes that mount(2) takes: a page, with the zero at its end."""

_LOWER: Final = "lowerdir="
_NO_DATA: Final = frozenset({"ro", "rw", "bind", "rbind"})


def mount(files: ImageFiles, path: str) -> None:
    """Mount them on a folder; that something is mounted there already is success.

    Raises:
        OSError: when they cannot be mounted.
    """
    if any(point.path == path for point in kernel.mount_points()):
        return
    if files.type == "bind":
        kernel.mount(files.source, path, flags=kernel.MS_BIND)
        kernel.mount("none", path, flags=kernel.MS_BIND | kernel.MS_REMOUNT | _FLAGS)
        return
    text, folder = options(files.options)
    if folder:
        os.chdir(folder)  # the working folder is this thread's own
    kernel.mount(files.source, path, files.type, _FLAGS, text)


def options(given: Sequence[str]) -> tuple[str, str]:
    """The options as one text, and the folder from which layers are named in it, if they are.

    Many layers do not fit in with their whole paths: then they are named from the folder that they have in common.
    """
    data = [option for option in given if option not in _NO_DATA]
    text = ",".join(data)
    lower = next((o.removeprefix(_LOWER).split(":") for o in data if o.startswith(_LOWER)), [])
    if len(text) <= MOST_OPTIONS or not lower:
        return text, ""
    common = os.path.commonpath(lower)
    shorter = _LOWER + ":".join(os.path.relpath(path, common) for path in lower)
    return ",".join(shorter if option.startswith(_LOWER) else option for option in data), common
