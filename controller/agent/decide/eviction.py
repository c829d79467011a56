"""Eviction: an instance whose emptyDir on the node's disk has outgrown its `sizeLimit` is ended. Pure.

Nothing holds a folder to a size, so it is measured (`agent/volumes/usage.py`), and who is beyond the limit has to go, as with a
kubelet (its eviction manager; kubernetes.io, "Local ephemeral storage"). A tmpfs is held to its size by the kernel.
"""

from dataclasses import dataclass
from typing import Final

from controller.agent.decide.volumes.wanted import mounted, volume_id
from controller.api import quantity
from controller.api.spec import InstanceSpec

GRACE_SECONDS: Final = 1
"""Grace period of an eviction, as with a kubelet: what has too much already is not to write for long."""


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """How much may be in a volume on disk."""

    volume: str
    """Name of the volume."""
    id: str
    """Name of its folder."""
    limit: str
    """As it is written."""

    @property
    def bytes(self) -> int:
        """The same as a number."""
        return quantity.whole(self.limit)

    @property
    def exceeded(self) -> str:
        """What is said when there is more, in the kubelet's words."""
        return f'Usage of EmptyDir volume "{self.volume}" exceeds the limit "{self.limit}".'


@dataclass(frozen=True, slots=True)
class Exceeded:
    """There was more in a volume than its limit allows."""

    limit: SizeLimit
    at: float
    """When that was found, in seconds since the epoch."""


def size_limits(spec: InstanceSpec) -> tuple[SizeLimit, ...]:
    """The volumes that are to be measured. As with a kubelet, a limit of 0 is none, and what nobody mounts is not made."""
    found = ((v, v.empty_dir.size_limit) for v in mounted(spec) if v.empty_dir is not None and v.empty_dir.medium != "Memory")
    return tuple(SizeLimit(v.name, volume_id(v, spec), str(limit)) for v, limit in found if quantity.whole(limit or 0))
