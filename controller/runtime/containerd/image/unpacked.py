"""Whether a layer's unpacked files are what the layer says: its tar is read once, and each file compared as it comes by.

The folder is one that containerd has unpacked into, and is walked as its archive package does it: links in the way are followed
with that folder as the root, and of two entries with the same name the later one counts. It may hold any link, and this process
is root on the node, so nothing is ever opened by a path that the kernel would follow. Whiteouts are passed over: what they hide
is another layer's.
"""

import gzip
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_LINKS: Final = 40
"""As the kernel's own limit (path_resolution(7))."""

_PIECE: Final = 1 << 20
_WHITEOUT: Final = ".wh."
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
"""How compressed data begins (RFC 1952, RFC 8878); Python's library has none for zstd."""

UNREADABLE: Final = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError)
"""What the data of a damaged layer leads to; what is wrong with it, its digest tells."""


def comparable(layer: "io.BufferedReader[Any]") -> bool:
    """Whether a layer is compressed by a way that can be read here."""
    return not layer.peek(len(_ZSTD)).startswith(_ZSTD)


def differences(layer: "io.BufferedReader[Any]", folder: str) -> Mapping[str, str]:
    """Compare a layer with what it was unpacked to.

    Args:
        layer: as the registry sends it; it is not read to its end.
        folder: with its files.

    Returns:
        By path, what is wrong with it, in words that follow it.

    Raises:
        UNREADABLE: when the layer cannot be read.
        OSError: when the folder cannot be.
    """
    wrong: dict[str, str] = {}
    above: set[str] = set()  # folders that had anything wrong below them
    plain = gzip.GzipFile(fileobj=layer) if layer.peek(len(_GZIP)).startswith(_GZIP) else layer
    with tarfile.open(fileobj=plain, mode="r|") as archive:
        while (entry := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep all that it has read
            path = _clean(entry.name)
            name = path.rpartition("/")[2]
            if not path or name.startswith(_WHITEOUT):
                continue
            wrong.pop(path, None)
            if path in above and not entry.isdir():
                wrong = {known: what for known, what in wrong.items() if not known.startswith(f"{path}/")}
            found = _compared(archive, entry, folder, path)
            if found:
                wrong[path] = found
                above |= {path[:at] for at, letter in enumerate(path) if letter == "/"}
    return wrong


def _clean(name: str) -> str:
    """As Go's filepath.Clean has it below a root."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _compared(archive: tarfile.TarFile, entry: tarfile.TarInfo, root: str, path: str) -> str:
    """What is wrong with an entry; nothing when it is as it should be."""
    *folders, name = path.split("/")
    with _opened(root, folders) as folder:
        if folder is None:
            return "is missing"
        try:
            there = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:
            return "is missing"
        if not _same_kind(entry, there.st_mode):
            return "is of another kind than its layer has it"
        if entry.issym():
            return "" if os.readlink(name, dir_fd=folder) == entry.linkname else "leads elsewhere than its layer has it"
        if not entry.isreg():
            return ""
        if there.st_size != entry.size:
            return f"is {there.st_size} bytes long in place of {entry.size}"
        return _content(archive, entry, folder, name)


def _same_kind(entry: tarfile.TarInfo, mode: int) -> bool:
    if entry.isdir():
        return stat.S_ISDIR(mode)
    if entry.issym():
        return stat.S_ISLNK(mode)
    if entry.islnk():
        return not stat.S_ISDIR(mode)
    if entry.ischr() or entry.isblk() or entry.isfifo():
        return stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISFIFO(mode)
    return stat.S_ISREG(mode)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: int, name: str) -> str:
    wanted = archive.extractfile(entry)
    if wanted is None:
        return ""
    try:
        with os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb") as file:
            while piece := wanted.read(_PIECE):
                if file.read(len(piece)) != piece:
                    return "has another content than its layer has it"
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"
    return ""


@contextmanager
def _opened(root: str, folders: Sequence[str]) -> Iterator[int | None]:
    """Open a folder below a root, by way of links that lead nowhere but below it; None when there is none."""
    pending = list(reversed(folders))
    links = 0
    with ExitStack() as stack:
        top = os.open(root, _FOLDER)
        stack.callback(os.close, top)
        walked = [top]
        while pending:
            name = pending.pop()
            if name == "..":
                walked = walked[:-1] or walked
                continue
            try:
                below = os.open(name, _FOLDER, dir_fd=walked[-1])
            except FileNotFoundError:
                yield None
                return
            except OSError:
                target = _link(name, walked[-1])
                links += 1
                if target is None or links > _MOST_LINKS:
                    yield None
                    return
                walked = walked[:1] if target.startswith("/") else walked
                pending.extend(part for part in reversed(target.split("/")) if part not in ("", "."))
            else:
                stack.callback(os.close, below)
                walked = [*walked, below]
        yield walked[-1]


def _link(name: str, folder: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None
