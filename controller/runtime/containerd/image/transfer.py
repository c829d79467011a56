"""One call of containerd's transfer service, which is watched over: it may last as long as it likes while anything moves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from controller.runtime.containerd import methods
from controller.runtime.containerd.api.transfer_pb2 import TransferOptions, TransferRequest
from controller.runtime.containerd.api.transfer_types_pb2 import Progress
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.image.streams import Stream, opened, pack

SETTLE_SECONDS: Final = 600.0
"""A silence that is borne when all bytes are where they go: then only a disk is waited for, the node's or the registry's."""


class Silent(Exception):  # noqa: N818 - what happened, not whose fault it is
    """Nothing moved for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing moved for {seconds:g} s")
        self.seconds = seconds


async def _nothing() -> bool:
    return False


class Transfer:
    """A transfer from a source to a destination, by their messages."""

    def __init__(
        self,
        channel: Channel,
        patience: Callable[[], float],
        *,
        take: Callable[[Progress], bool],
        looked: Callable[[], Awaitable[bool]] = _nothing,
    ) -> None:
        """Say how it is watched.

        Args:
            channel: the connection.
            patience: seconds of silence that are borne, as things are now.
            take: takes in what is told of the progress; returns whether it is anything new.
            looked: is asked after such a silence whether anything moved that is not told.
        """
        self._channel = channel
        self._patience = patience
        self._take = take
        self._looked = looked
        self._heard = asyncio.Event()

    def moved(self) -> None:
        """Tell that something moved."""
        self._heard.set()

    async def run(self, source: Message, destination: Message, *, lease: str = "") -> None:
        """Transfer all.

        Raises:
            Silent: when nothing moved for too long; it is ended then.
            RuntimeFailure: as `Channel.call`.
        """
        async with opened(self._channel, "progress") as stream:
            options = TransferOptions(progress_stream=stream.name)
            request = TransferRequest(source=pack(source), destination=pack(destination), options=options)
            listening = asyncio.create_task(self._listen(stream))
            working = asyncio.create_task(self._channel.call(methods.TRANSFER, request, lease=lease))
            try:
                while not await self._ended(working):
                    pass
                await working
                await asyncio.wait({listening}, timeout=methods.READ)
            finally:
                for task in (working, listening):
                    task.cancel()
                await asyncio.gather(working, listening, return_exceptions=True)

    async def _listen(self, stream: Stream) -> None:
        while message := await stream.read():
            if self._take(Progress.FromString(message.value)):
                self.moved()

    async def _ended(self, working: "asyncio.Task[Empty]") -> bool:
        """Wait until it has ended, or something moved."""
        self._heard.clear()
        hearing = asyncio.create_task(self._heard.wait())
        patience = self._patience()
        try:
            await asyncio.wait({working, hearing}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hearing.cancel()
        if not working.done() and not self._heard.is_set() and not await self._looked():
            raise Silent(patience)
        return working.done()
