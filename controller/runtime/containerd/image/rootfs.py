"""Reading single files of an image out of its layers, without mounting anything.

An image can hold any link, and this process is root on the node; so a path is walked one component at a time, each opened
relative to the one before and never followed by the kernel. Links are interpreted here, with the image's root as the root,
which gives what openat2(2) gives with RESOLVE_IN_ROOT, but over layers and on every kernel.

Layers are overlayfs's (kernel docs, filesystems/overlayfs): the topmost one that has a name wins; a character device 0/0 says
that the name is deleted; a folder marked opaque hides what is below it.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from controller.runtime.containerd.api.types_pb2 import Mount
from controller.runtime.port import InvalidConfig, Unsupported

_OPAQUE: Final = ("trusted.overlay.opaque", "user.overlay.opaque")
_MOST_LINKS: Final = 40
"""As the kernel's own limit (path_resolution(7))."""

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def layer_folders(mounts: Sequence[Mount]) -> list[str]:
    """The folders that a snapshot consists of, the topmost first.

    Raises:
        Unsupported: when the snapshotter does not keep files in folders.
    """
    if len(mounts) == 1 and mounts[0].type == "bind":
        return [mounts[0].source]
    if len(mounts) == 1 and mounts[0].type == "overlay":
        options = dict(option.partition("=")[::2] for option in mounts[0].options)
        # In the option's own syntax a backslash stands before a colon that is part of a name.
        lower = [part.replace("\0", ":") for part in options["lowerdir"].replace("\\:", "\0").split(":")]
        return [options["upperdir"], *lower] if "upperdir" in options else lower
    kind = "+".join(mount.type for mount in mounts)
    raise Unsupported(f"the image's files cannot be looked at with this snapshotter (mounts of type {kind or 'none'})")


def read_file(layers: Sequence[str], path: str, limit: int) -> bytes | None:
    """Read a file of an image.

    Args:
        layers: its folders, the topmost first.
        path: from the image's root.
        limit: bytes that it may have at most.

    Returns:
        Its content, or None when there is no such regular file.

    Raises:
        InvalidConfig: when it is larger, or the path leads through more links than the kernel would follow.
    """
    pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    walked: list[str] = []
    links = 0
    while pending:
        name = pending.pop()
        if name == "..":
            del walked[-1:]
            continue
        with ExitStack() as stack:
            folder = _find(stack, layers, walked, name)
            if folder is None:
                return None
            mode = os.lstat(name, dir_fd=folder).st_mode
            if stat.S_ISLNK(mode):
                links += 1
                if links > _MOST_LINKS:
                    raise InvalidConfig(f"{path} of the image leads through more than {_MOST_LINKS} links")
                target = os.readlink(name, dir_fd=folder)
                walked = [] if target.startswith("/") else walked
                pending.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
            elif not pending:
                return _read(folder, name, limit, path) if stat.S_ISREG(mode) else None
            else:
                walked.append(name)
    return None


def _find(stack: ExitStack, layers: Sequence[str], folders: Sequence[str], name: str) -> int | None:
    """The folder (as a descriptor, closed by the stack) of the topmost layer that has a name, or None."""
    for layer in layers:
        folder, hidden = _descend(stack, layer, folders)
        if folder is not None:
            try:
                found = os.lstat(name, dir_fd=folder)
            except FileNotFoundError:
                pass
            else:
                return None if _is_whiteout(found) else folder
        if hidden:
            return None
    return None


def _descend(stack: ExitStack, layer: str, folders: Sequence[str]) -> tuple[int | None, bool]:
    """Open a folder within one layer; also tells whether this layer hides those below it on the way there."""
    current = os.open(layer, _FOLDER)
    stack.callback(os.close, current)
    hidden = False
    for part in folders:
        try:
            current = os.open(part, _FOLDER, dir_fd=current)
        except FileNotFoundError:
            return None, hidden
        except OSError:
            # Deleted here, or no folder: either way it is not merged with what lower layers have under this name.
            return None, True
        stack.callback(os.close, current)
        hidden = hidden or _is_opaque(current)
    return current, hidden


def _read(folder: int, name: str, limit: int, path: str) -> bytes:
    with os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InvalidConfig(f"{path} of the image is larger than {limit} bytes")
    return data


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(folder: int) -> bool:
    return any(_attribute(folder, name) == b"y" for name in _OPAQUE)


def _attribute(folder: int, name: str) -> bytes:
    try:
        return os.getxattr(f"/proc/self/fd/{folder}", name)
    except OSError:
        return b""
