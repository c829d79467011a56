"""The node runtime API: all that an agent may ask of any container runtime.

The port speaks of what an instance needs (images, containers, their processes), not of how one runtime does it: no snapshot,
lease, task or shim is in it, so that containerd, the Docker Engine or a VM fits behind it unchanged.

Rules that every runtime keeps, and that the contract suite checks:

- Values are frozen. Times are seconds since the epoch (float), sizes are bytes, durations are seconds.
- Every call has a deadline of its own; when it passes, `DeadlineExceeded` is raised, and whether the call took effect is
  unknown.
- "Absent" (`NotFound`) and "could not ask" (`Unavailable`, `DeadlineExceeded`) are never confused.
- Whatever a failing call had begun is undone, or is cleaned by the next `remove` of that container.
- Errors are one tree: see `errors`.
"""

from controller.runtime.port.containers import (
    ContainerConfig,
    Containers,
    ContainerState,
    ContainerStats,
    Mount,
    Phase,
    Resources,
    Seccomp,
    Security,
)
from controller.runtime.port.errors import (
    AlreadyExists,
    CommandFailure,
    Conflict,
    CredentialsMissing,
    DeadlineExceeded,
    DiskFull,
    ImageDamaged,
    ImageFailure,
    ImageForbidden,
    ImageNotFound,
    InvalidConfig,
    InvalidReference,
    NotFound,
    PlatformMissing,
    PullStalled,
    RateLimited,
    RegistryUnreachable,
    RegistryUntrusted,
    RuntimeFailure,
    StartFailure,
    Unavailable,
    Unsupported,
)
from controller.runtime.port.events import (
    EventKind,
    RuntimeEvent,
)
from controller.runtime.port.images import (
    Credential,
    Damage,
    DamageKind,
    ImageConfig,
    ImageFiles,
    ImageName,
    Images,
    ImageState,
    PullProgress,
)
from controller.runtime.port.processes import (
    ExecConfig,
    ExecProcess,
    Stream,
)
from controller.runtime.port.runtime import (
    Feature,
    Runtime,
    RuntimeInfo,
)

__all__ = [
    "AlreadyExists",
    "CommandFailure",
    "Conflict",
    "ContainerConfig",
    "ContainerState",
    "ContainerStats",
    "Containers",
    "Credential",
    "CredentialsMissing",
    "Damage",
    "DamageKind",
    "DeadlineExceeded",
    "DiskFull",
    "EventKind",
    "ExecConfig",
    "ExecProcess",
    "Feature",
    "ImageConfig",
    "ImageDamaged",
    "ImageFailure",
    "ImageFiles",
    "ImageForbidden",
    "ImageName",
    "ImageNotFound",
    "ImageState",
    "Images",
    "InvalidConfig",
    "InvalidReference",
    "Mount",
    "NotFound",
    "Phase",
    "PlatformMissing",
    "PullProgress",
    "PullStalled",
    "RateLimited",
    "RegistryUnreachable",
    "RegistryUntrusted",
    "Resources",
    "Runtime",
    "RuntimeEvent",
    "RuntimeFailure",
    "RuntimeInfo",
    "Seccomp",
    "Security",
    "StartFailure",
    "Stream",
    "Unavailable",
    "Unsupported",
]
