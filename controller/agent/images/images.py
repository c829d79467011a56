"""The node's images as supervisors see them, by the reference as it is written in specs."""

from functools import lru_cache

from controller.agent.decide.observation import ImageView, Pull
from controller.agent.images.presence import Presence
from controller.agent.images.pulls import Pulls
from controller.agent.images.waiter import Waiter
from controller.api.reasons import Reason
from controller.runtime import reference
from controller.runtime.port import InvalidReference, Runtime


class Images:
    """Images of one node. Two spellings of one image (`nginx`, `docker.io/library/nginx:latest`) are one."""

    def __init__(self, runtime: Runtime, *, parallel_pulls: int = 3) -> None:
        self._presence = Presence(runtime.image)
        self._pulls = Pulls(runtime, self._presence.arrived, parallel_pulls)

    async def view(self, image: str) -> ImageView:
        """What is known of a reference; the runtime is only asked when that may have changed.

        Raises:
            RuntimeFailure: when the runtime could not be asked.
        """
        try:
            name = normalised(image)
        except InvalidReference as exc:
            return ImageView(None, Pull(running=False, reason=Reason.INVALID_IMAGE_NAME, message=str(exc), terminal=True))
        present = await self._presence.of(name)
        return ImageView(present, self._pulls.of(name))

    def pull(self, image: str, waiter: Waiter) -> bool:
        """Begin a pull, or join the one that is under way; returns whether this call began it.

        The waiter is told at its end. While a failed pull is tried again, the failure stays in sight.

        Raises:
            InvalidReference: when it is none; `view` says so before.
        """
        return self._pulls.pull(normalised(image), waiter)

    def changed(self, name: str) -> None:
        """The runtime says that an image of this (normalised) name changed: look again when it is next needed."""
        self._presence.changed(name)

    def doubt(self) -> None:
        """The runtime was away, and nobody told what changed meanwhile: look again at every image."""
        self._presence.doubt()

    async def close(self) -> None:
        """Give up the pulls that are under way; what is complete of them stays in the runtime."""
        await self._pulls.close()


@lru_cache(maxsize=4096)
def normalised(image: str) -> str:
    """The name under which the runtime knows a reference. Raises `InvalidReference`."""
    return str(reference.parse(image))
