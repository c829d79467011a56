"""How a container's end is told, in the shape of core/v1 `ContainerStateTerminated`. Pure."""

from typing import Final

from pydantic import ValidationError

from controller.api import labels
from controller.api.conditions import timestamp
from controller.api.instance import ContainerStateTerminated
from controller.api.reasons import Reason
from controller.runtime.port import ContainerState

EXIT_UNKNOWN: Final = 137
"""Exit code when the real one is lost, as the kubelet has it with ContainerStatusUnknown."""

EXIT_NOT_STARTED: Final = 128
"""Exit code when the process could not be started, as containerd's CRI has it with StartError."""

_SIGNALED: Final = 128
_LAST_SIGNAL: Final = 64


def terminated(container: ContainerState, last_words: str = "") -> ContainerStateTerminated:
    """How this container ended, and what it said of it, or, while it runs, how it is about to end: replaced at our own wish."""
    code = container.exit_code
    signal = code - _SIGNALED if code is not None and _SIGNALED < code <= _SIGNALED + _LAST_SIGNAL else None
    return ContainerStateTerminated(
        exit_code=EXIT_UNKNOWN if code is None else code,
        signal=signal,
        reason=_reason(container),
        message=last_words,
        started_at=timestamp(container.started_at) if container.started_at else None,
        finished_at=timestamp(container.exited_at) if container.exited_at else None,
        container_id=container.id,
    )


def before(container: ContainerState, last_words: str = "") -> ContainerStateTerminated | None:
    """How the run before this container ended, as its label tells; None for the first, or when somebody broke the label.

    The label holds the beginning of its termination message; `last_words` are the whole of it, while that is on the node.
    """
    try:
        end = ContainerStateTerminated.model_validate_json(container.labels.get(labels.LAST_TERMINATION, ""))
    except ValidationError:
        return None
    return end.model_copy(update={"message": last_words}) if last_words else end


def _reason(container: ContainerState) -> Reason:
    if container.oom_killed:
        return Reason.OOM_KILLED
    if container.exit_code is None:
        return Reason.CONTAINER_STATUS_UNKNOWN
    return Reason.COMPLETED if container.exit_code == 0 else Reason.ERROR
