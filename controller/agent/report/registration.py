"""What the node tells of itself: its RuntimeNode and Lease, Events about it, and whether the definitions fit."""

from collections.abc import Callable, Coroutine
from typing import Any

from controller.agent.equipment import Equipment
from controller.agent.node import NodeJudge
from controller.agent.report.heartbeat import Heartbeat
from controller.agent.settings import AgentSettings
from controller.api.base import API_VERSION
from controller.api.node import RuntimeNode
from controller.api.reasons import Reason
from controller.kube.client import Client
from controller.kube.definitions import DefinitionCheck
from controller.kube.resources import INSTANCES, NODE_IMAGES, NODES


class Registration:
    """That of one node."""

    def __init__(self, settings: AgentSettings, client: Client, equipment: Equipment, pressure: Callable[[], str]) -> None:
        """Prepare it.

        Args:
            settings: what the agent is told.
            client: for calls to the API server.
            equipment: of which it tells, and by which it writes Events.
            pressure: why no new work is to come here for want of disk; empty when it may.
        """
        self._name, self._events, view = settings.node_name, equipment.events, equipment.view
        self.judge = NodeJudge(
            settings.node_name,
            equipment.runtime,
            lambda: view.error,
            address=equipment.node.address,
            allocatable=equipment.node.allocatable,
            networks=equipment.networks,
            pressure=pressure,
            stale=lambda: self.definitions.message,
        )
        self.heartbeat = Heartbeat(client, settings.node_name, self.judge, settings.heartbeat_seconds)
        self.definitions = DefinitionCheck(
            client,
            "agent",
            (INSTANCES, NODES, NODE_IMAGES),
            self.heartbeat.wake,
            lambda _: self._reference(),
            settings.node_name,
        )

    def tell(self, reason: Reason, message: str, *, warning: bool = False) -> None:
        """Write an Event about the node."""
        self._events.tell(self._reference(), reason, message, warning=warning)

    def background(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What goes on for ever."""
        return self.heartbeat.run(), self._check_definitions()

    async def _check_definitions(self) -> None:
        """For ever, once there is a RuntimeNode to tell it on."""
        await self.heartbeat.beaten.wait()
        await self.definitions.run()

    def _reference(self) -> dict[str, str]:
        return {"apiVersion": API_VERSION, "kind": RuntimeNode.KIND, "name": self._name, "uid": self.heartbeat.uid}
