"""What a runtime tells by itself."""

import enum
from dataclasses import dataclass


class EventKind(enum.StrEnum):
    """What a runtime tells by itself."""

    SUBSCRIBED = "subscribed"
    """The first event of every stream: whoever lists from now on misses nothing."""
    CREATED = "created"
    STARTED = "started"
    EXITED = "exited"
    """Its process ended; told once, but not always of a process that `remove` killed."""
    OOM = "oom"
    PAUSED = "paused"
    RESUMED = "resumed"
    REMOVED = "removed"
    CHANGED = "changed"
    """Something else about the container changed; look at it again."""
    IMAGE_CHANGED = "image-changed"
    """An image was added, changed or removed; `image` is its name."""


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """One event. Fields that do not belong to its kind are empty."""

    kind: EventKind
    container_id: str = ""
    image: str = ""
    pid: int = 0
    exit_code: int | None = None
    at: float = 0.0
    """When the runtime saw it; when a container started, `ContainerState.started_at` says more exactly."""
