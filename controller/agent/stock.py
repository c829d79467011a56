"""The node's stock of images: who may fetch which, what ContainerImages want of it, and room for it on the disk."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from controller.agent.credentials.credentials import Credentials
from controller.agent.credentials.nodewide import ConfigFile
from controller.agent.decide.observation import Desired
from controller.agent.images.access import Access
from controller.agent.images.collector import ImageCollector, Tell
from controller.agent.images.images import Images
from controller.agent.images.records import PullRecords
from controller.agent.images.uses import FILE as USES
from controller.agent.images.uses import ImageUses
from controller.agent.nodeimages.keeper import ImageKeeper
from controller.agent.nodeimages.wanted import FILE as WANTED
from controller.agent.nodeimages.wanted import Wanted
from controller.agent.nodeimages.watch import watch_for_ever
from controller.agent.nodeimages.writer import NodeImagesWriter
from controller.agent.settings import AgentSettings
from controller.agent.sources.port import Sources
from controller.agent.view import NodeView
from controller.kube.client import Client
from controller.kube.connection import Connection
from controller.runtime.port import Runtime


class ImageStock:
    """That of one node."""

    def __init__(
        self,
        settings: AgentSettings,
        runtime: Runtime,
        client: Client,
        sources: Sources,
        view: NodeView,
        store: Iterable[Desired],
        *,
        changed: Callable[[str], None],
        tell: Tell,
        made_room: Callable[[], None],
        pressure_changed: Callable[[], None],
    ) -> None:
        """Prepare it.

        Args:
            settings: what the agent is told.
            runtime: has the images.
            client: for what is told to the API server.
            sources: the Secrets with credentials.
            view: the node's containers.
            store: the instances that the node is to have.
            changed: is to have everybody look who needs an image of this (normalised) name.
            tell: writes Events about the node.
            made_room: called when a pull has found no room, and there is some now.
            pressure_changed: called when there is another thing to be told of room on the disk.
        """
        folder, most = settings.state_dir, settings.parallel_pulls
        self._node_name, self._made_room = settings.node_name, made_room
        self._credentials = Credentials(ConfigFile(settings.registry_config), settings.credential_providers)
        self._records = PullRecords(folder / "images.json")
        self.images = Images(
            runtime,
            self._credentials,
            Access(self._records, settings.image_verification),
            parallel_pulls=most,
            archive_dirs=settings.archive_dirs,
            changed=changed,
            ended=self._pull_ended,
        )
        self._wanted = Wanted(folder / WANTED)
        self._writer = NodeImagesWriter(client, settings.node_name)
        self.keeper = ImageKeeper(self._wanted, self.images, runtime, sources, self._writer, parallel_pulls=most)
        self._uses = ImageUses(folder / USES)
        self.collector = ImageCollector(
            runtime,
            self.images,
            view,
            store,
            self._uses,
            pinned=self.keeper.pinned,
            settings=settings.image_room,
            tell=tell,
            made_room=self._room_made,
            changed=pressure_changed,
        )

    def load(self, wanted: Iterable[Desired]) -> None:
        """Take in what an earlier agent has kept, and the instances that the node is to have."""
        self._wanted.load()
        self._records.load()
        self._uses.load(wanted)

    def background(self, connection: Connection) -> tuple[Coroutine[Any, Any, None], ...]:
        """What goes on for ever."""
        return (
            self._wanted.keep_for_ever(),
            self.keeper.run(),
            self._writer.run(),
            self._uses.keep_for_ever(),
            self.collector.run(),
            watch_for_ever(connection, self._node_name, self.keeper.seen),
        )

    def use(self, desired: Desired) -> None:
        """An instance has come or changed: its images are in use."""
        self._uses.note(desired)

    def changed(self, name: str) -> None:
        """The runtime says that an image of this (normalised) name changed."""
        self.images.changed(name)
        self.keeper.wake()

    def doubt(self) -> None:
        """The runtime went or came, and nobody told what changed meanwhile."""
        self.images.doubt()
        self.keeper.wake()

    async def close(self) -> None:
        """Give up what is under way; what is complete stays in the runtime."""
        await self.keeper.close()
        await self.images.close()
        await self._credentials.close()

    def _pull_ended(self, failure: Exception | None, total: int) -> None:
        self.collector.pull_ended(failure, total)

    def _room_made(self) -> None:
        self.images.room_made()
        self.keeper.wake()
        self._made_room()
