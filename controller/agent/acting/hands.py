"""What there is to act with on this node."""

from dataclasses import dataclass

from controller.agent.decide.observation import NodeFacts
from controller.agent.files import InstanceFiles
from controller.agent.images.images import Images
from controller.agent.levels import Levels
from controller.agent.logs import LogFiles
from controller.agent.probes.probes import Probes
from controller.agent.report.events import EventRecorder
from controller.agent.room import Room
from controller.agent.runtimeclasses import RuntimeClasses
from controller.agent.slots import Slots
from controller.agent.sources.port import Sources
from controller.agent.tokens.port import Tokens
from controller.agent.view import NodeView
from controller.agent.volumes.port import Volumes
from controller.network.port import Networks
from controller.runtime.port import Runtime


@dataclass(frozen=True, slots=True)
class Hands:
    """What is needed to look at this node and to act on it; shared by all supervisors."""

    room: Room
    runtime: Runtime
    view: NodeView
    images: Images
    networks: Networks
    volumes: Volumes
    levels: Levels
    classes: RuntimeClasses
    probes: Probes
    sources: Sources
    tokens: Tokens
    events: EventRecorder
    logs: LogFiles
    files: InstanceFiles
    node: NodeFacts
    slots: Slots
