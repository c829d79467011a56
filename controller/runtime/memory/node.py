"""The simulated node: what is on it, and the hooks to make trouble."""

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from controller.runtime.memory.script import FOREVER, Script
from controller.runtime.platforms import node_platform
from controller.runtime.port import (
    ContainerConfig,
    ContainerState,
    Credential,
    Damage,
    DamageKind,
    EventKind,
    ImageConfig,
    ImageForbidden,
    ImageState,
    Phase,
    RegistryUnreachable,
    Resources,
    RuntimeEvent,
    Unavailable,
)
from controller.runtime.reference import Reference, parse


@dataclass(frozen=True, slots=True)
class MemoryImage:
    """An image in the simulated registry."""

    reference: str
    config: ImageConfig = field(default_factory=ImageConfig)
    size: int = 1000
    users: Mapping[str, str] = field(default_factory=dict)
    """Numbers of the users and groups in it by name, beside `root`; a container with another name cannot be made."""
    forbidden: bool = False
    """Whoever asks is refused."""
    credentials: tuple[Credential, ...] = ()
    """Who shows none of these is refused; none: nobody is asked for any."""
    created_at: float | None = 0.0
    older: tuple[str, ...] = ()
    """Digests that its name had before, and that the registry still has."""
    other_platform: bool = False
    digest: str = ""
    """One of its own; empty: one that is made of its name."""
    layers: tuple[str, ...] = ()
    """The same of its layers."""

    def state(self) -> ImageState:
        """As it is on the node after a pull."""
        name = str(parse(self.reference))
        return ImageState(
            name,
            self.digest or _digest(name),
            self.size,
            self.config,
            platform=str(node_platform()),
            created_at=self.created_at,
            layers=self.layers or (_digest(f"layer of {name}"),),
        )


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(slots=True)
class MemoryContainer:
    """A simulated container."""

    config: ContainerConfig
    state: ContainerState
    script: Script = field(default_factory=Script)
    resources: Resources = field(default_factory=Resources)
    timer: asyncio.TimerHandle | None = None


class MemoryNode:
    """A node without anything real on it. All times come from `clock`, and from the event loop for what passes by itself."""

    def __init__(self, images: Iterable[MemoryImage] = (), *, clock: Callable[[], float] = time.time) -> None:
        """Make an empty node.

        Args:
            images: what its registry has. Registries with none of them are not reachable.
            clock: tells the time, in seconds since the epoch.
        """
        self.registry = {str(parse(image.reference)): image for image in images}
        self.clock = clock
        self.images: dict[str, ImageState] = {}
        self.containers: dict[str, MemoryContainer] = {}
        self.held: dict[str, str] = {}
        """Digests of images whose files are held, by the holder."""
        self.damage: dict[str, tuple[Damage, ...]] = {}
        """What is damaged of images on the node, by their names."""
        self.quarantined: set[str] = set()
        """Names of images that nothing is made from until they are pulled."""
        self.version = "2.0.0"
        self.handlers: tuple[str, ...] = ("memory",)
        """Names of the runtime handlers, the default one first."""
        self.commands: dict[str, Script] = {}
        """What further processes do, by the command; those that are not in it do as their arguments say."""
        self._answers = True
        self._readers: list[asyncio.Queue[RuntimeEvent | None]] = []
        self._pids = itertools.count(1000)

    # --- hooks ---

    def crash(self, container_id: str, exit_code: int = 137, *, oom: bool = False) -> None:
        """Let a container's process end, as if by itself, or killed by the kernel for want of memory."""
        if oom:
            self.tell(EventKind.OOM, container_id)
        self.end(container_id, exit_code, oom=oom)

    def stop_answering(self) -> None:
        """From now on every call fails with `Unavailable`, and event streams end with it. What runs goes on."""
        self._answers = False
        self.break_events()

    def answer_again(self) -> None:
        """Undo `stop_answering`."""
        self._answers = True

    def break_events(self) -> None:
        """End every event stream with `Unavailable`."""
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.put_nowait(None)

    def reboot(self) -> None:
        """Lose every process, and every container's exit code."""
        self.break_events()
        for container in self.containers.values():
            if container.timer:
                container.timer.cancel()
            container.state = replace(container.state, phase=Phase.EXITED, pid=0)

    def damage_image(self, reference: str, what: DamageKind = DamageKind.FILE) -> None:
        """Damage an image that is on the node; with a blob alone, its containers are as before."""
        name = str(parse(reference))
        self.damage[name] = (Damage(what, self.images[name].digest, f"a {what} is not as it should be"),)

    # --- used by MemoryRuntime ---

    def ask(self) -> None:
        """Raise `Unavailable` while the node does not answer."""
        if not self._answers:
            raise Unavailable("the runtime does not answer")

    def served(self, reference: Reference, credential: Credential | None) -> MemoryImage | None:
        """What the registry has by a name. Raises `RegistryUnreachable`, `ImageForbidden`."""
        image = self.registry.get(str(reference))
        if image is None and not any(parse(known).domain == reference.domain for known in self.registry):
            raise RegistryUnreachable(f"registry {reference.domain} cannot be used: nothing listens there")
        if image and (image.forbidden or (image.credentials and credential not in image.credentials)):
            raise ImageForbidden(f"registry {reference.domain} refuses {reference}: credentials are needed")
        return image

    def subscribe(self) -> "asyncio.Queue[RuntimeEvent | None]":
        """A stream of events; None is its end."""
        self.ask()
        reader: asyncio.Queue[RuntimeEvent | None] = asyncio.Queue()
        self._readers.append(reader)
        return reader

    def unsubscribe(self, reader: "asyncio.Queue[RuntimeEvent | None]") -> None:
        """Take a stream out."""
        if reader in self._readers:
            self._readers.remove(reader)

    def tell(
        self, kind: EventKind, container_id: str = "", *, image: str = "", pid: int = 0, exit_code: int | None = None
    ) -> None:
        """Tell everybody who listens."""
        event = RuntimeEvent(kind, container_id, image, pid, exit_code, self.clock())
        for reader in self._readers:
            reader.put_nowait(event)

    def name(self, name: str, image: ImageState) -> ImageState:
        """Give an image a name."""
        self.images[name] = replace(image, name=name, since=self.clock())
        self.tell(EventKind.IMAGE_CHANGED, image=name)
        return self.images[name]

    def run(self, container: MemoryContainer, script: Script) -> None:
        """Start a container's process."""
        pid = next(self._pids)
        container.script = script
        container.state = replace(container.state, phase=Phase.RUNNING, pid=pid, started_at=self.clock())
        self.tell(EventKind.STARTED, container.config.id, pid=pid)
        if script.seconds < FOREVER:
            loop = asyncio.get_running_loop()
            container.timer = loop.call_later(script.seconds, self.end, container.config.id, script.exit_code)

    def end(self, container_id: str, exit_code: int, *, oom: bool = False) -> None:
        """End a container's process; nothing happens when it does not run."""
        container = self.containers.get(container_id)
        if container is None or container.state.phase not in {Phase.RUNNING, Phase.PAUSED}:
            return
        if container.timer:
            container.timer.cancel()
        pid = container.state.pid
        container.state = replace(
            container.state, phase=Phase.EXITED, pid=0, exited_at=self.clock(), exit_code=exit_code, oom_killed=oom
        )
        self.tell(EventKind.EXITED, container_id, pid=pid, exit_code=exit_code)
