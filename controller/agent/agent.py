"""The agent as a whole: its parts, how they hang together, and their start and end."""

import asyncio
import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from controller.agent import metrics
from controller.agent.acting.hands import Hands
from controller.agent.cleanup import Cleanup
from controller.agent.credentials.credentials import Credentials
from controller.agent.credentials.nodewide import ConfigFile
from controller.agent.credentials.plugins import Plugin
from controller.agent.decide.credentials.access import Rule
from controller.agent.files import FOLDER as FILES_FOLDER
from controller.agent.files import InstanceFiles
from controller.agent.images.access import Access
from controller.agent.images.archives import FOLDER as ARCHIVES_FOLDER
from controller.agent.images.collector import ImageCollector, RoomSettings
from controller.agent.images.images import Images
from controller.agent.images.records import PullRecords
from controller.agent.images.uses import FILE as IMAGE_USES
from controller.agent.images.uses import ImageUses
from controller.agent.levels import Levels
from controller.agent.logs import LogFiles
from controller.agent.measured import measured
from controller.agent.memory import Memory
from controller.agent.networks import care_for_ever
from controller.agent.node import NodeJudge, facts
from controller.agent.nodeimages.keeper import WATCHER as WANTED_IMAGES_WATCHER
from controller.agent.nodeimages.keeper import ImageKeeper
from controller.agent.nodeimages.wanted import FILE as WANTED_IMAGES
from controller.agent.nodeimages.wanted import Wanted
from controller.agent.nodeimages.watch import watch_for_ever
from controller.agent.nodeimages.writer import NodeImagesWriter
from controller.agent.operator import AgentOperator
from controller.agent.probes.probes import Probes
from controller.agent.report.events import EventRecorder
from controller.agent.report.finalizer import Finalizer
from controller.agent.report.heartbeat import RENEW_SECONDS, Heartbeat
from controller.agent.report.writer import StatusWriter
from controller.agent.room import Room, taken
from controller.agent.runtimeclasses import RuntimeClasses
from controller.agent.seccomp import FOLDER as SECCOMP_FOLDER
from controller.agent.slots import Slots
from controller.agent.sources.kept import Kept
from controller.agent.sources.kube import KubeSources
from controller.agent.sources.port import Kind
from controller.agent.store import Store
from controller.agent.supervisor import Supervisor
from controller.agent.tokens.kube import KubeTokens
from controller.agent.view import NodeView
from controller.agent.volumes.place import Place
from controller.agent.volumes.volumes import FOLDER as VOLUMES_FOLDER
from controller.agent.volumes.volumes import NodeVolumes
from controller.api.amounts import NOTHING, Amounts
from controller.api.base import API_VERSION
from controller.api.node import RuntimeNode
from controller.api.podsecurity.levels import BASELINE, LevelVersion
from controller.api.reasons import Reason
from controller.kube.client import Client
from controller.kube.connection import Connection
from controller.kube.definitions import DefinitionCheck
from controller.kube.resources import INSTANCES, NODE_IMAGES, NODES
from controller.network.attached import AttachedNetworks, CniSettings
from controller.network.namespaces import Namespaces
from controller.runtime.port import Runtime
from controller.telemetry.health import Health

log = logging.getLogger(__name__)


CONFIG_MAPS_FOLDER: Final = "configmaps"
"""Below the state folder."""

SECRETS_FOLDER: Final = "secrets"
"""Below the folder in memory."""

END_SECONDS: Final = 10.0
"""How long the end waits for work that is under way."""


class AgentError(Exception):
    """The agent cannot start; said to people as it is."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an agent is told at its start."""

    node_name: str
    """Name of the node, and of its RuntimeNode."""
    state_dir: Path = Path("/var/lib/moorage")
    """Where the desired instances are kept."""
    log_dir: Path = Path("/var/log/moorage")
    """Where the containers' output goes."""
    netns_dir: Path = Path("/run/moorage/netns")
    """Where the network namespaces of instances are mounted; the container runtime must see it at the same path."""
    memory_dir: Path = Path("/run/moorage/memory")
    """Where what must not reach a disk is kept; a tmpfs is mounted there if it is on none."""
    cni: CniSettings = field(default_factory=CniSettings)
    """Where the node's networks are configured."""
    cluster_dns: tuple[str, ...] = ()
    """Addresses of the cluster's name servers, for dnsPolicy ClusterFirst; none: the node's own are used."""
    cluster_domain: str = "cluster.local"
    """Domain of the cluster's Services."""
    resolv_conf: str = "/etc/resolv.conf"
    """The node's resolver, for dnsPolicy Default."""
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    """Kernel parameters that instances may set beyond the safe ones: names, and patterns that end in `*`."""
    pids_limit: int = 0
    """Most processes and threads of a container that says nothing itself; 0: no limit."""
    system_reserved: Amounts = NOTHING
    """What of the node is not for instances."""
    parallel_work: int = 4
    """How many containers are made, started or removed at the same time."""
    parallel_pulls: int = 3
    """How many images are pulled at the same time."""
    registry_config: Path = Path("/var/lib/moorage/config.json")
    """Credentials for registries that are for all instances; need not be there."""
    image_room: RoomSettings = field(default_factory=RoomSettings)
    """How much room there is to be on the disk of images."""
    credential_providers: tuple[Plugin, ...] = ()
    """Plugins that give more of them."""
    archive_dirs: tuple[Path, ...] = (Path("/var/lib/moorage") / ARCHIVES_FOLDER,)
    """Archives of images are read from below these folders, and from nowhere else."""
    image_verification: Rule = field(default_factory=Rule)
    """For which images that are on the node a right has to be shown."""
    log_max_bytes: int = 10 * 2**20
    """Size at which a log file is rotated."""
    runtime_handlers: tuple[str, ...] = ("runc",)
    """Names of the runtime handlers that the node has."""
    pod_security: LevelVersion = BASELINE
    """What is enforced in namespaces without Pod Security labels."""
    log_max_files: int = 5
    """How many files of one container's run are kept, the current one included."""
    heartbeat_seconds: float = RENEW_SECONDS
    """Pause between two heartbeats; a manager waits for four of them by default."""


class Agent:
    """The node half."""

    def __init__(self, settings: AgentSettings, runtime: Runtime, connection: Connection, *, runtime_name: str) -> None:
        runtime = measured(runtime)
        self._settings, self._runtime, self._connection = settings, runtime, connection
        self._client = Client(connection)
        self._supervisors: dict[str, tuple[Supervisor, asyncio.Task[None]]] = {}
        self._ending = False
        self.store = Store(settings.state_dir / "instances", self._desired_changed)
        self._levels = Levels(settings.state_dir / "levels.json", settings.pod_security, self._level_changed)
        self._classes = RuntimeClasses(
            settings.state_dir / "runtimeclasses.json", settings.runtime_handlers, self._class_changed
        )
        node = facts(
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
        self._credentials = Credentials(ConfigFile(settings.registry_config), settings.credential_providers)
        self._records = PullRecords(settings.state_dir / "images.json")
        access = Access(self._records, settings.image_verification)
        self._images = Images(
            runtime,
            self._credentials,
            access,
            parallel_pulls=settings.parallel_pulls,
            ended=self._pull_ended,
            changed=self._image_changed,
            archive_dirs=settings.archive_dirs,
        )
        self.view = NodeView(runtime, self.wake, self._image_changed, self._availability_changed)
        self._logs = LogFiles(settings.log_dir, max_bytes=settings.log_max_bytes, max_files=settings.log_max_files)
        self._files = InstanceFiles(node, root=settings.cni.root, resolv_conf=settings.resolv_conf)
        self._networks = AttachedNetworks(Namespaces(str(settings.netns_dir)), settings.state_dir / "networks", settings.cni)
        self._volumes = NodeVolumes(node.volumes_dir, Place(settings.cni.process), runtime)
        self._sources = _sources(settings, connection, self.wake)
        self._tokens = KubeTokens(self._client, settings.node_name, self.wake)
        slots = Slots(settings.parallel_work)
        self._events = EventRecorder(self._client, settings.node_name, slots.quiet)
        self._writer = StatusWriter(self._client)
        self._wanted_images = Wanted(settings.state_dir / WANTED_IMAGES)
        self._images_writer = NodeImagesWriter(self._client, settings.node_name)
        self.keeper = ImageKeeper(
            self._wanted_images,
            self._images,
            runtime,
            self._sources,
            self._images_writer,
            parallel_pulls=settings.parallel_pulls,
        )
        self._uses = ImageUses(settings.state_dir / IMAGE_USES)
        self._collector = ImageCollector(
            runtime,
            self._images,
            self.view,
            self.store,
            self._uses,
            pinned=self.keeper.pinned,
            settings=settings.image_room,
            tell=self._tell_of_node,
            made_room=self._room_made,
            changed=self._pressure_changed,
        )
        judge = NodeJudge(
            settings.node_name,
            runtime,
            lambda: self.view.error,
            address=node.address,
            allocatable=node.allocatable,
            networks=self._networks,
            pressure=lambda: self._collector.pressure,
            stale=lambda: self._definitions.message,
        )
        self._heartbeat = Heartbeat(self._client, settings.node_name, judge, settings.heartbeat_seconds)
        self._definitions = DefinitionCheck(
            self._client,
            "agent",
            (INSTANCES, NODES, NODE_IMAGES),
            self._heartbeat.wake,
            lambda _: self._node_reference(),
            settings.node_name,
        )
        self._cleanup = Cleanup(
            self.store,
            self.view,
            runtime,
            self._logs,
            self._networks,
            self._volumes,
            self._files,
            self._sources,
            self._images,
        )
        self._probes = Probes(runtime, self.view, self._events, node, slots, self.wake, self._networks.addresses)
        self._room = Room(node.allocatable, lambda: taken(self.store, self.view, self._classes.overhead), self.wake)
        self._hands = Hands(
            room=self._room,
            runtime=runtime,
            view=self.view,
            images=self._images,
            networks=self._networks,
            volumes=self._volumes,
            levels=self._levels,
            classes=self._classes,
            probes=self._probes,
            sources=self._sources,
            tokens=self._tokens,
            events=self._events,
            logs=self._logs,
            files=self._files,
            node=node,
            slots=slots,
        )
        self._operator = AgentOperator(
            settings.node_name,
            self.store,
            self._levels,
            self._classes,
            self._writer,
            self._heartbeat,
            self._cleanup,
            self._definitions.wake,
        )
        self._informer = self._operator.informer(connection, self._client)
        self._finalizer = Finalizer(self._client, self._operator.answered)
        metrics.follow(
            supervisors=self._supervisors,
            slots=slots,
            view=self.view,
            writer=self._writer,
            judge=judge,
            sources=self._sources,
            tokens=self._tokens,
            keeper=self.keeper,
            collector=self._collector,
        )

    def tell(self, health: Health) -> None:
        """Add the agent's checks.

        An API server or a runtime that is away never makes the agent one to be restarted: what runs on the node needs neither,
        and the next agent could not reach them either.
        """
        health.live["agent watch"] = self._informer.incurable
        health.ready["agent"] = lambda: "" if self._heartbeat.beaten.is_set() else "the node is not registered yet"
        health.ready["runtime"] = lambda: self.view.error

    def wake(self, uid: str) -> None:
        """Something about this instance's containers, or about an object that somebody of this name follows, changed."""
        if uid == WANTED_IMAGES_WATCHER:
            self.keeper.wake()
        found = self._supervisors.get(uid)
        if found is not None:
            found[0].wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; then end what is under way, and leave on the node what runs there."""
        self.store.load()
        self._networks.load()
        self._volumes.load()
        self._levels.load()
        self._classes.load()
        self._wanted_images.load()
        self._sources.load()
        self._records.load()
        self._uses.load(self.store)
        self._operator.known_from_disk(d.uid for d in self.store)
        for desired in self.store:
            self._supervise(desired.uid)
        background = (
            self.view.run(),
            self.store.flush_for_ever(),
            self._levels.keep_for_ever(),
            self._classes.keep_for_ever(),
            self._writer.run(),
            self._wanted_images.keep_for_ever(),
            self.keeper.run(),
            self._images_writer.run(),
            self._uses.keep_for_ever(),
            self._collector.run(),
            watch_for_ever(self._connection, self._settings.node_name, self.keeper.seen),
            self._events.run(),
            self._heartbeat.run(),
            self._logs.rotate_for_ever(),
            self._cleanup.run(),
            care_for_ever(self._networks, self.wake, self._heartbeat.wake),
            self._volumes.measure_for_ever(self.wake),
            self._connection.keep_fresh(),
            self._check_definitions(),
        )
        tasks = [asyncio.create_task(c) for c in background]
        stopped = asyncio.create_task(stop.wait())
        await self._informer.start()
        log.info("agent of node %s runs, %d instances known from before", self._settings.node_name, len(self._supervisors))
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()  # a background task never ends by itself: what ended it is a defect, and ends the agent
        finally:
            await self._end([stopped, *tasks])

    async def _check_definitions(self) -> None:
        """For ever, once there is a RuntimeNode to tell it on."""
        await self._heartbeat.beaten.wait()
        await self._definitions.run()

    def _node_reference(self) -> dict[str, str]:
        node, uid = self._settings.node_name, self._heartbeat.uid
        return {"apiVersion": API_VERSION, "kind": RuntimeNode.KIND, "name": node, "uid": uid}

    async def _end(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        self._ending = True
        await self._informer.stop()
        for supervisor, _ in self._supervisors.values():
            supervisor.end()
        running = [task for _, task in self._supervisors.values()]
        if running:
            _, late = await asyncio.wait(running, timeout=END_SECONDS)
            tasks = [*tasks, *late]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._probes.close()
        metrics.unfollow()
        await self._sources.close()
        await self._tokens.close()
        await self.keeper.close()
        await self._images.close()
        await self._credentials.close()
        await self._client.close()

    def _desired_changed(self, uid: str) -> None:
        if uid not in self._supervisors and not self._ending:
            self._supervise(uid)
        desired = self.store.get(uid)
        if desired is not None:
            self._uses.note(desired)
        self.wake(uid)

    def _level_changed(self, namespace: str) -> None:
        for desired in self.store:
            if desired.instance.metadata.namespace == namespace:
                self.wake(desired.uid)

    def _class_changed(self, name: str) -> None:
        for desired in self.store:
            wanted = desired.instance.spec.runtime_class_name
            if wanted is not None and name in {wanted, ""}:
                self.wake(desired.uid)

    def _image_changed(self, name: str) -> None:
        self._images.changed(name)
        self.keeper.wake()
        self._wake_all()

    def _availability_changed(self) -> None:
        self._heartbeat.wake()
        self._cleanup.wake()
        self._images.doubt()
        self.keeper.wake()
        self._wake_all()

    def _pull_ended(self, failure: Exception | None, total: int) -> None:
        self._collector.pull_ended(failure, total)

    def _pressure_changed(self) -> None:
        self._heartbeat.wake()

    def _room_made(self) -> None:
        self._images.room_made()
        self.keeper.wake()
        self._wake_all()

    def _tell_of_node(self, reason: Reason, message: str, *, warning: bool = False) -> None:
        self._events.tell(self._node_reference(), reason, message, warning=warning)

    def _wake_all(self) -> None:
        for supervisor, _ in self._supervisors.values():
            supervisor.wake()

    def _supervise(self, uid: str) -> None:
        supervisor = Supervisor(uid, self.store, self._hands, self._writer, self._finalizer)
        task = asyncio.create_task(supervisor.run(), name=f"supervisor {uid}")
        self._supervisors[uid] = (supervisor, task)
        task.add_done_callback(lambda _: self._supervisors.pop(uid, None))


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


@contextmanager
def sole_agent(state_dir: Path) -> Iterator[None]:
    """Hold the state folder's lock: two agents on one state would undo each other's work.

    Raises:
        AgentError: when another agent holds it.
    """
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / "agent.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise AgentError(
                f"another agent runs with the state folder {state_dir}: stop it, or give another --state-dir"
            ) from exc
        yield
