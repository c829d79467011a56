"""How a container mounts its volumes: what the runtime is told, and what has to be seen to on the node just before. Pure.

A `subPath` is never given to the runtime as a path: between a look at it and its use, a container of the instance could put a
link in its place. So what it leads to is opened without leaving the volume, and that is bound to a place that is the agent's
alone; the runtime is told that place.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from controller.agent.decide.environment import expand
from controller.agent.decide.observation import NodeFacts
from controller.agent.decide.volumes.wanted import VolumeFailure, volume_id
from controller.api.instance import ContainerInstance
from controller.api.spec import Container, InstanceSpec
from controller.api.volumes.mount import VolumeMount
from controller.api.volumes.volume import Volume
from controller.runtime.port import Mount

SHARED: Final = "shared"
"""Folder, beside those of an instance's volumes, of what its containers share in any case."""

SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - in a container

SUBPATHS: Final = "subpaths"
"""Folder, beside those of an instance's volumes, of what subPaths lead to."""

_ALWAYS_READ_ONLY: Final = frozenset({"configMap", "secret", "downwardAPI", "projected", "image"})
_KEPT: Final = {"image": ("noexec",)}
"""Options of a volume's own mount that the OCI runtime would take back, where it makes the container's read-only."""
_PROPAGATION: Final = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
PRIVATE: Final = "rprivate"


class _Asked(Mapping[str, str]):
    """An environment that notes what it was asked for and has no value of."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.missing: set[str] = set()

    def __getitem__(self, name: str) -> str:
        if not self._env.get(name):
            self.missing.add(name)
        return self._env.get(name, "")

    def __iter__(self) -> Iterator[str]:
        return iter(self._env)

    def __len__(self) -> int:
        return len(self._env)


@dataclass(frozen=True, slots=True)
class Preparation:
    """What has to be seen to before a container is made, so that it can mount a volume."""

    volume: str
    """Name of the volume."""
    root: str
    """Path of the volume."""
    make_root: bool = False
    """It may have to be made: a hostPath of which nothing is asked."""
    sub_path: str = ""
    """What of it is to be bound."""
    target: str = ""
    """Where to."""
    propagation: str = PRIVATE
    """With `rslave` and `rshared`, the mount that it is on must be able to."""


def mounts(
    instance: ContainerInstance, container: Container, env: Mapping[str, str], node: NodeFacts
) -> tuple[tuple[Mount, ...], tuple[Preparation, ...]]:
    """What the runtime is told, and what is to be prepared for that.

    Args:
        instance: whose container it is.
        container: the container.
        env: its own environment, for subPathExpr.
        node: the facts of the node.

    Raises:
        VolumeFailure: when a mount cannot be, as things are.
    """
    volumes = {volume.name: volume for volume in instance.spec.volumes}
    folder = instance_folder(instance.metadata.uid, node)
    made: list[Mount] = []
    needed: list[Preparation] = []
    for index, mount in enumerate(container.volume_mounts):
        volume = volumes.get(mount.name)
        if volume is None:
            raise VolumeFailure(f'cannot find volume "{mount.name}" to mount into container "{container.name}"')
        sub_path = _sub_path(mount, env)
        propagation = _PROPAGATION.get(mount.mount_propagation or "", PRIVATE)
        preparation = Preparation(
            volume=mount.name,
            root=root(volume, instance.spec, folder),
            make_root=volume.host_path is not None and volume.host_path.type == "",
            sub_path=sub_path,
            target=f"{folder}/{SUBPATHS}/{container.name}/{index}" if sub_path else "",
            propagation=propagation,
        )
        if preparation.make_root or sub_path or propagation != PRIVATE:
            needed.append(preparation)
        options = ("rbind", propagation, _access(mount, volume, node), *_KEPT.get(volume.kind, ()))
        made.append(Mount(preparation.target or preparation.root, mount.mount_path, "bind", options))
    return tuple(made), tuple(needed)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the containers of an instance share in any case, unless it is the node's; it has to be there before any is made."""

    memory: str
    """Path of a file system in memory, for /dev/shm."""
    namespace: str
    """Path of the IPC namespace."""

    def mounts(self, own: Iterable[Mount]) -> tuple[Mount, ...]:
        """How a container mounts it, unless there is a mount of its own at that place or above."""
        taken = tuple(f"{mount.destination.rstrip('/')}/" for mount in own)
        if f"{SHARED_MEMORY}/".startswith(taken):
            return ()
        return (Mount(self.memory, SHARED_MEMORY, "bind", ("rbind", "rprivate", "nosuid", "noexec", "nodev")),)


def shared(instance: ContainerInstance, node: NodeFacts) -> Shared | None:
    """Where that is; None for an instance that has the node's."""
    if instance.spec.host_ipc:
        return None
    folder = f"{instance_folder(instance.metadata.uid, node)}/{SHARED}"
    return Shared(f"{folder}/shm", f"{folder}/ipc")


def instance_folder(uid: str, node: NodeFacts) -> str:
    """Where an instance's volumes are."""
    return f"{node.volumes_dir}/{uid}"


def root(volume: Volume, spec: InstanceSpec, folder: str) -> str:
    """Path of a volume of the instance whose folder that is."""
    return volume.host_path.path if volume.host_path is not None else f"{folder}/{volume_id(volume, spec)}"


def _sub_path(mount: VolumeMount, env: Mapping[str, str]) -> str:
    """The path below the volume, empty for the volume itself. What variables give is checked as what is written."""
    if not mount.sub_path_expr:
        return mount.sub_path
    asked = _Asked(env)
    path = expand(mount.sub_path_expr, asked)
    if asked.missing:
        raise VolumeFailure(f'subPathExpr of volumeMount "{mount.name}": missing value for {", ".join(sorted(asked.missing))}')
    if path.startswith("/"):
        raise VolumeFailure(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise VolumeFailure(f"unable to provision SubPath `{path}`: must not contain '..'")
    return path


def _access(mount: VolumeMount, volume: Volume, node: NodeFacts) -> str:
    recursive = mount.recursive_read_only or "Disabled"
    if recursive == "Enabled" and not node.recursive_read_only:
        raise VolumeFailure(
            f'volume "{mount.name}" requested recursive read-only mode, but it is not supported by this node (Linux 5.12)'
        )
    if recursive != "Disabled" and node.recursive_read_only:
        return "rro"
    return "ro" if mount.read_only or volume.kind in _ALWAYS_READ_ONLY else "rw"
