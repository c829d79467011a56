"""Named pipes between this process and a shim: how a further process in a container talks to the one who started it."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from controller.runtime.port import Conflict, RuntimeFailure, Stream

_CHUNK: Final = 64 << 10
"""Bytes that a pipe holds (pipe(7))."""

_SILENCE: Final = 10.0
"""Seconds without output after a process has ended: whoever still has it open, a child left behind, is not waited for."""


@contextmanager
def open_input(run_dir: str) -> Iterator[str]:
    """A pipe for the standard input of a container's process, named while its task is made.

    The shim opens both ends, so that nobody else has to hold one for the process never to read its end; and it has both by
    then, so that the name can go at once and nothing is left to be removed later.

    Raises:
        RuntimeFailure: when it cannot be made.
    """
    try:
        folder = _folder(run_dir, "stdin-")
        os.mkfifo(folder / "stdin", 0o600)
    except OSError as exc:
        raise RuntimeFailure(f"no pipe for its standard input can be made in {run_dir}: {exc.strerror}") from exc
    try:
        yield str(folder / "stdin")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _folder(run_dir: str, prefix: str) -> Path:
    Path(run_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=run_dir))


class Fifos:
    """The pipes of one process, in a private folder.

    This side never blocks: the reading ends are opened before the shim opens its writing ends, and standard input is opened
    for both directions, which succeeds without a reader (fifo(7)).
    """

    def __init__(self, run_dir: str, *, stdin: bool, tty: bool) -> None:
        """Make and open the pipes below `run_dir`; with a terminal, there is no separate stderr."""
        self._folder = _folder(run_dir, "exec-")
        self._readers: dict[int, Stream] = {}
        self._writer = -1
        try:
            self.stdout = self._reader(Stream.STDOUT)
            self.stderr = "" if tty else self._reader(Stream.STDERR)
            self.stdin = self._make("stdin") if stdin else ""
            if stdin:
                self._writer = os.open(self.stdin, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except BaseException:
            self.close()
            raise

    def _make(self, name: str) -> str:
        path = str(self._folder / name)
        os.mkfifo(path, 0o600)
        return path

    def _reader(self, stream: Stream) -> str:
        path = self._make(stream.value)
        self._readers[os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)] = stream
        return path

    async def read(self, ended: "asyncio.Future[int]") -> AsyncIterator[tuple[Stream, bytes]]:
        """What comes, until all writers have closed their ends, or are silent after the process has `ended`."""
        while self._readers:
            ready = await self._readable(ended)
            if ready is None:
                return
            for descriptor in ready:
                stream = self._readers[descriptor]
                try:
                    data = os.read(descriptor, _CHUNK)
                except BlockingIOError:
                    continue
                if data:
                    yield stream, data
                else:
                    del self._readers[descriptor]
                    os.close(descriptor)

    async def _readable(self, ended: "asyncio.Future[int]") -> list[int] | None:
        """The pipes that can be read from, or None after the last silence."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[list[int]] = loop.create_future()
        found: list[int] = []

        def notice(descriptor: int) -> None:
            if descriptor not in found:
                found.append(descriptor)
            if not ready.done():
                ready.set_result(found)

        watched = list(self._readers)
        for descriptor in watched:
            loop.add_reader(descriptor, notice, descriptor)
        try:
            waiting: set[asyncio.Future[object]] = {ready} if ended.done() else {ready, ended}  # type: ignore[arg-type]  # futures are invariant
            timeout = _SILENCE if ended.done() else None
            done, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            return found if done else None
        finally:
            for descriptor in watched:
                loop.remove_reader(descriptor)

    async def write(self, data: bytes, ended: "asyncio.Future[int]") -> None:
        """Write to standard input. Raises `Conflict` when it is closed, or the process has ended."""
        rest = memoryview(data)
        while rest:
            if self._writer < 0 or ended.done():
                raise Conflict("the process does not read any more")
            try:
                rest = rest[os.write(self._writer, rest) :]
            except BlockingIOError:
                await self._writable(ended)

    async def _writable(self, ended: "asyncio.Future[int]") -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[int] = loop.create_future()
        writer = self._writer
        loop.add_writer(writer, _resolve, ready)
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_writer(writer)

    def close_stdin(self) -> None:
        """Close this side of standard input."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def close(self) -> None:
        """Close all and remove the folder."""
        self.close_stdin()
        for descriptor in self._readers:
            os.close(descriptor)
        self._readers.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def _resolve(future: "asyncio.Future[int]") -> None:
    if not future.done():
        future.set_result(0)
