"""Making and starting containers; a failure is told and noted, so that the planner can decide when to try again."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.agent import metrics
from controller.agent.acting.hands import Hands
from controller.agent.decide.actions import CreateContainer, StartContainer
from controller.agent.decide.backoff import restart_due
from controller.agent.decide.environment import own_environment
from controller.agent.decide.given import Unresolved
from controller.agent.decide.observation import Desired, ImageView, Trouble, crashes, restart_count
from controller.agent.decide.resolve import container_config
from controller.agent.decide.resources import applied
from controller.agent.decide.security import localhost_profile
from controller.agent.decide.sysctls import SysctlForbidden
from controller.agent.decide.volumes.mounts import mounts, shared
from controller.agent.decide.volumes.wanted import VolumeFailure
from controller.agent.observe import Notes, known
from controller.agent.seccomp import read_profile
from controller.agent.suspicion import Suspicions
from controller.api import labels
from controller.api.reasons import Reason
from controller.runtime.port import (
    AlreadyExists,
    CommandFailure,
    Conflict,
    ImageFailure,
    InvalidConfig,
    NotFound,
    Phase,
    RuntimeFailure,
    StartFailure,
    Unavailable,
)

_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (CommandFailure, Reason.CONTAINER_CANNOT_RUN),
    (StartFailure, Reason.START_ERROR),
    (SysctlForbidden, Reason.SYSCTL_FORBIDDEN),
    (InvalidConfig, Reason.CREATE_CONTAINER_CONFIG_ERROR),
    (VolumeFailure, Reason.CREATE_CONTAINER_CONFIG_ERROR),
)


@dataclass(frozen=True, slots=True)
class Made:
    """A container that has just been made."""

    container_id: str
    action: CreateContainer
    began: float
    """When its making began, by the loop's clock."""


class StartActions:
    """Makes and starts the containers of one instance."""

    def __init__(self, hands: Hands, notes: Notes, suspicions: Suspicions) -> None:
        self._hands, self._notes, self._suspicions = hands, notes, suspicions

    async def create(self, desired: Desired, action: CreateContainer, images: Mapping[str, ImageView]) -> Made | None:
        """Make a container; None when that failed and is noted.

        Raises:
            Unavailable: when the runtime could not be asked; whether there is one now is asked before anything is concluded.
        """
        began = asyncio.get_running_loop().time()
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
            return None  # it went just now: the next look says so
        except Unavailable:
            self._notes.unsure.add(config_id)
            raise
        except AlreadyExists as exc:
            await hands.view.refresh(config_id)
            if config_id not in {c.id for c in hands.view.of(desired.uid)}:
                self._trouble(desired, name, action.spec_hash, exc, Reason.CREATE_CONTAINER_ERROR)
            return None
        except (RuntimeFailure, VolumeFailure, OSError) as exc:
            if isinstance(exc, NotFound | ImageFailure):
                hands.images.changed(image.name)
            self._trouble(desired, name, action.spec_hash, exc, Reason.CREATE_CONTAINER_ERROR)
            self._suspicions.failed(desired, name, images, exc)
            return None
        hands.logs.begin(config.log_path)
        hands.view.put(state)
        hands.events.record(desired.instance, Reason.CREATED, f"Created container {name}")
        return Made(state.id, action, began)

    async def start(self, desired: Desired, action: StartContainer, made: Made | None, images: Mapping[str, ImageView]) -> None:
        """Start the container that the action names, or else the one that was `made` just before, if it could be.

        Raises:
            Unavailable: when the runtime could not be asked.
        """
        hands, fresh = self._hands, None if action.container_id else made
        container_id = fresh.container_id if fresh is not None else action.container_id
        if not container_id:
            return  # its making failed, which is noted
        try:
            state = await hands.runtime.start(container_id)
        except Unavailable:
            raise
        except (NotFound, Conflict):
            await hands.view.refresh(container_id)
            return
        except RuntimeFailure as exc:
            self._trouble(desired, action.container, action.spec_hash, exc, Reason.RUN_CONTAINER_ERROR)
            self._suspicions.failed(desired, action.container, images, exc)
            await hands.runtime.remove(container_id)
            hands.view.drop(container_id)
            return
        self._notes.troubles.pop(action.container, None)
        if fresh is not None:
            self._measure(desired, fresh)
        hands.view.put(state)
        hands.events.record(desired.instance, Reason.STARTED, f"Started container {action.container}")

    def _seccomp_profile(self, desired: Desired, action: CreateContainer) -> str:
        name = localhost_profile(action.container, desired.instance.spec)
        return read_profile(Path(self._hands.node.seccomp_dir), name) if name else ""

    def _measure(self, desired: Desired, made: Made) -> None:
        """Count a container that runs, and how long it took."""
        create = made.action
        metrics.START_SECONDS.observe(asyncio.get_running_loop().time() - made.began)
        if create.last is None:
            return
        metrics.RESTARTS.labels(create.last.reason if create.crashes else Reason.UPDATING).inc()
        mine = [c for c in self._hands.view.of(desired.uid) if c.labels.get(labels.CONTAINER) == create.container.name]
        ended = max((c for c in mine if c.phase is Phase.EXITED), key=restart_count, default=None)
        if create.crashes and ended is not None and ended.exited_at is not None:
            due = max(ended.exited_at, restart_due(ended, crashes(ended), desired.instance.spec.backoff))
            metrics.RESTART_SECONDS.observe(max(0.0, time.time() - due))

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
