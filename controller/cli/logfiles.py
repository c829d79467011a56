"""Reading a container's log files: `<container>/<attempt>.log`, rotated by copy and truncate to `<attempt>.log.1`, `.2`, ...

The bytes are handed on as they are: the runtime writes what the container wrote, without times or streams.
"""

import os
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Final, Self

BLOCK: Final = 64 * 1024


def attempts(folder: Path) -> list[int]:
    """The attempts that have a log, the newest last; none when the folder is not there."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(n.removesuffix(".log")) for n in names if n.endswith(".log") and n.removesuffix(".log").isdecimal())


class LogReader:
    """What one attempt of a container has written: first what is kept of it, then what comes, over any rotation."""

    def __init__(self, folder: Path, attempt: int, *, tail: int | None = None) -> None:
        """Open its files.

        Args:
            folder: the container's log folder.
            attempt: the run to be read.
            tail: begin with the last so many lines; None: with all that is kept.

        Raises:
            FileNotFoundError: when there is no log of it.
        """
        self._path = folder / f"{attempt}.log"
        self._file = _open(self._path)
        self._older = _open_rotated(self._path)
        files = [*self._older, self._file]
        first, offset = (0, 0) if tail is None else _where_tail_begins(files, tail)
        for skipped in files[:first]:
            skipped.seek(0, os.SEEK_END)
        files[first].seek(offset)
        for whole in files[first + 1 :]:
            whole.seek(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its files."""
        for file in (*self._older, self._file):
            file.close()

    def read(self) -> Iterator[bytes]:
        """All that was written since the last call, in blocks."""
        while self._older:
            yield from _blocks(self._older[0])
            self._older.pop(0).close()
        position = self._file.tell()
        if os.fstat(self._file.fileno()).st_size < position:
            yield from self._rest_before_rotation(position)
            self._file.seek(0)
        yield from _blocks(self._file)

    def _rest_before_rotation(self, position: int) -> Iterator[bytes]:
        """What was written between the last look and the rotation: the end of the copy that it made."""
        try:
            with _open(_rotated(self._path, 1)) as copy:
                copy.seek(position)
                yield from _blocks(copy)
        except FileNotFoundError:
            return


def _open(path: Path) -> FileIO:
    """Without a buffer, which would hold what a rotation has taken away."""
    return path.open("rb", buffering=0)


def _rotated(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _open_rotated(path: Path) -> list[FileIO]:
    """The rotated files of a log, the oldest first."""
    found: list[FileIO] = []
    try:
        while True:
            found.insert(0, _open(_rotated(path, len(found) + 1)))
    except FileNotFoundError:
        return found


def _blocks(file: FileIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _where_tail_begins(files: Sequence[FileIO], lines: int) -> tuple[int, int]:
    """Number of the file and the offset in it at which the last `lines` lines begin. A last line without end counts, too."""
    last = len(files) - 1
    if lines == 0:
        return last, files[last].seek(0, os.SEEK_END)
    ends_left = lines
    at_end = True
    for number in range(last, -1, -1):
        file = files[number]
        position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(position - BLOCK, 0)
            file.seek(start)
            block = file.read(position - start)
            if at_end and block.endswith(b"\n"):
                ends_left += 1
            at_end = False
            found = _nth_end_from_right(block, ends_left)
            if found >= 0:
                return number, start + found + 1
            ends_left -= block.count(b"\n")
            position = start
    return 0, 0


def _nth_end_from_right(block: bytes, count: int) -> int:
    """Offset of the `count`-th line end from the right; -1 when there are fewer."""
    at = len(block)
    for _ in range(count):
        at = block.rfind(b"\n", 0, at)
        if at < 0:
            return -1
    return at
