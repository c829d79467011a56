"""A node for the commands to look at: the agent's own store and names, on the runtime in memory."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from controller.agent.decide.actions import CreateContainer
from controller.agent.decide.hashing import spec_hash
from controller.agent.decide.observation import NodeFacts
from controller.agent.decide.resolve import container_config, log_path
from controller.agent.store import Store
from controller.api.instance import ContainerInstance
from controller.cli.app import app
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import Unavailable

NOW = 1_800_000_000.0
"""The time that the node's clock shows, unless a test moves it."""

IMAGES = (
    "registry.test/team/web:1.2",
    "docker.io/library/busybox:1",
    "registry.test/a/rather/long/path/to/an/image:2026.11.24",
)

PLACES = {
    "ps": ("--state-dir",),
    "exec": ("--state-dir",),
    "logs": ("--state-dir", "--log-dir"),
    "image tag": (),
    "image import": (),
    "image export": (),
    "image verify": (),
}
"""Folders that commands look into; those of `image` into the state folder, unless they are listed."""


@dataclass
class World:
    """One node: its state folder, its log folder and its runtime."""

    folder: Path
    now: float = NOW
    node: MemoryNode = field(init=False)
    facts: NodeFacts = field(init=False)

    def __post_init__(self) -> None:
        self.node = MemoryNode([MemoryImage(name) for name in IMAGES], clock=lambda: self.now)
        self.facts = NodeFacts("node1", log_dir=str(self.folder / "logs"))
        runtime = MemoryRuntime(self.node)
        for image in IMAGES:
            asyncio.run(_pull(runtime, image))

    @property
    def state_dir(self) -> Path:
        """Where the agent keeps its state."""
        return self.folder / "state"

    @property
    def answers(self) -> bool:
        """Whether its runtime answers."""
        try:
            self.node.ask()
        except Unavailable:
            return False
        return True

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run `moorage` with its folders and runtime being this node's."""
        words = 2 if arguments[0] == "image" else 1
        places = PLACES.get(" ".join(arguments[:words]), ("--state-dir",) if words == 2 else ())
        values = {"--state-dir": str(self.state_dir), "--log-dir": self.facts.log_dir}
        options = [part for place in places for part in (place, values[place])]
        runtime: Callable[[str], MemoryRuntime] = lambda _: MemoryRuntime(self.node)  # noqa: E731
        return CliRunner().invoke(app, [*arguments[:words], *options, *arguments[words:]], input=stdin, obj=runtime)

    def want(self, instance: ContainerInstance) -> ContainerInstance:
        """Have the agent's store keep it."""
        folder = self.state_dir / "instances"
        folder.mkdir(parents=True, exist_ok=True)
        Store(folder).put({"metadata": instance.metadata.to_json(), "spec": instance.spec.to_json()})
        return instance

    def make(self, instance: ContainerInstance, container: str = "main", attempt: int = 0, *, start: bool = True) -> str:
        """Have the runtime hold a container of it, as the agent would make it; its id."""

        async def made() -> str:
            runtime = MemoryRuntime(self.node)
            spec = next(c for c in instance.spec.all_containers if c.name == container)
            action = CreateContainer(spec, spec_hash(spec, instance.spec), attempt, attempt)
            config = container_config(instance, action, await runtime.image(spec.image), self.facts)
            await runtime.create(config)
            if start:
                await runtime.start(config.id)
            return config.id

        return asyncio.run(made())

    def end(self, container_id: str, exit_code: int | None, *, oom: bool = False) -> None:
        """Have a container's process end; with None its exit code is lost."""
        self.node.crash(container_id, exit_code or 0, oom=oom)
        if exit_code is None:
            held = self.node.containers[container_id]
            held.state = replace(held.state, exit_code=None, exited_at=None)

    def log(self, instance: ContainerInstance, container: str = "main", attempt: int = 0) -> Path:
        """The log file of an attempt, in a folder that is there."""
        path = Path(log_path(instance, container, attempt, self.facts))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


async def _pull(runtime: MemoryRuntime, image: str) -> None:
    await runtime.pull(image)


def instance(
    name: str,
    *,
    uid: str = "",
    namespace: str = "default",
    containers: Sequence[str] = ("main",),
    image: str = IMAGES[0],
    command: Sequence[str] = ("serve",),
    deleting: bool = False,
    **spec: Any,
) -> ContainerInstance:
    """An instance on node1, made two hours before the clock's time."""
    return ContainerInstance.model_validate(
        {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": uid or f"uid-of-{namespace}-{name}",
                "generation": 1,
                "creationTimestamp": "2027-01-15T06:00:00Z",
                "deletionTimestamp": "2027-01-15T07:59:00Z" if deleting else None,
            },
            "spec": {
                "nodeName": "node1",
                "hostNetwork": True,
                "containers": [{"name": c, "image": image, "command": list(command)} for c in containers],
                **spec,
            },
        }
    )
