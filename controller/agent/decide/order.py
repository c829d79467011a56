"""In which order an instance's containers come: init containers one after another, sidecars among them, then the others. Pure.

Source: kubernetes.io, "Init Containers" and "Sidecar Containers" (docs/concepts/workloads/pods/).

What has completed is not written down anywhere by itself: a container carries a digest of the init containers before it, which
had all completed when it was made. So whatever comes later in the row proves what came before, as long as that is unchanged.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from controller.agent.decide.hashing import spec_hash
from controller.api.spec import Container, InstanceSpec


class Role(StrEnum):
    """What a container is for."""

    INIT = "init"
    """Runs to its end before the next one."""
    SIDECAR = "sidecar"
    """An init container that stays: the next one comes when it has started."""
    MAIN = "main"
    """One of `containers`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A container in the row."""

    container: Container
    role: Role
    index: int
    """The main ones share the last place."""
    after: str = ""
    """Digest of the init containers before it, sidecars not included; empty when there are none."""


def places(spec: InstanceSpec) -> tuple[Place, ...]:
    """All containers of a spec, in their order."""
    return tuple(_places(spec))


def _places(spec: InstanceSpec) -> Iterator[Place]:
    hashes: list[str] = []
    for index, container in enumerate(spec.init_containers):
        yield Place(container, role(container, spec), index, _digest(hashes))
        if not container.is_sidecar:
            hashes.append(spec_hash(container, spec))
    after = _digest(hashes)
    for container in spec.containers:
        yield Place(container, Role.MAIN, len(spec.init_containers), after)


def role(container: Container, spec: InstanceSpec) -> Role:
    """What a container of a spec is for."""
    if not any(c.name == container.name for c in spec.init_containers):
        return Role.MAIN
    return Role.SIDECAR if container.is_sidecar else Role.INIT


def _digest(hashes: list[str]) -> str:
    return hashlib.sha256(",".join(hashes).encode()).hexdigest()[:16] if hashes else ""
