"""Which volumes there must be for an instance: a frozen value for each, which says all that is needed to make it. Pure.

As with a kubelet, a volume that no container mounts is not made.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from controller.api import quantity
from controller.api.amounts import instance_memory_limit
from controller.api.spec import DEFAULT_SERVICE_ACCOUNT, Container, InstanceSpec
from controller.api.volumes.mount import VolumeMount
from controller.api.volumes.volume import EmptyDirVolumeSource, Volume

_NO_IDENTITY: Final = {"empty_dir": {"size_limit"}, "image": {"pull_policy"}}
"""What of a source can be changed on a volume that is there."""


_IN_MEMORY: Final = frozenset({"secret", "downwardAPI", "projected"})
"""As with a kubelet, all that are made from values but configMap."""


class VolumeFailure(Exception):  # noqa: N818 - a word for what went wrong, as the runtime port's
    """A volume could not be made, removed or prepared for a container; `str()` of it is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is empty at first."""

    memory: bool = False
    """On a tmpfs of its own."""
    size: int | None = None
    """Bytes that fit into that; None: half of what the node has, as the kernel has it."""


@dataclass(frozen=True, slots=True)
class NodePath:
    """A path of the node's."""

    path: str
    type: str = ""
    """What must be there, in the words of core/v1 `HostPathType`."""


@dataclass(frozen=True, slots=True)
class ImageVolume:
    """The files of an image, which is on the node by the time that the volume is made."""

    reference: str


class File(Protocol):
    """One file of a volume."""

    @property
    def content(self) -> bytes:
        """What is in it."""

    @property
    def mode(self) -> int:
        """Its permission bits."""

    @property
    def owner(self) -> int | None:
        """User that it belongs to; None: root."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files, and no others."""

    files: Mapping[str, File] | None = field(repr=False)
    """By their paths below the volume. None: it is not known now what they should be, and those that are there will do."""
    memory: bool = False
    """On a tmpfs of its own."""

    @property
    def state(self) -> str:
        """Another text for other files. None of their content is in it."""
        if self.files is None:
            return "kept"
        digest = hashlib.sha256()
        for path, file in sorted(self.files.items()):
            digest.update(f"{path}\0{file.mode}\0{file.owner}\0{len(file.content)}\0".encode() + file.content)
        return digest.hexdigest()


Source = Folder | NodePath | ImageVolume | Files


@dataclass(frozen=True, slots=True)
class WantedVolume:
    """One volume that there must be."""

    name: str
    id: str
    """Name of its folder; another one when it is another volume, though its name is the same."""
    source: Source
    fs_group: int | None = None
    """The group that owns it."""

    @property
    def state(self) -> str:
        """What can change of a volume that is there, as text; never shown, and never written anywhere."""
        match self.source:
            case Folder(size=size):
                return f"{size} {self.fs_group}"
            case Files() as files:
                return f"{files.state} {self.fs_group}"
            case _:
                return "made"


def mounted(spec: InstanceSpec) -> tuple[Volume, ...]:
    """The volumes that some container mounts, in the order of the spec."""
    names = {mount.name for container in spec.all_containers for mount in container.volume_mounts}
    return tuple(volume for volume in spec.volumes if volume.name in names)


def wanted(spec: InstanceSpec, contents: Mapping[str, Files] | None = None, memory: int = 0) -> tuple[WantedVolume, ...]:
    """The volumes that there must be before a container is made.

    Args:
        spec: of the instance.
        contents: of those that are made from values, by their names.
        memory: bytes that the node has for instances; 0 when that is not known.
    """
    return tuple(_wanted(volume, spec, (contents or {}).get(volume.name), memory) for volume in mounted(spec))


def volume_id(volume: Volume, spec: InstanceSpec) -> str:
    """Name of a volume's folder: its kind and its name, and 8 hex digits over what makes it another one when it changes.

    With a token in it, that is also whose token it is: who acts for somebody else is begun anew, as a pod would be.
    """
    source = volume.model_dump(mode="json", exclude_defaults=True, exclude={"name": True, **_NO_IDENTITY})
    if volume.tokens and spec.service_account_name != DEFAULT_SERVICE_ACCOUNT:
        source["account"] = spec.service_account_name
    text = json.dumps(source, sort_keys=True, separators=(",", ":"))
    return f"{volume.kind}~{volume.name}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def matters(container: Container, spec: InstanceSpec) -> list[dict[str, Any]]:
    """What of a container's mounts counts for the spec hash: where which volume is mounted how, in a fixed order."""
    volumes = {volume.name: volume_id(volume, spec) for volume in spec.volumes}
    found = [_said(mount) | {"volume": volumes.get(mount.name, "")} for mount in container.volume_mounts]
    return sorted(found, key=lambda mount: str(mount["mount_path"]))


def _said(mount: VolumeMount) -> dict[str, Any]:
    """What is not as it would be anyway."""
    defaults = {"mount_propagation": "None", "recursive_read_only": "Disabled"}
    said = mount.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    return {name: value for name, value in said.items() if value and value != defaults.get(name)}


def _wanted(volume: Volume, spec: InstanceSpec, content: Files | None, memory: int) -> WantedVolume:
    name, id_, group = volume.name, volume_id(volume, spec), spec.security_context.fs_group
    if volume.values is not None:
        files = content.files if content is not None else None
        return WantedVolume(name, id_, Files(files, memory=volume.kind in _IN_MEMORY), group)
    if volume.host_path is not None:
        return WantedVolume(name, id_, NodePath(volume.host_path.path, volume.host_path.type))
    if volume.image is not None:
        return WantedVolume(name, id_, ImageVolume(volume.image.reference))
    if volume.empty_dir is not None:
        return WantedVolume(name, id_, _folder(volume.empty_dir, spec, memory), group)
    raise VolumeFailure(f"volume {name!r} has no source that this agent knows")


def _folder(source: EmptyDirVolumeSource, spec: InstanceSpec, memory: int) -> Folder:
    """On a tmpfs, what fits in is the least of sizeLimit, the instance's limit of memory, and what the node has (KEP-1967)."""
    if source.medium != "Memory":
        return Folder()
    sizes = [size for size in (quantity.whole(source.size_limit or 0), instance_memory_limit(spec), memory) if size]
    return Folder(memory=True, size=min(sizes, default=None))
