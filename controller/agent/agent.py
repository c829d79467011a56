"""The agent as a whole: its parts, how they hang together, and their start and end."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from controller.agent import metrics
from controller.agent.cleanup import Cleanup
from controller.agent.equipment import Equipment
from controller.agent.measured import measured
from controller.agent.nodeimages.keeper import WATCHER as WANTED_IMAGES_WATCHER
from controller.agent.operator import AgentOperator
from controller.agent.report.finalizer import Finalizer
from controller.agent.report.registration import Registration
from controller.agent.report.writer import StatusWriter
from controller.agent.settings import AgentSettings
from controller.agent.stock import ImageStock
from controller.agent.store import Store
from controller.agent.supervisor import Supervisor
from controller.agent.supervisors import Supervisors
from controller.api.reasons import Reason
from controller.kube.client import Client
from controller.kube.connection import Connection
from controller.runtime.port import Runtime
from controller.telemetry.health import Health

log = logging.getLogger(__name__)


class Agent:
    """The node half."""

    def __init__(self, settings: AgentSettings, runtime: Runtime, connection: Connection, *, runtime_name: str) -> None:
        runtime = measured(runtime)
        self._settings, self._connection, self._client = settings, connection, Client(connection)
        self._store = Store(settings.state_dir / "instances", self._desired_changed)
        self._supervisors = Supervisors(self._store, self._supervisor)
        self._equipment = Equipment(
            settings,
            runtime,
            connection,
            self._client,
            self._store,
            self._supervisors,
            runtime_name=runtime_name,
            object_changed=self._object_changed,
            image_changed=self._image_changed,
            availability_changed=self._availability_changed,
        )
        self._stock = ImageStock(
            settings,
            runtime,
            self._client,
            self._equipment.sources,
            self._equipment.view,
            self._store,
            changed=self._image_changed,
            tell=self._tell_of_node,
            made_room=self._supervisors.wake_all,
            pressure_changed=self._pressure_changed,
        )
        self._hands = self._equipment.hands(self._stock.images)
        self._registration = Registration(settings, self._client, self._equipment, lambda: self._stock.collector.pressure)
        self._writer = StatusWriter(self._client)
        self._cleanup = Cleanup(self._store, self._hands)
        self._operator = AgentOperator(
            settings.node_name,
            self._store,
            self._equipment.levels,
            self._equipment.classes,
            self._writer,
            self._registration.heartbeat,
            self._cleanup,
            self._registration.definitions.wake,
        )
        self._informer = self._operator.informer(connection, self._client)
        self._finalizer = Finalizer(self._client, self._operator.answered)

    def tell(self, health: Health) -> None:
        """Add the agent's checks.

        An API server or a runtime that is away never makes the agent one to be restarted: what runs on the node needs neither,
        and the next agent could not reach them either.
        """
        registered = self._registration.heartbeat.beaten
        health.live["agent watch"] = self._informer.incurable
        health.ready["agent"] = lambda: "" if registered.is_set() else "the node is not registered yet"
        health.ready["runtime"] = lambda: self._equipment.view.error

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; then end what is under way, and leave on the node what runs there."""
        self._store.load()
        self._equipment.load()
        self._stock.load(self._store)
        self._operator.known_from_disk(d.uid for d in self._store)
        for desired in self._store:
            self._supervisors.ensure(desired.uid)
        self._follow()
        background = (
            *self._equipment.background(self._supervisors.wake, self._registration.heartbeat.wake),
            *self._stock.background(self._connection),
            *self._registration.background(),
            self._store.flush_for_ever(),
            self._writer.run(),
            self._cleanup.run(),
            self._connection.keep_fresh(),
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

    def _follow(self) -> None:
        """Have the metrics tell of its parts."""
        metrics.follow(
            supervisors=self._supervisors,
            slots=self._equipment.slots,
            view=self._equipment.view,
            writer=self._writer,
            judge=self._registration.judge,
            sources=self._equipment.sources,
            tokens=self._equipment.tokens,
            keeper=self._stock.keeper,
            collector=self._stock.collector,
        )

    async def _end(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        self._supervisors.close()
        await self._informer.stop()
        tasks = [*tasks, *await self._supervisors.end()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        metrics.unfollow()
        await self._equipment.events.drain()
        await self._equipment.close()
        await self._stock.close()
        await self._client.close()

    def _supervisor(self, uid: str) -> Supervisor:
        return Supervisor(uid, self._store, self._hands, self._writer, self._finalizer)

    # --- what changes, and who is told of it

    def _desired_changed(self, uid: str) -> None:
        self._supervisors.ensure(uid)
        desired = self._store.get(uid)
        if desired is not None:
            self._stock.use(desired)
        self._supervisors.wake(uid)

    def _object_changed(self, follower: str) -> None:
        """A ConfigMap or Secret changed that an instance follows, or those who see to the images that are wanted."""
        if follower == WANTED_IMAGES_WATCHER:
            self._stock.keeper.wake()
        else:
            self._supervisors.wake(follower)

    def _image_changed(self, name: str) -> None:
        self._stock.changed(name)
        self._supervisors.wake_all()

    def _availability_changed(self) -> None:
        """The runtime went or came."""
        self._registration.heartbeat.wake()
        self._cleanup.wake()
        self._stock.doubt()
        self._supervisors.wake_all()

    def _pressure_changed(self) -> None:
        self._registration.heartbeat.wake()

    def _tell_of_node(self, reason: Reason, message: str, *, warning: bool = False) -> None:
        self._registration.tell(reason, message, warning=warning)
