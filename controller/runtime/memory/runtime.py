"""`MemoryRuntime`: the port on a `MemoryNode`."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from controller.runtime.memory import archives
from controller.runtime.memory.node import MemoryContainer, MemoryImage, MemoryNode
from controller.runtime.memory.process import MemoryProcess
from controller.runtime.memory.script import read_script
from controller.runtime.oci import Host, User, container_user, resource_changes, runtime_spec
from controller.runtime.port import (
    AlreadyExists,
    Conflict,
    ContainerConfig,
    ContainerState,
    ContainerStats,
    Credential,
    Damage,
    DamageKind,
    EventKind,
    ExecConfig,
    Feature,
    ImageConfig,
    ImageDamaged,
    ImageFiles,
    ImageName,
    ImageNotFound,
    ImageState,
    InvalidConfig,
    InvalidReference,
    NotFound,
    Phase,
    PlatformMissing,
    PullProgress,
    Resources,
    RuntimeEvent,
    RuntimeInfo,
    StartFailure,
    Unavailable,
)
from controller.runtime.reference import distinct, parse, tagged
from controller.runtime.signals import signal_number

_ALIVE: Final = frozenset({Phase.RUNNING, Phase.PAUSED})
_MEMORY: Final = 1 << 20
_NOT_EXECUTED: Final = 255
"""How runc ends when the kernel cannot execute the command."""


class MemoryRuntime:
    """A connection to a `MemoryNode`. Implements `controller.runtime.port.Runtime`."""

    def __init__(self, node: MemoryNode) -> None:
        self.node = node
        self._closed = False

    def _ask(self) -> MemoryNode:
        if self._closed:
            raise Unavailable("the connection is closed")
        self.node.ask()
        return self.node

    def _find(self, container_id: str) -> MemoryContainer:
        container = self._ask().containers.get(container_id)
        if container is None:
            raise NotFound(f"container {container_id!r} not found")
        return container

    def _find_alive(self, container_id: str) -> MemoryContainer:
        container = self._find(container_id)
        if container.state.phase not in _ALIVE:
            raise NotFound(f"nothing of container {container_id!r} runs")
        return container

    async def info(self) -> RuntimeInfo:
        """What it is."""
        return RuntimeInfo("memory", self._ask().version, frozenset(Feature), ("memory",), self.node.handlers)

    async def events(self) -> AsyncGenerator[RuntimeEvent, None]:
        """Events, `SUBSCRIBED` first."""
        node = self._ask()
        reader = node.subscribe()
        try:
            yield RuntimeEvent(EventKind.SUBSCRIBED, at=node.clock())
            while (event := await reader.get()) is not None:
                yield event
            raise Unavailable("the event stream broke")
        finally:
            node.unsubscribe(reader)

    async def list(self) -> tuple[ContainerState, ...]:
        """Every container."""
        return tuple(container.state for container in self._ask().containers.values())

    async def inspect(self, container_id: str) -> ContainerState:
        """One container."""
        return self._find(container_id).state

    async def images(self) -> tuple[ImageState, ...]:
        """Every image."""
        there = [image for name, image in self._ask().images.items() if name not in self.node.quarantined]
        return tuple(replace(image, config=ImageConfig()) for image in there)

    async def image(self, reference: str) -> ImageState:
        """One image."""
        name = str(parse(reference))
        found = self._ask().images.get(name)
        if found is None or name in self.node.quarantined:
            raise NotFound(f"image {name} is not on this node")
        return found

    async def image_names(self) -> tuple[ImageName, ...]:
        """Every name."""
        return tuple(ImageName(image.name, image.digest, image.since) for image in self._ask().images.values())

    async def tag(self, reference: str, target: str) -> ImageState:
        """Another name for an image."""
        found, other = await self.image(reference), parse(target)
        if other.digest and other.digest != found.digest:
            raise InvalidReference(f"{other} cannot be a name of {found.name}, whose digest is {found.digest}")
        known = self.node.images.get(str(other))
        return known if known and known.digest == found.digest else self.node.name(str(other), found)

    async def pull(
        self,
        reference: str,
        progress: Callable[[PullProgress], None] | None = None,
        *,
        credential: Credential | None = None,
        digest: str = "",
    ) -> ImageState:
        """Fetch an image from the simulated registry, in two steps of progress."""
        parsed = parse(reference)
        name, node = str(parsed), self._ask()
        image = node.served(parsed, credential)
        if image is None:
            raise ImageNotFound(f"registry {parsed.domain} has no image {name}")
        if digest and digest not in {image.state().digest, *image.older}:
            raise ImageNotFound(f"registry {parsed.domain} has no image {name}@{digest}")
        if image.other_platform:
            raise PlatformMissing(f"image {name} has nothing for this node's platform")
        if users := self._users(name):
            raise ImageDamaged(f"image {name} is damaged on this node, and is used by {users}")
        _tell(progress, image.size)
        node.damage.pop(name, None)
        node.quarantined.discard(name)
        state = image.state()
        return node.name(name, replace(state, digest=digest or state.digest))

    async def import_images(
        self, path: str, *, name: str = "", progress: Callable[[PullProgress], None] | None = None
    ) -> tuple[ImageState, ...]:
        """Import an archive; one that is packed by zstd is none here."""
        node, called = self._ask(), str(parse(name)) if name else ""
        found = await asyncio.to_thread(archives.load, path, called)
        _tell(progress, (await asyncio.to_thread(Path(path).stat)).st_size)
        return tuple(node.name(image.name, image) for image in found)

    async def export_images(self, references: Sequence[str], path: str) -> None:
        """Write an archive."""
        named = [(reference, await self.image(str(reference))) for reference in distinct(references)]
        await asyncio.to_thread(archives.save, named, path)

    async def push(
        self,
        reference: str,
        target: str,
        progress: Callable[[PullProgress], None] | None = None,
        *,
        credential: Credential | None = None,
    ) -> str:
        """Put an image into the simulated registry, in two steps of progress."""
        parsed, found = tagged(target), await self.image(reference)
        self.node.served(parsed, credential)
        _tell(progress, found.size)
        made = MemoryImage(
            str(parsed), found.config, found.size, created_at=found.created_at, digest=found.digest, layers=found.layers
        )
        self.node.registry[made.reference] = made
        return found.digest

    async def verify(self, reference: str) -> tuple[Damage, ...]:
        """What is damaged of an image."""
        name = str(parse(reference))
        if name not in self._ask().images:
            raise NotFound(f"image {name} is not on this node")
        return self.node.damage.get(name, ())

    async def quarantine(self, reference: str, damage: Sequence[Damage]) -> None:
        """Take an image out of use; one of which a blob alone is damaged can be run as it is."""
        name, node = str(parse(reference)), self._ask()
        if name not in node.images:
            raise NotFound(f"image {name} is not on this node")
        if all(one.what is DamageKind.BLOB for one in damage):
            return
        node.quarantined.add(name)
        node.tell(EventKind.IMAGE_CHANGED, image=name)
        if users := self._users(name):
            raise Conflict(f"what is damaged of it is used by {users}")

    def _users(self, name: str) -> str:
        """Who keeps damaged files from going."""
        if name not in self.node.quarantined:
            return ""
        containers = self.node.containers.values()
        return ", ".join(one.config.id for one in containers if one.config.image == name and one.state.phase in _ALIVE)

    async def remove_image(self, reference: str, *, wait: bool = False) -> None:  # noqa: ARG002 - there is nothing to wait for
        """Remove a name."""
        name, node = str(parse(reference)), self._ask()
        node.quarantined.discard(name)
        node.damage.pop(name, None)
        if node.images.pop(name, None) is not None:
            node.tell(EventKind.IMAGE_CHANGED, image=name)

    async def discard_parts(self, age: float) -> int:  # noqa: ARG002 - there are none
        """No pull here is ever half done."""
        self._ask()
        return 0

    async def hold_image(self, holder: str, reference: str) -> ImageFiles:
        """Hold an image; its files are nowhere."""
        held = self._ask().held
        if holder not in held:
            held[holder] = (await self.image(reference)).digest
        return ImageFiles("bind", f"/nowhere/{held[holder]}", ("ro", "rbind"))

    async def release_image(self, holder: str) -> None:
        """Hold it no more."""
        self._ask().held.pop(holder, None)

    async def image_holders(self) -> frozenset[str]:
        """Who holds anything."""
        return frozenset(self._ask().held)

    async def create(self, config: ContainerConfig) -> ContainerState:
        """Make a container; what an OCI runtime would refuse is refused here too."""
        node = self._ask()
        image = node.images.get(config.image)
        if image is None or config.image in node.quarantined:
            raise NotFound(f"image {config.image} is not on this node")
        if config.runtime_handler and config.runtime_handler not in node.handlers:
            raise InvalidConfig(
                f"the node has no runtime handler {config.runtime_handler!r} (it has {', '.join(node.handlers)})"
            )
        runtime_spec(config, self._user(config), Host())
        if config.id in node.containers:
            raise AlreadyExists(f"container {config.id!r} exists")
        state = ContainerState(
            id=config.id,
            phase=Phase.CREATED,
            labels=_kept(config.labels),
            image=config.image,
            image_digest=image.digest,
            created_at=node.clock(),
        )
        node.containers[config.id] = MemoryContainer(config, state, resources=config.resources)
        node.tell(EventKind.CREATED, config.id)
        return state

    def _user(self, config: ContainerConfig) -> User:
        """Who it runs as, from files as the image would have them."""
        known = self.node.registry[config.image].users if config.image in self.node.registry else {}
        passwd = "".join(f"{name}:x:{number}:0:::\n" for name, number in {"root": "0", **known}.items())
        group = "".join(f"{name}:x:{number}:\n" for name, number in known.items())
        return container_user(config, passwd, group)

    async def start(self, container_id: str) -> ContainerState:
        """Start its process."""
        container = self._find(container_id)
        if container.state.phase is not Phase.CREATED:
            raise Conflict(f"container {container_id!r} was started before")
        damage = {one.what for one in self.node.damage.get(container.config.image, ())}
        if DamageKind.SNAPSHOT in damage:
            raise StartFailure("the root file system cannot be mounted: no such file or directory")
        script = read_script(container.config.args)
        if DamageKind.FILE in damage:
            script = replace(script, seconds=0.0, exit_code=_NOT_EXECUTED)
        if container.config.host_pid or container.config.shared_pids:
            script = replace(script, ignores=False)  # the kernel guards the first process of a namespace alone
        if script.echoes and not (container.config.stdin or container.config.tty):
            script = replace(script, seconds=0.0)  # it reads the end at once
        self.node.run(container, script)
        return container.state

    async def signal(self, container_id: str, signal: str) -> None:
        """Send a signal to its process."""
        number = signal_number(signal)
        container = self._find_alive(container_id)
        code = container.script.exit_code_by(number)
        if code is not None:
            self.node.end(container_id, code)

    async def remove(self, container_id: str) -> None:
        """Remove it; what runs is killed."""
        node = self._ask()
        node.end(container_id, 137)
        if node.containers.pop(container_id, None) is not None:
            node.tell(EventKind.REMOVED, container_id)

    async def exec(self, container_id: str, config: ExecConfig) -> MemoryProcess:
        """Start a further process."""
        container = self._find_alive(container_id)
        if not config.args:
            raise InvalidConfig("no command to run is given")
        if container.state.phase is Phase.PAUSED:
            raise Conflict(f"container {container_id!r} is paused")
        script = self.node.commands.get(config.args[0]) or read_script(config.args)
        return MemoryProcess(script, tty=config.tty)

    async def update_resources(self, container_id: str, resources: Resources) -> None:
        """Change the limits of what runs."""
        resource_changes(resources, Host())
        container = self._find_alive(container_id)
        if resources.memory_bytes is not None and resources.memory_bytes < container.script.memory_bytes:
            raise Conflict(f"{container.script.memory_bytes} bytes of memory are in use")
        container.resources = resources

    async def set_labels(self, container_id: str, labels: Mapping[str, str]) -> None:
        """Write some labels."""
        container = self._find(container_id)
        container.state = replace(container.state, labels=_kept({**container.state.labels, **labels}))
        self.node.tell(EventKind.CHANGED, container_id)

    async def pause(self, container_id: str) -> None:
        """Freeze it; what it would have done by itself meanwhile, it does none the less."""
        self._shift(container_id, Phase.RUNNING, Phase.PAUSED, EventKind.PAUSED)

    async def resume(self, container_id: str) -> None:
        """Thaw it."""
        self._shift(container_id, Phase.PAUSED, Phase.RUNNING, EventKind.RESUMED)

    def _shift(self, container_id: str, old: Phase, new: Phase, kind: EventKind) -> None:
        container = self._find_alive(container_id)
        if container.state.phase is not old:
            raise Conflict(f"container {container_id!r} is {container.state.phase}")
        container.state = replace(container.state, phase=new)
        self.node.tell(kind, container_id)

    async def stats(self) -> tuple[ContainerStats, ...]:
        """What every running container uses: always the same little."""
        containers = self._ask().containers
        return tuple(ContainerStats(id_, 0.0, _MEMORY, 1) for id_, one in containers.items() if one.state.phase in _ALIVE)

    async def tidy(self) -> int:
        """Nothing is ever lost here."""
        self._ask()
        return 0

    async def close(self) -> None:
        """Close the connection."""
        self._closed = True


def _tell(progress: Callable[[PullProgress], None] | None, size: int) -> None:
    for done in (size // 2, size):
        if progress:
            progress(PullProgress(done, size))


def _kept(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if value}
