"""What the images of these tests contain: a tree in two steps, with all that is hard to carry from one tool to another."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
MOMENT = 1_600_000_000
"""When all files were changed, in seconds since the epoch."""

CAPABLE = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""security.capability, revision 2: CAP_NET_BIND_SERVICE, effective (capabilities(7), linux/capability.h)."""

FAR = (2_500_000_000, 3_000_000_000)
"""Owner and group beyond what an octal field of tar takes (2097151), and beyond a signed number of 32 bits."""

LONG = "/".join(["a-name-that-is-long-enough-to-be-split" * 2, "w" * 120, "file"])
"""Beyond what a name of ustar takes (100 characters, 255 with its prefix)."""

WORDS = "größe und 中文 'quoted' $HOME"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of whatever kind, as stat(2) and its attributes tell it."""

    kind: int
    mode: int
    owner: tuple[int, int]
    content: str
    """Hash of a regular file, target of a link, number of a device."""
    attributes: tuple[tuple[str, bytes], ...]
    same_as: str
    """The first path of the same inode."""
    changed: int
    """Of regular files, in seconds."""


def below(root: Path) -> None:
    """The first step."""
    data = root / "data"
    for folder in ("bin", "data/gone-folder/inner", "data/replaced", "data/empty-folder", "data/sticky", "data/was-folder"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    _file(data / "kept", "kept\n", 0o640, (1001, 50))
    _file(data / "changed", "before\n")
    _file(data / "gone", "gone\n")
    _file(data / "gone-folder/inner/file", "gone\n")
    _file(data / "replaced/old", "old\n")
    _file(data / "was-file", "a file\n")
    _file(data / "was-folder/file", "in a folder\n")
    _file(data / "empty", "")
    _file(data / "setuid", "#!/bin/sh\n", 0o4755)
    (data / "sticky").chmod(0o1777)
    _file(data / "hard-1", "of several names\n")
    (data / "hard-2").hardlink_to(data / "hard-1")
    (data / "link").symlink_to("kept")
    (data / "dangling").symlink_to("/nowhere/at/all")
    _file(data / "far", "of somebody with a large number\n", 0o600, FAR)
    _file(data / WORDS, "words\n")
    (data / LONG).parent.mkdir(parents=True)
    _file(data / LONG, "long\n")
    _file(data / "capable", "may bind low ports\n", 0o755)
    os.setxattr(data / "capable", "security.capability", CAPABLE)
    _file(data / "noted", "has a note\n")
    os.setxattr(data / "noted", "user.note", b"a note")
    os.mkfifo(data / "pipe", 0o644)
    os.mknod(data / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (data / "null").chmod(0o666)
    _date(root)


def above(root: Path, *, file_for_folder: bool = True) -> None:
    """The second step: what it changes, removes, and puts in the place of something else."""
    data = root / "data"
    _file(data / "changed", "after\n", 0o600)
    (data / "gone").unlink()
    shutil.rmtree(data / "gone-folder")
    shutil.rmtree(data / "replaced")
    (data / "replaced").mkdir(mode=0o750)
    (data / "replaced").chmod(0o750)
    _file(data / "replaced/new", "new\n")
    (data / "was-file").unlink()
    (data / "was-file").mkdir()
    _file(data / "was-file/file", "in a folder now\n")
    if file_for_folder:
        shutil.rmtree(data / "was-folder")
        _file(data / "was-folder", "a file now\n")
    _date(root)


def listing(root: Path) -> dict[str, Entry]:
    """All that is below a folder, by its path."""
    found: dict[str, Entry] = {}
    first: dict[tuple[int, int], str] = {}
    for path in sorted(root.rglob("*")):
        name, seen = str(path.relative_to(root)), path.lstat()
        kind = stat.S_IFMT(seen.st_mode)
        attributes = () if kind == stat.S_IFLNK else tuple((key, os.getxattr(path, key)) for key in sorted(os.listxattr(path)))
        same_as = name if kind == stat.S_IFDIR else first.setdefault((seen.st_dev, seen.st_ino), name)
        found[name] = Entry(
            kind,
            stat.S_IMODE(seen.st_mode) if kind != stat.S_IFLNK else 0,
            (seen.st_uid, seen.st_gid),
            _content(path, seen),
            tuple((key, value) for key, value in attributes if not key.startswith("trusted.overlay.")),
            same_as,
            int(seen.st_mtime) if kind == stat.S_IFREG else 0,
        )
    return found


def _content(path: Path, seen: os.stat_result) -> str:
    if stat.S_ISLNK(seen.st_mode):
        return str(path.readlink())
    if stat.S_ISREG(seen.st_mode):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return str(seen.st_rdev) if stat.S_ISCHR(seen.st_mode) or stat.S_ISBLK(seen.st_mode) else ""


def _file(path: Path, content: str, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
    path.write_text(content)
    os.chown(path, *owner)
    path.chmod(mode)


def _date(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (MOMENT, MOMENT))
