"""Pushing images with containerd's transfer service, which sends what the registry lacks.

What is pushed has a name of its own meanwhile, so that it stays what it is whatever becomes of the image's name. An image for
several platforms is mostly here for this node alone: then its index would name what the registry never gets, which registries
refuse, and this node's manifest is pushed in its place.
"""

import asyncio
from dataclasses import dataclass

from controller.runtime.containerd.api import transfer_types_pb2
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.image.content import ContentReader
from controller.runtime.containerd.image.hosts import fault
from controller.runtime.containerd.image.images import Images
from controller.runtime.containerd.image.parts import parts_of
from controller.runtime.containerd.image.passing import passing
from controller.runtime.containerd.image.progress import Progressed, Tally, Told
from controller.runtime.containerd.image.push_failures import push_failure
from controller.runtime.containerd.image.registry import registry
from controller.runtime.containerd.image.transfer import SETTLE_SECONDS, Silent, Transfer
from controller.runtime.port import Credential, ImageFailure, PullStalled, RuntimeFailure
from controller.runtime.reference import Reference


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be pushed where."""

    name: str
    """Of the image on the node."""
    target: Reference
    """Its name in the registry."""
    credential: Credential | None = None
    """What the registry is shown when it asks."""


class Pusher:
    """Pushes images of one namespace."""

    def __init__(self, channel: Channel, images: Images, hosts_dir: str, silence: float) -> None:
        """Take the settings.

        Args:
            channel: the connection.
            images: those that are on the node.
            hosts_dir: folder with a hosts.toml for each registry that needs one.
            silence: seconds without any progress after which a push is given up.
        """
        self._channel = channel
        self._images = images
        self._hosts_dir = hosts_dir
        self._silence = silence
        self._contents = ContentReader(channel)

    async def push(self, errand: Errand, progress: Progressed | None) -> str:
        """Send an image to a registry; returns the digest that it has there.

        Raises:
            NotFound: when the image is not on the node.
            ImageFailure: the one that fits.
            Unavailable: when containerd went away.
        """
        target = (await self._images.get(errand.name)).record.target
        parts = await parts_of(self._channel, self._contents, target, errand.name)
        pushed = target if parts.complete else parts.manifest
        async with passing(self._channel, pushed) as name:
            await self._send(errand, name, Tally(), progress)
        return pushed.digest

    async def _send(self, errand: Errand, name: str, tally: Tally, progress: Progressed | None) -> None:
        def patience() -> float:
            return SETTLE_SECONDS if tally.settling else self._silence

        transfer = Transfer(self._channel, patience, take=Told(tally, progress).take)
        source = transfer_types_pb2.ImageStore(name=name)
        try:
            async with registry(self._channel, errand.target, errand.credential, self._hosts_dir) as destination:
                await transfer.run(source, destination)
        except Silent as silent:
            raise PullStalled(
                f"registry {errand.target.domain} has taken nothing more of image {errand.target} for {silent.seconds:g} s: "
                "what it has already need not be pushed again"
            ) from silent
        except RuntimeFailure as failure:
            raise await self._explained(failure, errand) from failure

    async def _explained(self, failure: RuntimeFailure, errand: Errand) -> RuntimeFailure:
        """What a failure means, with what is wrong with the registry's configuration, which may be its cause."""
        meant = push_failure(failure, errand.target, shown=errand.credential is not None)
        wrong = await asyncio.to_thread(fault, self._hosts_dir, errand.target.domain)
        return type(meant)(f"{meant}; {wrong}") if wrong and isinstance(meant, ImageFailure) else meant
