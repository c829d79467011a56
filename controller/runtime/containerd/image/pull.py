"""Pulling images with containerd's transfer service, which resolves, fetches and unpacks, and holds a lease meanwhile."""

import asyncio
import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import transfer_pb2, transfer_types_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.errors import image_failure, translate
from controller.runtime.containerd.image.auth import answering, headers, pack
from controller.runtime.containerd.image.content import node_platform
from controller.runtime.port import Credential, ImageFailure, PullProgress, RegistryUnreachable, RuntimeFailure
from controller.runtime.reference import Reference

_DONE: Final = frozenset({"complete", "already exists", "extracting", "extracted", "saved"})
"""Events of a part that is here."""


@dataclass(slots=True)
class Tally:
    """Adds up what the service tells of each part of an image."""

    done: dict[str, int] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)
    layers: bool = False
    """A layer was named: before, the sum would be that of a few small documents."""

    def add(self, part: transfer_types_pb2.Progress) -> PullProgress | None:
        """Take in one message; returns the new state, or None for a message that is not about a part."""
        digest = part.desc.digest
        if not digest:
            return None
        self.total[digest] = part.desc.size
        self.done[digest] = part.desc.size if part.event in _DONE else min(part.progress, part.desc.size)
        self.layers = self.layers or "layer" in part.desc.media_type or "rootfs" in part.desc.media_type
        return PullProgress(sum(self.done.values()), sum(self.total.values()) if self.layers else 0)


class Puller:
    """Pulls images of one namespace."""

    def __init__(self, channel: Channel, snapshotter: str, hosts_dir: str, silence: float) -> None:
        """Take the settings.

        Args:
            channel: the connection.
            snapshotter: what to unpack with.
            hosts_dir: folder with a hosts.toml for each registry that needs one (containerd's docs/hosts.md).
            silence: seconds without any progress after which a pull is given up.
        """
        self._channel = channel
        self._snapshotter = snapshotter
        self._hosts_dir = hosts_dir
        self._silence = silence

    async def pull(
        self,
        reference: Reference,
        progress: Callable[[PullProgress], None] | None,
        credential: Credential | None = None,
        digest: str = "",
    ) -> None:
        """Fetch and unpack an image; with a digest that one, whatever the tag means by now.

        Raises:
            ImageFailure: the one that fits.
            Unavailable: when containerd went away.
        """
        stream = f"moorage-pull-{secrets.token_hex(8)}"
        call = self._channel.duplex(methods.STREAM)
        try:
            await call.write(pack(methods.STREAM_INIT(id=stream)))
            await call.read()  # containerd confirms that the stream can be referred to
            async with answering(self._channel, credential) as asked:
                source = self._source(reference, digest, asked, credential)
                await self._transfer(call, stream, reference, source, progress)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        finally:
            call.cancel()

    async def _transfer(
        self,
        call: "grpc.aio.StreamStreamCall[Any, Any]",
        stream: str,
        reference: Reference,
        source: transfer_types_pb2.OCIRegistry,
        progress: Callable[[PullProgress], None] | None,
    ) -> None:
        heard = asyncio.Event()
        listening = asyncio.create_task(_listen(call, heard, progress))
        working = asyncio.create_task(self._channel.call(methods.TRANSFER, self._request(reference, source, stream)))
        try:
            while not await self._ended(working, heard):
                pass
            await working
            await asyncio.wait({listening}, timeout=methods.READ)
        except ImageFailure:
            raise
        except RuntimeFailure as failure:
            raise image_failure(failure, str(reference)) from failure
        finally:
            for task in (working, listening):
                task.cancel()
            await asyncio.gather(working, listening, return_exceptions=True)

    async def _ended(self, working: "asyncio.Task[Message]", heard: asyncio.Event) -> bool:
        """Wait until the transfer has ended or something was heard of it.

        Raises:
            RegistryUnreachable: after too long a silence.
        """
        heard.clear()
        listening = asyncio.create_task(heard.wait())
        try:
            await asyncio.wait({working, listening}, timeout=self._silence, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if not working.done() and not heard.is_set():
            raise RegistryUnreachable(f"pull given up: nothing was received for {self._silence:.0f} s")
        return working.done()

    def _source(
        self, reference: Reference, digest: str, asked: str, credential: Credential | None
    ) -> transfer_types_pb2.OCIRegistry:
        resolver = transfer_types_pb2.RegistryResolver(
            auth_stream=asked,
            headers=headers(credential),
            host_dir=self._hosts_dir,
            default_scheme="http" if is_loopback(reference.domain) else "https",
        )
        exact = replace(reference, digest=digest) if digest else reference
        return transfer_types_pb2.OCIRegistry(reference=str(exact), resolver=resolver)

    def _request(
        self, reference: Reference, source: transfer_types_pb2.OCIRegistry, stream: str
    ) -> transfer_pb2.TransferRequest:
        node = node_platform()
        unpack = transfer_types_pb2.UnpackConfiguration(platform=node, snapshotter=self._snapshotter)
        store = transfer_types_pb2.ImageStore(name=str(reference), platforms=[node], unpacks=[unpack])
        options = transfer_pb2.TransferOptions(progress_stream=stream)
        return transfer_pb2.TransferRequest(source=pack(source), destination=pack(store), options=options)


async def _listen(
    call: "grpc.aio.StreamStreamCall[Any, Any]",
    heard: asyncio.Event,
    progress: Callable[[PullProgress], None] | None,
) -> None:
    """Read the progress stream to its end. That it broke is told by the transfer itself, which fails then too."""
    tally, last = Tally(), None
    try:
        while isinstance(message := await call.read(), Any):
            heard.set()
            state = tally.add(transfer_types_pb2.Progress.FromString(message.value))
            if progress and state and state != last:
                last = state
                progress(state)
    except grpc.aio.AioRpcError:
        return


def is_loopback(domain: str) -> bool:
    """Whether a registry is on this very machine: then it is spoken to without TLS, as Docker does."""
    host = domain[1 : domain.index("]")] if domain.startswith("[") else domain.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
