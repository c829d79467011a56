"""What a decision says: the instances to create, to patch and to delete. Frozen values."""

from dataclasses import dataclass
from typing import Any

from controller.manager.decide.values import Instance


@dataclass(frozen=True, slots=True)
class Create:
    """An instance to create."""

    name: str
    node: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Patch:
    """An instance to bring up to date in place."""

    instance: Instance
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """An instance to delete, and why."""

    instance: Instance
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, what is known besides, and when to look again."""

    wanted: int = 0
    """Instances that should exist."""
    creates: tuple[Create, ...] = ()
    patches: tuple[Patch, ...] = ()
    deletes: tuple[Delete, ...] = ()
    kept: tuple[Instance, ...] = ()
    """Instances that stay, as they are before the patches."""
    unplaced: int = 0
    """Instances that should exist and fit nowhere; `unplaced_why` says why."""
    unplaced_why: str = ""
    impossible: str = ""
    """Why nothing is created until somebody mends it; empty when nothing is in the way."""
    blocked: tuple[str, ...] = ()
    """Names that are still taken by an instance on its way out."""
    wake_at: float | None = None
    """When time alone changes the decision; None when only an event can."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.creates or self.patches or self.deletes)
