"""Further processes in a running container."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, Self

from google.protobuf.any_pb2 import Any

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import tasks_pb2
from controller.runtime.containerd.api.containers_pb2 import Container
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.fifos import Fifos
from controller.runtime.containerd.container.tasks import END_SECONDS, KILL
from controller.runtime.containerd.errors import start_failure
from controller.runtime.oci import exec_process
from controller.runtime.port import DeadlineExceeded, ExecConfig, NotFound, RuntimeFailure, Stream
from controller.runtime.signals import signal_number

_PROCESS_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/Process"

_WAIT_SECONDS: Final = 3600.0
"""How long one question for the exit lasts; it is asked again after."""


async def start_exec(channel: Channel, record: Container, config: ExecConfig, run_dir: str) -> "ContainerdExec":
    """Start a process in a container.

    Args:
        channel: the connection.
        record: the container's record: what `config` does not say is as for its main process.
        config: the process.
        run_dir: folder for its pipes.

    Raises:
        NotFound: when the container does not run.
        StartFailure: when the process cannot be started.
    """
    process = exec_process(config, json.loads(record.spec.value)["process"])
    running = ContainerdExec(channel, record.id, Fifos(run_dir, stdin=config.stdin, tty=config.tty))
    try:
        await running.start(process, tty=config.tty)
    except RuntimeFailure as failure:
        await running.close()
        raise start_failure(failure) from failure
    except BaseException:
        await asyncio.shield(running.close())
        raise
    return running


class ContainerdExec:
    """A process started by `start_exec`; see `controller.runtime.port.ExecProcess`."""

    def __init__(self, channel: Channel, container_id: str, fifos: Fifos) -> None:
        self._channel = channel
        self._container_id = container_id
        self._exec_id = f"moorage-{secrets.token_hex(8)}"
        self._fifos = fifos
        self._exit: asyncio.Task[int] | None = None

    async def start(self, process: dict[str, object], *, tty: bool) -> None:
        """Make and start it. Whatever a failure leaves is cleaned by `close`."""
        request = tasks_pb2.ExecProcessRequest(
            container_id=self._container_id,
            exec_id=self._exec_id,
            stdin=self._fifos.stdin,
            stdout=self._fifos.stdout,
            stderr=self._fifos.stderr,
            terminal=tty,
            spec=Any(type_url=_PROCESS_TYPE, value=json.dumps(process).encode()),
        )
        await self._channel.call(methods.EXEC, request)
        start = tasks_pb2.StartRequest(container_id=self._container_id, exec_id=self._exec_id)
        await self._channel.call(methods.START_TASK, start)
        self._exit = asyncio.create_task(self._wait_exit())

    async def _wait_exit(self) -> int:
        request = tasks_pb2.WaitRequest(container_id=self._container_id, exec_id=self._exec_id)
        while True:
            try:
                return (await self._channel.call(methods.WAIT, request, seconds=_WAIT_SECONDS)).exit_status
            except DeadlineExceeded:
                continue

    @property
    def _ended(self) -> "asyncio.Task[int]":
        if self._exit is None:
            raise NotFound("the process was not started")
        return self._exit

    async def __aenter__(self) -> Self:
        """Nothing is to be done: it runs already."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Kill it if it still runs, and remove what belongs to it."""
        await asyncio.shield(self.close())

    def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """What it writes. A process whose output nobody reads waits once the pipe is full."""
        return self._fifos.read(self._ended)

    async def write(self, data: bytes) -> None:
        """Feed its standard input."""
        await self._fifos.write(data, self._ended)

    async def close_stdin(self) -> None:
        """Let it read end of file: the shim holds its own end open until it is told."""
        self._fifos.close_stdin()
        request = tasks_pb2.CloseIORequest(container_id=self._container_id, exec_id=self._exec_id, stdin=True)
        try:
            await self._channel.call(methods.CLOSE_IO, request)
        except NotFound:
            return  # it has ended

    async def resize(self, width: int, height: int) -> None:
        """Set the size of its terminal."""
        request = tasks_pb2.ResizePtyRequest(container_id=self._container_id, exec_id=self._exec_id, width=width, height=height)
        await self._channel.call(methods.RESIZE, request)

    async def signal(self, signal: str) -> None:
        """Send it a signal. Raises `NotFound` when it has ended."""
        await self._kill(signal_number(signal))

    async def wait(self) -> int:
        """Its exit code."""
        return await asyncio.shield(self._ended)

    async def _kill(self, number: int) -> None:
        request = tasks_pb2.KillRequest(container_id=self._container_id, exec_id=self._exec_id, signal=number)
        await self._channel.call(methods.KILL, request)

    async def close(self) -> None:
        """Kill it, remove it from its shim, close and remove the pipes."""
        try:
            await self._end()
        finally:
            if self._exit is not None:
                self._exit.cancel()
                await asyncio.gather(self._exit, return_exceptions=True)
            self._fifos.close()

    async def _end(self) -> None:
        """Make sure that nothing of it is left. Of a container that is gone meanwhile, nothing is."""
        if self._exit is not None and not self._exit.done():
            with suppress(NotFound):
                await self._kill(KILL)
            await asyncio.wait({self._exit}, timeout=END_SECONDS)
        with suppress(NotFound):
            request = tasks_pb2.DeleteProcessRequest(container_id=self._container_id, exec_id=self._exec_id)
            await self._channel.call(methods.DELETE_PROCESS, request)
