"""Carrying out actions: the only place where a supervisor changes something on the node.

Three outcomes: done, failed (noted as a `Trouble`, so that the planner decides when to try again), or the runtime could not
be asked (`Unavailable`, raised, so that nothing is concluded from it). An answer that does not fit what was known refreshes the
view of that one container.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from controller.agent import metrics
from controller.agent.decide.actions import (
    Action,
    CreateContainer,
    CreateNetwork,
    KillContainer,
    MakeVolumes,
    MarkSuspended,
    PullImage,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolumes,
    ResizeContainer,
    RunPreStop,
    StartContainer,
    StopContainer,
)
from controller.agent.decide.backoff import restart_due
from controller.agent.decide.environment import own_environment
from controller.agent.decide.given import Unresolved
from controller.agent.decide.observation import (
    Desired,
    ImageView,
    NetworkTrouble,
    NodeFacts,
    Pull,
    ResizeTrouble,
    Trouble,
    crashes,
    restart_count,
)
from controller.agent.decide.resolve import container_config
from controller.agent.decide.resources import applied, resources
from controller.agent.decide.security import localhost_profile
from controller.agent.decide.sysctls import SysctlForbidden
from controller.agent.decide.volumes.mounts import mounts, shared
from controller.agent.decide.volumes.wanted import VolumeFailure
from controller.agent.files import InstanceFiles
from controller.agent.images.images import Images
from controller.agent.images.waiter import Waiter
from controller.agent.levels import Levels
from controller.agent.logs import LogFiles
from controller.agent.observe import Notes, known, pull_claim, pull_secrets
from controller.agent.probes.probes import Probes
from controller.agent.report.events import EventRecorder
from controller.agent.room import Room
from controller.agent.runtimeclasses import RuntimeClasses
from controller.agent.seccomp import read_profile
from controller.agent.slots import Priority, Slots
from controller.agent.sources.port import Sources
from controller.agent.suspicion import Suspicions
from controller.agent.tokens.port import Tokens
from controller.agent.view import NodeView
from controller.agent.volumes.actions import VolumeActions
from controller.agent.volumes.port import Volumes
from controller.api import labels
from controller.api.reasons import Reason
from controller.network.port import NetworkFailure, Networks
from controller.runtime.port import (
    AlreadyExists,
    CommandFailure,
    Conflict,
    ImageFailure,
    ImageState,
    InvalidConfig,
    NotFound,
    Phase,
    Runtime,
    RuntimeFailure,
    StartFailure,
    Unavailable,
)

log = logging.getLogger(__name__)

_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (CommandFailure, Reason.CONTAINER_CANNOT_RUN),
    (StartFailure, Reason.START_ERROR),
    (SysctlForbidden, Reason.SYSCTL_FORBIDDEN),
    (InvalidConfig, Reason.CREATE_CONTAINER_CONFIG_ERROR),
    (VolumeFailure, Reason.CREATE_CONTAINER_CONFIG_ERROR),
)

AROUND: Final = (CreateNetwork, RemoveNetwork, MakeVolumes, RemoveVolumes)
"""Actions on what is around the containers; they need no turn, and what comes after them is decided anew."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What is needed to act on this node; shared by all supervisors."""

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


@dataclass(frozen=True, slots=True)
class _Making:
    """A container that is being made, and since when, by the loop's clock."""

    action: CreateContainer
    began: float


class Actor:
    """Carries out the actions of one instance."""

    def __init__(self, hands: Hands, notes: Notes, wake: Callable[[], None]) -> None:
        self._hands, self._notes, self._wake = hands, notes, wake
        self.suspicions = Suspicions(hands.images, hands.events, notes, hands.sources, wake)
        self._volumes = VolumeActions(hands.volumes, hands.events, notes)

    async def carry_out(self, desired: Desired, actions: Iterable[Action], images: Mapping[str, ImageView]) -> None:
        """Do the actions one after another; the first that cannot be asked for ends the row.

        Raises:
            Unavailable: when the runtime could not be asked; nothing is known of what came of it.
        """
        made, making = "", None
        failed: set[str] = set()
        for action in actions:
            match action:
                case CreateNetwork() | RemoveNetwork():
                    await self._network(desired, action)
                case MakeVolumes() | RemoveVolumes():
                    await self._volumes.carry_out(desired, action)
                case CreateContainer():
                    making = _Making(action, asyncio.get_running_loop().time())
                    made = await self._create(desired, action, images)
                    if not made:
                        failed.add(action.container.name)
                case StartContainer() if action.container not in failed:
                    by = None if action.container_id else making
                    await self._start(desired, action, action.container_id or made, by, images)
                case StartContainer():
                    pass
                case ResizeContainer():
                    await self._resize(desired, action)
                case PullImage() | RunPreStop() | MarkSuspended() | StopContainer() | KillContainer() | RemoveContainer():
                    await self._simple(desired, action)

    async def _simple(
        self,
        desired: Desired,
        action: PullImage | RunPreStop | MarkSuspended | StopContainer | KillContainer | RemoveContainer,
    ) -> None:
        """What no later action of the row depends on."""
        match action:
            case RunPreStop():
                self._pre_stop(desired, action)
            case PullImage():
                self._pull(desired, action)
            case MarkSuspended():
                await self._mark(action)
            case StopContainer() | KillContainer():
                await self._signal(desired, action)
            case RemoveContainer():
                await self._hands.runtime.remove(action.container_id)
                self._hands.view.drop(action.container_id)

    async def _network(self, desired: Desired, action: CreateNetwork | RemoveNetwork) -> None:
        """Make or remove the instance's network; a failure is noted. No later action of the row depends on it."""
        networks, removing = self._hands.networks, isinstance(action, RemoveNetwork)
        try:
            if isinstance(action, CreateNetwork):
                await self._make_network(desired, action)
            else:
                await networks.remove(desired.uid)
        except NetworkFailure as exc:
            before = self._notes.network
            count = before.count + 1 if before is not None and before.removing == removing else 1
            self._notes.network = NetworkTrouble(str(exc), time.time(), count, removing=removing)
            reason = Reason.FAILED if removing else Reason.NETWORK_SETUP_FAILED
            if not removing:
                metrics.FAILURES.labels(reason).inc()
            self._hands.events.record(desired.instance, reason, f"network: {exc}", warning=True)
        else:
            self._notes.network = None

    async def _make_network(self, desired: Desired, action: CreateNetwork) -> None:
        hands, instance = self._hands, desired.instance
        asked = action.request
        if asked.attached:
            try:
                asked = replace(asked, dns=hands.files.resolver(instance))
            except OSError as exc:
                raise NetworkFailure(f"the node's resolver cannot be read: {exc}") from exc
        await hands.networks.create(desired.uid, asked, action.pids)
        try:
            hands.files.refresh(instance, hands.networks.addresses(desired.uid))
        except (OSError, InvalidConfig) as exc:
            log.warning("the running containers of %s are not told of their address: %s", action.request.owner, exc)

    async def _create(self, desired: Desired, action: CreateContainer, images: Mapping[str, ImageView]) -> str:
        """Make a container; its id, or nothing when that failed and is noted."""
        hands, name, image = self._hands, action.container.name, images[action.container.image].present
        if image is None:
            raise AssertionError(f"planned to make {name!r} without its image")
        config_id = ""
        try:
            profile = self._seccomp_profile(desired, action)
            given = known(desired, hands.sources, hands.tokens, hands.networks, self._notes, hands.node)
            config = container_config(desired.instance, action, image, hands.node, profile, given)
            config_id = config.id
            _, needed = mounts(desired.instance, action.container, own_environment(action.container, given), hands.node)
            await hands.volumes.prepare(desired.uid, name, needed, shared(desired.instance, hands.node))
            hands.logs.prepare(config.log_path)
            hands.files.write(desired.instance, hands.networks.addresses(desired.uid))
            state = await hands.runtime.create(config)
        except Unresolved:
            return ""  # it went just now: the next look says so
        except Unavailable:
            self._notes.unsure.add(config_id)
            raise
        except AlreadyExists as exc:
            await hands.view.refresh(config_id)
            if config_id not in {c.id for c in hands.view.of(desired.uid)}:
                self._trouble(desired, name, action.spec_hash, exc, Reason.CREATE_CONTAINER_ERROR)
            return ""
        except (RuntimeFailure, VolumeFailure, OSError) as exc:
            if isinstance(exc, NotFound | ImageFailure):
                hands.images.changed(image.name)
            self._trouble(desired, name, action.spec_hash, exc, Reason.CREATE_CONTAINER_ERROR)
            self.suspicions.failed(desired, name, images, exc)
            return ""
        hands.logs.begin(config.log_path)
        hands.view.put(state)
        hands.events.record(desired.instance, Reason.CREATED, f"Created container {name}")
        return state.id

    def _seccomp_profile(self, desired: Desired, action: CreateContainer) -> str:
        name = localhost_profile(action.container, desired.instance.spec)
        return read_profile(Path(self._hands.node.seccomp_dir), name) if name else ""

    async def _start(
        self,
        desired: Desired,
        action: StartContainer,
        container_id: str,
        making: "_Making | None",
        images: Mapping[str, ImageView],
    ) -> None:
        hands = self._hands
        try:
            state = await hands.runtime.start(container_id)
        except Unavailable:
            raise
        except (NotFound, Conflict):
            await hands.view.refresh(container_id)
            return
        except RuntimeFailure as exc:
            self._trouble(desired, action.container, action.spec_hash, exc, Reason.RUN_CONTAINER_ERROR)
            self.suspicions.failed(desired, action.container, images, exc)
            await hands.runtime.remove(container_id)
            hands.view.drop(container_id)
            return
        self._notes.troubles.pop(action.container, None)
        if making is not None:
            self._measure(desired, making)
        hands.view.put(state)
        hands.events.record(desired.instance, Reason.STARTED, f"Started container {action.container}")

    def _measure(self, desired: Desired, making: "_Making") -> None:
        """Count a container that runs, and how long it took."""
        create = making.action
        metrics.START_SECONDS.observe(asyncio.get_running_loop().time() - making.began)
        if create.last is None:
            return
        metrics.RESTARTS.labels(create.last.reason if create.crashes else Reason.UPDATING).inc()
        mine = [c for c in self._hands.view.of(desired.uid) if c.labels.get(labels.CONTAINER) == create.container.name]
        ended = max((c for c in mine if c.phase is Phase.EXITED), key=restart_count, default=None)
        if create.crashes and ended is not None and ended.exited_at is not None:
            due = max(ended.exited_at, restart_due(ended, crashes(ended), desired.instance.spec.backoff))
            metrics.RESTART_SECONDS.observe(max(0.0, time.time() - due))

    def _pull(self, desired: Desired, action: PullImage) -> None:
        hands, instance = self._hands, desired.instance

        def done(image: ImageState | None, failed: Pull | None) -> None:
            self._notes.pulling.pop(action.container, None)
            if failed is not None:
                hands.events.record(instance, Reason.FAILED, failed.message, warning=True)
            elif image is not None:
                self._notes.pulled[action.container] = action.spec_hash
                size = f" ({image.size} bytes)" if image.size else ""
                hands.events.record(instance, Reason.PULLED, f"Pulled image {action.image}{size}")
            self._wake()

        self._notes.pulling[action.container] = action.spec_hash
        claim = pull_claim(instance, {ref: hands.sources.view(ref) for ref in pull_secrets(instance)})
        if claim.problems:
            told = f"Unable to use all imagePullSecrets, so pulling {action.image} may not succeed: {'; '.join(claim.problems)}"
            hands.events.record(instance, Reason.FAILED_TO_RETRIEVE_IMAGE_PULL_SECRET, told, warning=True)
        if hands.images.pull(action.image, Waiter(done, claim, action.anew, moved=self._wake)):
            hands.events.record(instance, Reason.PULLING, f"Pulling image {action.image}")

    async def _signal(self, desired: Desired, action: StopContainer | KillContainer) -> None:
        hands = self._hands
        signal = action.signal if isinstance(action, StopContainer) else "SIGKILL"
        try:
            await hands.runtime.signal(action.container_id, signal)
        except NotFound:
            await hands.view.refresh(action.container_id)
            return
        except InvalidConfig as exc:
            if isinstance(action, KillContainer):
                raise
            log.warning("container %s cannot be asked to stop, it is killed later: %s", action.container_id, exc)
        if isinstance(action, StopContainer):
            self._notes.signalled[action.container_id] = time.time()
            self._stopping(desired, action)
        else:
            self._notes.killed[action.container_id] = time.time()

    async def _resize(self, desired: Desired, action: ResizeContainer) -> None:
        """Change what it is held to, then note that it is: if this ends in between, it is done once more."""
        hands, name, wanted = self._hands, action.container.name, applied(action.container)
        try:
            await hands.runtime.update_resources(action.container_id, resources(action.container, hands.node))
            marks = {labels.RESOURCES: wanted, labels.SPEC_HASH: action.spec_hash}
            await hands.runtime.set_labels(action.container_id, marks)
        except NotFound:
            await hands.view.refresh(action.container_id)
            return
        except Unavailable:
            raise
        except RuntimeFailure as exc:
            before = self._notes.resizes.get(action.container_id)
            count = before.count + 1 if before is not None and before.resources == wanted else 1
            self._notes.resizes[action.container_id] = ResizeTrouble(wanted, str(exc), time.time(), count)
            hands.events.record(desired.instance, Reason.RESIZE_ERROR, f"container {name}: {exc}", warning=True)
            return
        self._notes.resizes.pop(action.container_id, None)
        await hands.view.refresh(action.container_id)
        hands.events.record(desired.instance, Reason.RESIZE_COMPLETED, f"Resized container {name}: {wanted or 'no limits'}")

    async def _mark(self, action: MarkSuspended) -> None:
        try:
            await self._hands.runtime.set_labels(action.container_id, {labels.SUSPENDED: "true" if action.suspended else ""})
        finally:
            await self._hands.view.refresh(action.container_id)

    def _pre_stop(self, desired: Desired, action: RunPreStop) -> None:
        """Begin the handler, and look again when it has ended."""
        found = next((c for c in self._hands.view.of(desired.uid) if c.id == action.container_id), None)
        if found is None:
            return
        hooks = self._notes.hooks

        def done() -> None:
            hooks[action.container_id] = True
            self._wake()

        self._stopping(desired, action)
        hooks[action.container_id] = False
        self._hands.probes.pre_stop(desired.instance, found, action.handler, action.grace, done)

    def _stopping(self, desired: Desired, action: RunPreStop | StopContainer) -> None:
        """The grace period begins, if it has not done so already."""
        if action.container_id in self._notes.stopping:
            return
        self._notes.stopping[action.container_id] = time.time()
        message = f"Stopping container {action.container}: {action.why}"
        self._hands.events.record(desired.instance, Reason.KILLING, message)

    def _trouble(self, desired: Desired, name: str, spec_hash: str, exc: Exception, otherwise: Reason) -> None:
        reason = next((r for kind, r in _REASONS if isinstance(exc, kind)), otherwise)
        metrics.FAILURES.labels(reason).inc()
        spec = desired.instance.spec
        held_to = next((applied(c) for c in spec.all_containers if c.name == name), "")
        before = self._notes.troubles.get(name)
        same = before is not None and (before.spec_hash, before.resources) == (spec_hash, held_to)
        count = before.count + 1 if before is not None and same else 1
        self._notes.troubles[name] = Trouble(
            spec_hash,
            reason,
            str(exc),
            time.time(),
            count,
            held_to,
            terminal=isinstance(exc, InvalidConfig),
            started=isinstance(exc, StartFailure),
        )
        self._hands.events.record(desired.instance, Reason.FAILED, f"container {name}: {exc}", warning=True)


def turn(actions: Iterable[Action]) -> Priority | None:
    """Which queue the actions stand in; None when they are quick and need no turn."""
    kinds = {type(a) for a in actions}
    if any(isinstance(a, CreateContainer) and a.restart_count for a in actions):
        return Priority.RESTART
    if kinds & {CreateContainer, StartContainer, CreateNetwork, ResizeContainer}:
        return Priority.START
    return Priority.REMOVE if kinds & {RemoveContainer, RemoveNetwork} else None
