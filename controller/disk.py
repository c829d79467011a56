"""Small files that are kept across restarts: replaced as a whole, and flushed when somebody has time for it."""

import os
from collections.abc import Iterable
from pathlib import Path


def replace(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a file anew, readable by its owner only: beside, and renamed, so neither a reader nor a crash meets half of it.

    Args:
        path: of the file; the one beside ends in `.new` in place of its suffix.
        text: what it says.
        durable: also after a loss of power, once this returns. If not, `flush` sees to it later.

    Raises:
        OSError: when it cannot be written; then the one before is still there.
    """
    beside = path.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fdatasync(file.fileno())
    beside.rename(path)
    if durable:
        flush(path.parent)


def flush(folder: Path, paths: Iterable[Path] = ()) -> None:
    """Bring files of a folder, and the folder's names, to the disk; a file that is gone is passed over.

    Raises:
        OSError: when that fails.
    """
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
