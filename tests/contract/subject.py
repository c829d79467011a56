"""What the suite knows of a runtime under test, and what it needs to wait for things."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Self

from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import (
    ContainerConfig,
    ContainerState,
    DamageKind,
    EventKind,
    ImageConfig,
    Runtime,
    RuntimeEvent,
)

SECONDS = 20.0
"""How long anything may take."""

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FOREVER = ("sleep", "infinity")
TRAPPED = ("sh", "-c", 'trap "exit 3" TERM; echo ready; while true; do sleep 0.02; done')
"""Ends with 3 on SIGTERM."""


class Subject(ABC):
    """A runtime under test. Images: `busybox:1`, `user:1`; the names below cannot be pulled, each for its own reason."""

    runtime: Runtime
    OTHER = "other"
    """A runtime handler beside the default one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    @abstractmethod
    async def connect(self) -> Runtime:
        """A further connection to the same runtime, as a restarted agent would have."""

    @abstractmethod
    def ref(self, name: str) -> str:
        """The normalised reference of an image."""

    @property
    @abstractmethod
    def unreachable(self) -> str:
        """An image of a registry that does not answer."""

    @property
    @abstractmethod
    def forbidden(self) -> str:
        """An image of a registry that refuses."""

    def config(self, *args: str, **changes: Any) -> ContainerConfig:
        """A container with an id of its own that runs `args`."""
        id_ = f"c{next(self._numbers)}"
        values: dict[str, Any] = {
            "id": id_,
            "image": self.ref("busybox:1"),
            "args": args or FOREVER,
            "labels": {},
            "group": "contract",
            "log_path": str(self.folder / "logs" / f"{id_}.log"),
        }
        return ContainerConfig(**values | changes)

    @abstractmethod
    async def damage(self, name: str, what: DamageKind) -> None:
        """Damage an image that is on the node, as a failing disk does: its lowest layer, the config, or a program's file."""

    async def pull(self, name: str = "busybox:1") -> None:
        """Have an image."""
        await self.runtime.pull(self.ref(name))

    async def create(self, *args: str, **changes: Any) -> str:
        """Make a container, image and all; returns its id."""
        config = self.config(*args, **changes)
        if config.image not in {image.name for image in await self.runtime.images()}:
            await self.runtime.pull(config.image)
        return (await self.runtime.create(config)).id

    async def run(self, *args: str, **changes: Any) -> ContainerState:
        """Make and start a container."""
        return await self.runtime.start(await self.create(*args, **changes))

    async def ended(self, container_id: str) -> ContainerState:
        """A container after its end, waited for on the event stream."""
        async with self.watch() as watch:
            state = await self.runtime.inspect(container_id)
            if state.exited_at is None:
                await watch.until(lambda event: event.kind is EventKind.EXITED and event.container_id == container_id)
                state = await self.runtime.inspect(container_id)
        return state

    @abstractmethod
    async def wait_for_output(self, container_id: str, text: str) -> None:
        """Wait until a container has written something, where it writes at all."""

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Watch]:
        """All events from now on."""
        watch = Watch(self.runtime)
        async with asyncio.timeout(SECONDS):
            await watch.until(lambda event: event.kind is EventKind.SUBSCRIBED)
        try:
            yield watch
        finally:
            await watch.close()


class Watch:
    """Collects events."""

    def __init__(self, runtime: Runtime) -> None:
        self.events: list[RuntimeEvent] = []
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._collect(runtime))

    async def _collect(self, runtime: Runtime) -> None:
        try:
            async with aclosing(runtime.events()) as events:
                async for event in events:
                    self.events.append(event)
                    self._more.set()
        finally:
            self._more.set()

    async def until(self, true: Callable[[RuntimeEvent], bool]) -> RuntimeEvent:
        """The first event of which something is true; the failure that ended the stream, if it does first."""
        async with asyncio.timeout(SECONDS):
            while True:
                for event in self.events:
                    if true(event):
                        return event
                if self._task.done():
                    await self._task
                self._more.clear()
                await self._more.wait()

    async def until_told(self, kind: EventKind, container_id: str) -> RuntimeEvent:
        """The first event of this kind of a container."""
        return await self.until(lambda event: (event.kind, event.container_id) == (kind, container_id))

    async def broken(self) -> None:
        """Wait for the end of the stream and raise what ended it."""
        async with asyncio.timeout(SECONDS):
            await self._task

    def kinds(self, container_id: str) -> list[EventKind]:
        """What was told of a container, in order."""
        return [event.kind for event in self.events if event.container_id == container_id]

    async def close(self) -> None:
        """End the stream."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class MemorySubject(Subject):
    """The runtime in memory."""

    HOST = "registry.test:5000"

    async def __aenter__(self) -> Self:
        shell = ImageConfig(cmd=("sh",), env=(PATH,))
        user = ImageConfig(
            entrypoint=("/bin/show",),
            cmd=("one", "two words"),
            env=(PATH, "GREETING=ahoy"),
            working_dir="/home/app",
            user="app:staff",
            stop_signal="SIGINT",
        )
        self.node = MemoryNode(
            [
                MemoryImage(self.ref("busybox:1"), shell),
                MemoryImage(self.ref("busybox:docker"), shell),
                MemoryImage(self.ref("user:1"), user, users={"app": "1001", "staff": "50"}),
                MemoryImage(self.ref("busybox:foreign"), other_platform=True),
                MemoryImage(self.forbidden, forbidden=True),
            ]
        )
        self.node.handlers = ("memory", self.OTHER)
        self.runtime = MemoryRuntime(self.node)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for container_id in list(self.node.containers):
            await MemoryRuntime(self.node).remove(container_id)

    async def connect(self) -> Runtime:
        return MemoryRuntime(self.node)

    async def damage(self, name: str, what: DamageKind) -> None:
        self.node.damage_image(self.ref(name), what)

    async def wait_for_output(self, container_id: str, text: str) -> None:
        """Nothing is written, and a process is at once as far as it gets by itself."""

    def ref(self, name: str) -> str:
        return f"{self.HOST}/{name}"

    @property
    def unreachable(self) -> str:
        return "127.0.0.1:1/x:1"

    @property
    def forbidden(self) -> str:
        return "private.test:5000/x:1"
