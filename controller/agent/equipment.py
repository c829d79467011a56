"""What an agent looks at its node with and acts on it by, but for images: made, loaded, kept going and closed together."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from controller.agent.acting.hands import Hands
from controller.agent.decide.observation import NodeFacts
from controller.agent.files import FOLDER as FILES_FOLDER
from controller.agent.files import InstanceFiles
from controller.agent.images.images import Images
from controller.agent.levels import Levels
from controller.agent.logs import LogFiles
from controller.agent.memory import Memory
from controller.agent.networks import care_for_ever
from controller.agent.node import facts
from controller.agent.probes.probes import Probes
from controller.agent.report.events import EventRecorder
from controller.agent.room import Room, taken
from controller.agent.runtimeclasses import RuntimeClasses
from controller.agent.seccomp import FOLDER as SECCOMP_FOLDER
from controller.agent.settings import AgentSettings
from controller.agent.slots import Slots
from controller.agent.sources.kept import Kept
from controller.agent.sources.kube import KubeSources
from controller.agent.sources.port import Kind
from controller.agent.store import Store
from controller.agent.supervisors import Supervisors
from controller.agent.tokens.kube import KubeTokens
from controller.agent.view import NodeView
from controller.agent.volumes.place import Place
from controller.agent.volumes.volumes import FOLDER as VOLUMES_FOLDER
from controller.agent.volumes.volumes import NodeVolumes
from controller.kube.client import Client
from controller.kube.connection import Connection
from controller.network.attached import AttachedNetworks
from controller.network.namespaces import Namespaces
from controller.runtime.port import Runtime

CONFIG_MAPS_FOLDER: Final = "configmaps"
"""Below the state folder."""

SECRETS_FOLDER: Final = "secrets"
"""Below the folder in memory."""


class Equipment:
    """That of one node."""

    def __init__(
        self,
        settings: AgentSettings,
        runtime: Runtime,
        connection: Connection,
        client: Client,
        store: Store,
        supervisors: Supervisors,
        *,
        runtime_name: str,
        object_changed: Callable[[str], None],
        image_changed: Callable[[str], None],
        availability_changed: Callable[[], None],
    ) -> None:
        """Prepare it.

        Args:
            settings: what the agent is told.
            runtime: runs the containers.
            connection: for watches of the API server.
            client: for calls to it.
            store: the instances that the node is to have.
            supervisors: are woken by what changes for them.
            runtime_name: of the runtime, for statuses.
            object_changed: called with the name of whoever follows a ConfigMap or Secret that changed.
            image_changed: called with the name of an image that changed in the runtime.
            availability_changed: called when the runtime went or came.
        """
        folder, name, wake = settings.state_dir, settings.node_name, supervisors.wake
        self.runtime, self.node = runtime, _facts(settings, runtime_name)
        self.view = NodeView(runtime, wake, image_changed, availability_changed)
        self.levels = Levels(folder / "levels.json", settings.pod_security, supervisors.level_changed)
        self.classes = RuntimeClasses(folder / "runtimeclasses.json", settings.runtime_handlers, supervisors.class_changed)
        self.room = Room(self.node.allocatable, lambda: taken(store, self.view, self.classes.overhead), wake)
        self.logs = LogFiles(settings.log_dir, max_bytes=settings.log_max_bytes, max_files=settings.log_max_files)
        self.files = InstanceFiles(self.node, root=settings.cni.root, resolv_conf=settings.resolv_conf)
        self.networks = AttachedNetworks(Namespaces(str(settings.netns_dir)), folder / "networks", settings.cni)
        self.volumes = NodeVolumes(self.node.volumes_dir, Place(settings.cni.process), runtime)
        self.sources = _sources(settings, connection, object_changed)
        self.tokens = KubeTokens(client, name, wake)
        self.slots = Slots(settings.parallel_work)
        self.events = EventRecorder(client, name, self.slots.quiet)
        self.probes = Probes(runtime, self.view, self.events, self.node, self.slots, wake, self.networks.addresses)

    def hands(self, images: Images) -> Hands:
        """What supervisors need of it, with the node's images."""
        return Hands(
            room=self.room,
            runtime=self.runtime,
            view=self.view,
            images=images,
            networks=self.networks,
            volumes=self.volumes,
            levels=self.levels,
            classes=self.classes,
            probes=self.probes,
            sources=self.sources,
            tokens=self.tokens,
            events=self.events,
            logs=self.logs,
            files=self.files,
            node=self.node,
            slots=self.slots,
        )

    def load(self) -> None:
        """Take in what is on the node, and what an earlier agent has kept."""
        self.networks.load()
        self.volumes.load()
        self.levels.load()
        self.classes.load()
        self.sources.load()

    def background(
        self, wake: Callable[[str], None], network_changed: Callable[[], None]
    ) -> tuple[Coroutine[Any, Any, None], ...]:
        """What goes on for ever.

        Args:
            wake: called with the uid of each instance whose network or volumes are no longer as they were.
            network_changed: called when there is something else to be told of the node's network.
        """
        return (
            self.view.run(),
            self.levels.keep_for_ever(),
            self.classes.keep_for_ever(),
            self.events.run(),
            self.logs.rotate_for_ever(),
            care_for_ever(self.networks, wake, network_changed),
            self.volumes.measure_for_ever(wake),
        )

    async def close(self) -> None:
        """End what it has begun; what is on the node stays."""
        self.probes.close()
        await self.sources.close()
        await self.tokens.close()


def _facts(settings: AgentSettings, runtime_name: str) -> NodeFacts:
    """What is true of the node, and what the agent is told of it."""
    return facts(
        settings.node_name,
        runtime_name,
        log_dir=str(settings.log_dir),
        netns_dir=str(settings.netns_dir),
        seccomp_dir=str(settings.state_dir / SECCOMP_FOLDER),
        files_dir=str(settings.state_dir / FILES_FOLDER),
        volumes_dir=str(settings.state_dir / VOLUMES_FOLDER),
        cluster_dns=settings.cluster_dns,
        cluster_domain=settings.cluster_domain,
        allowed_unsafe_sysctls=settings.allowed_unsafe_sysctls,
        pids_limit=settings.pids_limit,
        system_reserved=settings.system_reserved,
    )


def _sources(settings: AgentSettings, connection: Connection, wake: Callable[[str], None]) -> KubeSources:
    """ConfigMaps are kept in the state folder, Secrets in memory."""
    memory = Memory(settings.memory_dir)
    maps = settings.state_dir / CONFIG_MAPS_FOLDER

    def make_folder() -> None:
        maps.mkdir(mode=0o700, exist_ok=True)

    kept = {
        Kind.CONFIG_MAP: Kept(Kind.CONFIG_MAP, maps, make_folder, lambda: None),
        Kind.SECRET: Kept(Kind.SECRET, memory.path(SECRETS_FOLDER), lambda: memory.prepare(SECRETS_FOLDER), memory.tidy),
    }
    return KubeSources(connection, kept, wake)
