"""Log files of containers: where they are made, how they are rotated, when they go.

The runtime writes them itself, so that an agent restart loses no byte. Rotation is copy and truncate: the writer keeps its open
file, which is in append mode, and goes on at the new end.
"""

import asyncio
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.agent.decide.resolve import instance_log_dir, words_path

log = logging.getLogger(__name__)

PASS_SECONDS: Final = 10.0
"""Pause between two looks at the sizes of all log files."""

KEPT_ATTEMPTS: Final = 2
"""The running attempt of a container and the one before it (`moorage logs --previous`)."""


class LogFiles:
    """The log folder of this node."""

    def __init__(self, folder: Path, *, max_bytes: int = 10 * 2**20, max_files: int = 5) -> None:
        self._folder = folder
        self._max_bytes, self._max_files = max_bytes, max_files
        self._busy = threading.Lock()
        """Held while one file is rotated or one folder removed: a copy that is made in between would keep the folder there."""

    def prepare(self, path: str) -> None:
        """Make a new attempt's folder and the file for its last words; remove files of attempts nobody can ask for any more."""
        folder, name = os.path.split(path)
        os.makedirs(folder, mode=0o750, exist_ok=True)
        attempt = int(name.partition(".")[0])
        for old in os.listdir(folder):
            number = old.lstrip(".").partition(".")[0]
            if number.isdecimal() and not attempt - KEPT_ATTEMPTS < int(number) <= attempt:
                _remove(f"{folder}/{old}")
        _make(words_path(path), 0)

    def begin(self, path: str) -> None:
        """A container of this attempt has been made and not been started: files of that name are of an earlier life."""
        folder, name = os.path.split(path)
        for old in os.listdir(folder):
            if old.lstrip(".").startswith(name):
                _remove(f"{folder}/{old}")
        _make(words_path(path), os.O_TRUNC)

    async def remove(self, namespace: str, name: str, uid: str) -> None:
        """Remove the logs of an instance that is gone."""
        folder = Path(instance_log_dir(namespace, name, uid, str(self._folder)))
        await asyncio.to_thread(self._remove_folder, folder)

    async def rotate_for_ever(self) -> None:
        """Keep every file below its size."""
        while True:
            await asyncio.sleep(PASS_SECONDS)
            await asyncio.to_thread(self.rotate)

    def rotate(self) -> None:
        """Look at all files once. Blocking: call it from a thread."""
        for path in _logs_below(self._folder):
            try:
                if path.stat().st_size > self._max_bytes:
                    with self._busy:
                        self._rotate_one(path)
            except FileNotFoundError:  # its instance has just gone
                continue
            except OSError as exc:
                log.warning("log file %s cannot be rotated: %s", path, exc)

    def folders(self) -> dict[str, Path]:
        """Log folders by the uid of their instance."""
        if not self._folder.is_dir():
            return {}
        return {p.name.rpartition("_")[2]: p for p in self._folder.iterdir() if p.is_dir() and p.name.count("_") >= 2}

    def _remove_folder(self, folder: Path) -> None:
        with self._busy:
            shutil.rmtree(folder, ignore_errors=True)

    def _rotate_one(self, path: Path) -> None:
        """`0.log` becomes `0.log.1`, that `0.log.2`, and so on; the oldest goes."""
        kept = self._max_files - 1
        for number in range(kept, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if number == kept:
                older.unlink(missing_ok=True)
            elif older.exists():
                older.rename(path.with_name(f"{path.name}.{number + 1}"))
        copy = path.with_name(f"{path.name}.1")
        with path.open("r+b") as source:
            if kept:
                with copy.open("wb") as target:
                    shutil.copyfileobj(source, target, 2**20)
            source.truncate(0)


def _make(path: str, flags: int) -> None:
    """A file that any user of the container may write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o666)
    try:
        os.fchmod(descriptor, 0o666)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _logs_below(folder: Path) -> Iterator[Path]:
    """The current log files. Instances come and go meanwhile, and their folders with them."""
    for instance in _entries(folder):
        for container in _entries(instance):
            yield from (file for file in _entries(container) if file.suffix == ".log")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
