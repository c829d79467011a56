"""Root file systems in folders: read into trees for layers, written back from layers, and run in."""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import subprocess
import tarfile
from pathlib import Path

from tools.images.layers import Entry, File, Folder, Layer, Link
from tools.progress import ToolError

PYTHON = "/usr/bin/python3.11"
COMPILE_SECONDS = 300.0


def read_tree(root: Path, below: str = "", *, keep: re.Pattern[str] | None = None) -> dict[str, Entry]:
    """All files, folders and links of a root file system, as root's; a file is executable for all or for none.

    Args:
        root: the root of the file system.
        below: a folder in it, for its content alone.
        keep: which paths to read, by match; None reads all.
    """
    tree: dict[str, Entry] = {}
    for folder, folders, files in os.walk(root / below):
        for name in (*folders, *files):
            path = Path(folder, name)
            inner = str(path.relative_to(root))
            if keep is None or keep.match(inner):
                tree[inner] = _entry(path)
    return tree


def write_tree(root: Path, tree: dict[str, Entry]) -> None:
    """Write a tree into a root file system."""
    for name, entry in sorted(tree.items()):
        path = root / name
        match entry:
            case Folder(mode):
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(mode)
            case File(content, mode):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                path.chmod(mode)
            case Link(target):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(target)


def unpack(layer: Layer, root: Path) -> None:
    """Unpack a layer of our own making into a root file system."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.blob.data))) as archive:
        archive.extractall(root, filter="tar")


def compile_python(root: Path, folder: str, *, skip: str = "^$") -> None:
    """Make the bytecode of a folder's modules, with the Python of the root file system.

    One process, in the order of the names and with a fixed hash seed: what marshal writes depends on what was interned before.

    Args:
        root: the root file system.
        folder: the folder in it, as an absolute path from its root.
        skip: a regular expression for paths to leave out.

    Raises:
        ToolError: when a module cannot be compiled.
    """
    command = ["chroot", str(root), PYTHON, "-I", "-B", "-m", "compileall", "-q", "-f", "-x", skip]
    done = subprocess.run(
        [*command, "--invalidation-mode", "unchecked-hash", folder],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=COMPILE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ToolError(f"the image's Python cannot compile {folder}:\n{(done.stdout + done.stderr).strip()[-2000:]}")


def _entry(path: Path) -> Entry:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return Link(str(path.readlink()))
    if stat.S_ISDIR(status.st_mode):
        return Folder(stat.S_IMODE(status.st_mode))
    if stat.S_ISREG(status.st_mode):
        return File(path.read_bytes(), 0o755 if status.st_mode & 0o111 else 0o644)
    raise ToolError(f"{path} is neither file, folder nor link")
