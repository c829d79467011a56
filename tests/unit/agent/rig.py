"""A whole node half around real classes: the runtime and the API server are in memory, and the informer is a callback."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.agent.acting.hands import Hands
from controller.agent.cleanup import Cleanup
from controller.agent.credentials.credentials import Credentials
from controller.agent.decide.eviction import Exceeded, SizeLimit
from controller.agent.decide.observation import NodeFacts
from controller.agent.decide.volumes.mounts import Preparation, Shared
from controller.agent.decide.volumes.wanted import VolumeFailure, WantedVolume
from controller.agent.files import InstanceFiles
from controller.agent.images.access import Access
from controller.agent.images.images import Images
from controller.agent.images.records import PullRecords
from controller.agent.levels import Levels
from controller.agent.logs import LogFiles
from controller.agent.nodeimages.keeper import ImageKeeper
from controller.agent.nodeimages.wanted import Wanted
from controller.agent.nodeimages.writer import NodeImagesWriter
from controller.agent.operator import AgentOperator
from controller.agent.probes.probes import Probes
from controller.agent.report.events import EventRecorder
from controller.agent.report.finalizer import Finalizer
from controller.agent.report.heartbeat import Heartbeat
from controller.agent.report.writer import StatusWriter
from controller.agent.room import Room, taken
from controller.agent.runtimeclasses import RuntimeClasses
from controller.agent.slots import Slots
from controller.agent.sources.port import Ref, View
from controller.agent.store import Store
from controller.agent.supervisor import Supervisor
from controller.agent.tokens.kube import KubeTokens
from controller.agent.view import NodeView
from controller.api import labels
from controller.api.amounts import Amounts
from controller.api.node import NodeStatus
from controller.api.podsecurity.levels import BASELINE, ENFORCE
from controller.kube.informer import Watch
from controller.kube.resources import INSTANCES, NAMESPACES, NODES, RUNTIME_CLASSES, Resource
from controller.network.port import NetworkFailure, NetworkRequest, NetworkState
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import ContainerConfig, ContainerState, ImageConfig, Phase
from tests.unit.agent.api import Api, Object
from tests.unit.agent.clock import now, until
from tests.unit.agent.sources import SimulatedSources
from tests.unit.agent.tokens import TokenServer
from tests.unit.agent.values import container, instance_object

IMAGE = "registry.test/app:1"
ALIVE = {Phase.RUNNING, Phase.PAUSED}


class Recorder(MemoryRuntime):
    """Keeps what was started, and asserts that nothing is started beside a living one of its name.

    `troubles` holds, by the name of a call, the exceptions that its next calls end with; if it is in `late`, the first one
    takes effect none the less.
    """

    def __init__(self, node: MemoryNode) -> None:
        super().__init__(node)
        self.started: list[str] = []
        self.calls = 0
        self.troubles: dict[str, list[Exception]] = {}
        self.late: set[str] = set()

    async def _trouble(self, call: str, effect: Callable[[], Any]) -> None:
        self.calls += 1
        waiting = self.troubles.get(call)
        if waiting:
            if call in self.late:
                self.late.discard(call)
                await effect()
            raise waiting.pop(0)

    async def create(self, config: ContainerConfig) -> ContainerState:
        """Make a container."""
        await self._trouble("create", lambda: super(Recorder, self).create(config))
        return await super().create(config)

    async def start(self, container_id: str) -> ContainerState:
        """Start its process."""
        await self._trouble("start", lambda: super(Recorder, self).start(container_id))
        mine = self.node.containers[container_id].state.labels
        beside = [
            c.state.id
            for c in self.node.containers.values()
            if c.state.id != container_id
            and c.state.phase in ALIVE
            and all(c.state.labels.get(k) == mine.get(k) for k in (labels.INSTANCE_UID, labels.CONTAINER))
        ]
        assert not beside, f"{container_id} is started beside {beside}"
        self.started.append(container_id)
        return await super().start(container_id)

    async def signal(self, container_id: str, signal: str) -> None:
        """Send a signal."""
        await self._trouble("signal", lambda: super(Recorder, self).signal(container_id, signal))
        await super().signal(container_id, signal)

    async def remove(self, container_id: str) -> None:
        """Remove it."""
        await self._trouble("remove", lambda: super(Recorder, self).remove(container_id))
        await super().remove(container_id)


@dataclass
class SimulatedNetworks:
    """Networks that are there, by uid; the node's own, so that they outlive an agent."""

    there: dict[str, NetworkState] = field(default_factory=dict)
    made: dict[str, NetworkRequest] = field(default_factory=dict)
    """What was asked for."""
    failures: list[str] = field(default_factory=list)
    """What the next calls fail with."""

    def load(self) -> None:
        """Nothing is held in between."""

    def state(self, uid: str, request: NetworkRequest | None = None) -> NetworkState:
        """What there is."""
        found = self.there.get(uid, NetworkState.ABSENT)
        same = request is None or self.made.get(uid) == request
        return found if found is not NetworkState.READY or same else NetworkState.BROKEN

    def addresses(self, uid: str) -> tuple[str, ...]:
        """The same for as long as it is there."""
        return ("10.0.0.9",) if self.state(uid) is NetworkState.READY and self.made[uid].attached else ()

    def trouble(self) -> str:
        """Nothing is in the way."""
        return ""

    def uids(self) -> frozenset[str]:
        """Of whom there is anything."""
        return frozenset(self.there)

    async def create(self, uid: str, request: NetworkRequest, pids: Sequence[int] = ()) -> None:  # noqa: ARG002 - the port's
        """Make one."""
        self._fail()
        self.there[uid], self.made[uid] = NetworkState.READY, request

    async def remove(self, uid: str) -> None:
        """Remove one."""
        self._fail()
        self.there.pop(uid, None)

    def _fail(self) -> None:
        if self.failures:
            raise NetworkFailure(self.failures.pop(0))


@dataclass
class SimulatedVolumes:
    """Volumes that are there, by uid and id; the node's own, so that they outlive an agent."""

    there: dict[str, set[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """What the next calls fail with."""
    asked: list[str] = field(default_factory=list)
    """Makings and removals, in their order."""
    prepared: list[Preparation] = field(default_factory=list)
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    measured: dict[str, tuple[SizeLimit, ...]] = field(default_factory=dict)
    beyond: dict[str, Exceeded] = field(default_factory=dict)
    """By uid."""

    def load(self) -> None:
        """A new agent knows what is there, and not in which state."""
        self.states = {uid: dict.fromkeys(ids, "") for uid, ids in self.there.items()}

    def made(self, uid: str) -> Mapping[str, str]:
        """By id, the state."""
        return dict(self.states.get(uid, {}))

    def uids(self) -> frozenset[str]:
        """Of whom there is anything."""
        return frozenset(self.states)

    def follow(self, uid: str, limits: Sequence[SizeLimit], *, measured: bool) -> None:
        """Note it."""
        if uid in self.beyond and self.beyond[uid].limit not in limits:
            del self.beyond[uid]
        self.measured[uid] = tuple(limits) if measured else ()

    def exceeded(self, uid: str) -> Exceeded | None:
        """What a test says."""
        return self.beyond.get(uid)

    async def found(self) -> frozenset[str]:
        """The same."""
        return self.uids()

    async def make(self, uid: str, volumes: Sequence[WantedVolume]) -> Mapping[str, str]:
        """Make them."""
        self.asked.append("make")
        states = self.states.setdefault(uid, {})
        if self.failures:
            return {volumes[0].name: self.failures.pop(0)}
        self.there.setdefault(uid, set()).update(volume.id for volume in volumes)
        states.update({volume.id: volume.state for volume in volumes})
        return {}

    async def remove(self, uid: str, ids: frozenset[str] | None = None) -> None:
        """Remove them."""
        self.asked.append("remove")
        if self.failures:
            raise VolumeFailure(self.failures.pop(0))
        if ids is None:
            self.there.pop(uid, None)
            self.states.pop(uid, None)
            return
        self.there[uid] -= ids
        self.states[uid] = {id_: state for id_, state in self.states[uid].items() if id_ not in ids}

    async def prepare(
        self,
        uid: str,
        container: str,  # noqa: ARG002 - the port's
        needed: Sequence[Preparation],
        shared: Shared | None = None,
    ) -> None:
        """Note it."""
        if shared is not None:
            self.there.setdefault(uid, set())
            self.states.setdefault(uid, {})
        self.prepared += needed


async def _judge(_: float) -> NodeStatus:
    return NodeStatus()


@dataclass
class Rig:
    """One node."""

    folder: Path
    level: str = "privileged"
    """What the namespace `default` enforces; empty: its labels are not seen."""
    api: Api = field(default_factory=Api)
    node: MemoryNode = field(
        default_factory=lambda: MemoryNode([MemoryImage(IMAGE, ImageConfig(entrypoint=("app",)))], clock=now)
    )

    objects: dict[Ref, View] = field(default_factory=dict)
    """ConfigMaps and Secrets."""
    token_server: TokenServer = field(default_factory=TokenServer)

    def __post_init__(self) -> None:
        self.runtime = Recorder(self.node)
        self.networks = SimulatedNetworks()
        self.volumes = SimulatedVolumes()
        self.supervisors: dict[str, tuple[Supervisor, asyncio.Task[None]]] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.api.watchers.append(self.watch)
        self.build()

    def build(self) -> None:
        """Make the agent's parts, as `Agent` does."""
        mine = Watch(INSTANCES, "spec.nodeName=node1"), Watch(NODES, "metadata.name=node1")
        self.watches = (*mine, Watch(NAMESPACES), Watch(RUNTIME_CLASSES))
        self.levels = Levels(self.folder / "levels.json", BASELINE, lambda _: self.wake_all())
        self.classes = RuntimeClasses(self.folder / "classes.json", self.node.handlers, lambda _: self.wake_all())
        self.store = Store(self.folder / "instances", self.desired_changed)
        self.records = PullRecords(self.folder / "images.json")
        self.images = Images(self.runtime, Credentials(), Access(self.records))
        self.view = NodeView(self.runtime, self.wake, self.image_changed, self.availability_changed)
        self.logs = LogFiles(self.folder / "logs")
        client: Any = self.api
        slots = Slots(4)
        self.events = EventRecorder(client, "node1", slots.quiet)
        self.writer = StatusWriter(client)
        self.heartbeat = Heartbeat(client, "node1", _judge)
        facts = NodeFacts(
            "node1",
            boot_id="boot",
            log_dir=str(self.folder / "logs"),
            runtime_name="memory",
            seccomp_dir=str(self.folder / "seccomp"),
            files_dir=str(self.folder / "files"),
            capacity=Amounts(4000, 8 << 30),
            allocatable=Amounts(2000, 4 << 30),
        )
        self.room = Room(facts.allocatable, lambda: taken(self.store, self.view, self.classes.overhead), self.wake)
        self.files = InstanceFiles(facts)
        self.sources = SimulatedSources(self.wake, self.objects)
        self.tokens = KubeTokens(self.token_server, "node1", self.wake)
        wanted, to_api = Wanted(self.folder / "nodeimages.json"), NodeImagesWriter(client, "node1")
        self.keeper = ImageKeeper(wanted, self.images, self.runtime, self.sources, to_api, parallel_pulls=3)
        self.probes = Probes(self.runtime, self.view, self.events, facts, slots, self.wake, self.networks.addresses)
        self.hands = Hands(
            room=self.room,
            runtime=self.runtime,
            view=self.view,
            images=self.images,
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
            node=facts,
            slots=slots,
        )
        self.cleanup = Cleanup(self.store, self.hands)
        self.operator = AgentOperator("node1", self.store, self.levels, self.classes, self.writer, self.heartbeat, self.cleanup)
        self.finalizer = Finalizer(client, self.operator.answered)

    # --- the agent's wiring

    def wake(self, uid: str) -> None:
        """Something about this instance changed."""
        if uid in self.supervisors:
            self.supervisors[uid][0].wake()

    def wake_all(self) -> None:
        """Something about all instances changed."""
        for supervisor, _ in self.supervisors.values():
            supervisor.wake()

    def image_changed(self, name: str) -> None:
        """An image changed."""
        self.images.changed(name)
        self.wake_all()

    def availability_changed(self) -> None:
        """The runtime went or came."""
        self.images.doubt()
        self.wake_all()

    def desired_changed(self, uid: str) -> None:
        """The store has news."""
        if uid not in self.supervisors:
            supervisor = Supervisor(uid, self.store, self.hands, self.writer, self.finalizer)
            task = asyncio.create_task(supervisor.run())
            self.supervisors[uid] = (supervisor, task)
            task.add_done_callback(lambda _: self.supervisors.pop(uid, None))
        self.wake(uid)

    def watch(self, resource: Resource, kind: str, obj: Object) -> None:
        """The informer: delivers while the agent runs and the API server answers."""
        if self.tasks and not self.api.down:
            for watch in self.watches:
                if watch.resource == resource:
                    self.operator.deliver(watch, kind, obj)

    def label(self, level: str) -> None:
        """The namespace `default` enforces this level now."""
        labels = {ENFORCE: level}
        self.watch(NAMESPACES, "MODIFIED", {"metadata": {"name": "default", "uid": "default", "labels": labels}})

    def runtime_class(self, name: str, handler: str, cpu: str = "0") -> None:
        """There is such a RuntimeClass, with an overhead; without a handler there is none any more."""
        self.api.classes[name] = (handler, cpu)
        obj: Object = {"metadata": {"name": name, "uid": f"class-{name}"}, "handler": handler}
        obj["overhead"] = {"podFixed": {"cpu": cpu}}
        if handler:
            self.watch(RUNTIME_CLASSES, "ADDED", obj)
        else:
            del self.api.classes[name]
            self.watch(RUNTIME_CLASSES, "DELETED", obj)

    def relist(self) -> None:
        """The informer reconnects: everything that is there is delivered; what is not there, nobody tells but the sweep."""
        found = [o for (plural, _, _), o in self.api.objects.items() if plural == INSTANCES.plural]
        exists = frozenset(o["metadata"]["uid"] for o in found)
        self.operator.synced(self.watches[0], exists)
        if self.level:
            self.label(self.level)
        for name, known in dict(self.api.classes).items():
            self.runtime_class(name, *known)
        self.operator.synced(self.watches[3], frozenset(f"class-{name}" for name in self.api.classes))
        for obj in found:
            self.watch(INSTANCES, "ADDED", obj)

    # --- its life

    async def start(self) -> None:
        """Start the agent."""
        self.store.load()
        self.levels.load()
        self.volumes.load()
        self.classes.load()
        self.operator.known_from_disk(d.uid for d in self.store)
        for desired in self.store:
            self.desired_changed(desired.uid)
        running = [self.view.run(), self.store.flush_for_ever(), self.writer.run(), self.events.run(), self.cleanup.run()]
        running += [self.levels.keep_for_ever(), self.classes.keep_for_ever()]
        self.tasks = [asyncio.create_task(c) for c in running]
        if not self.api.down:
            self.relist()

    async def kill(self) -> None:
        """End the agent at once, as SIGKILL does; what runs on the node goes on."""
        ended = [*self.tasks, *(t for _, t in self.supervisors.values())]
        ended += self.finalizer._setting.values()
        self.tasks = []
        self.probes.close()
        await self.tokens.close()
        for task in ended:
            task.cancel()
        await self.images.close()
        results = await asyncio.gather(*ended, return_exceptions=True)
        self.supervisors.clear()
        broken = [r for r in results if isinstance(r, Exception)]
        assert not broken, broken

    async def restart(self) -> None:
        """Kill it, and start a new one on the same state."""
        await self.kill()
        self.build()
        await self.start()

    # --- looking at it

    def apply(self, *containers: Object, name: str = "web", **fields: Any) -> str:
        """Create or change an instance; its uid."""
        uid = f"uid-of-{name}"
        self.api.apply(instance_object(*(containers or (container(image=IMAGE),)), name=name, uid=uid, **fields))
        return uid

    def containers(self, name: str = "main") -> list[ContainerState]:
        """The containers of that name on the node, over all instances."""
        return [c.state for c in self.node.containers.values() if c.state.labels.get(labels.CONTAINER) == name]

    def running(self, name: str = "main") -> ContainerState | None:
        """The one that runs."""
        alive = [c for c in self.containers(name) if c.phase in ALIVE]
        assert len(alive) < 2, alive
        return alive[0] if alive else None

    def reason(self, name: str = "web") -> str:
        """Reason of the instance's Ready condition in the API."""
        obj = self.api.instance(name)
        conditions = (obj or {}).get("status", {}).get("conditions") or [{"reason": ""}]
        return str(conditions[0]["reason"])

    async def settle(self, reason: str = "Running", name: str = "web") -> float:
        """Wait for a reason in the API; the seconds that it took."""
        return await until(lambda: self.reason(name) == reason)


@asynccontextmanager
async def node(folder: Path) -> AsyncIterator[Rig]:
    """A node whose agent runs."""
    rig = Rig(folder)
    await rig.start()
    try:
        yield rig
    finally:
        await rig.kill()
