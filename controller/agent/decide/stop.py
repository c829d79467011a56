"""How one container is stopped: handler, signal, SIGKILL. Pure."""

from typing import Final

from controller.agent.decide import health
from controller.agent.decide.actions import Action, KillContainer, RunPreStop, StopContainer
from controller.agent.decide.observation import Observation
from controller.api import labels
from controller.api.spec import InstanceSpec
from controller.runtime.port import ContainerState

KILL_AGAIN_SECONDS: Final = 10.0
"""Pause before SIGKILL is sent again to a process that is still there."""

AFTER_HOOK_SECONDS: Final = 2.0
"""What a container has at least between its stop signal and SIGKILL when its preStop handler took the whole grace period."""


def stop(
    container: ContainerState, spec: InstanceSpec, grace: int, seen: Observation, now: float, why: str
) -> tuple[Action | None, float | None]:
    """First the preStop handler, if there is one; then the stop signal; SIGKILL when the grace period has passed.

    The grace period begins with the handler. SIGKILL is sent again if even that did not end the container.
    """
    name = container.labels.get(labels.CONTAINER, "")
    hooks = health.lifecycle(container, spec)
    signal = hooks.stop_signal or container.labels.get(labels.STOP_SIGNAL, "SIGTERM")
    asked_at = seen.stopping.get(container.id)
    if asked_at is None and grace > 0:
        if hooks.pre_stop is not None:
            return RunPreStop(name, container.id, hooks.pre_stop, grace, why), None
        return StopContainer(name, container.id, signal, why), None
    kill_at = (asked_at if asked_at is not None else now) + grace
    if container.id in seen.hooks and container.id not in seen.signalled:
        if not seen.hooks[container.id] and now < kill_at:
            return None, kill_at
        return StopContainer(name, container.id, signal, why), None
    if container.id in seen.hooks:
        kill_at = max(kill_at, seen.signalled[container.id] + AFTER_HOOK_SECONDS)
    if container.id in seen.killed:
        kill_at = seen.killed[container.id] + KILL_AGAIN_SECONDS
    return (KillContainer(name, container.id), None) if now >= kill_at else (None, kill_at)
