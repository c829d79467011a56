"""What ContainerImages want on a node, as an agent sees it: a keeper, a runtime that takes its time, and an API server."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller.agent.credentials.credentials import Credentials
from controller.agent.credentials.nodewide import ConfigFile
from controller.agent.images.access import Access
from controller.agent.images.images import Images
from controller.agent.images.records import PullRecords
from controller.agent.nodeimages.keeper import WATCHER, ImageKeeper
from controller.agent.nodeimages.wanted import Wanted
from controller.agent.nodeimages.writer import NodeImagesWriter
from controller.agent.sources.port import Found, Ref, View
from controller.agent.view import NodeView
from controller.api.nodeimages import NodeImage
from controller.kube.resources import NODE_IMAGES
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import Credential, ImageState, PullProgress
from tests.private import docker_config
from tests.unit.agent.api import Api, Object
from tests.unit.agent.clock import now, until
from tests.unit.agent.sources import SimulatedSources

WEB = "registry.test/web:1"
DATABASE = "registry.test/db:1"
GONE = "registry.test/none:1"
PRIVATE = "registry.test/private:1"
TEAM = Credential("team", "hidden")
STATUS = "nodeimages/status"


def entry(image: str = WEB, name: str = "web", **more: Any) -> NodeImage:
    """What a node is asked for."""
    whose = {"namespace": "default", "name": name, "image": image, "revision": "r1"}
    return NodeImage.model_validate(whose | more)


def regcred(credential: Credential) -> Found:
    """A Secret with credentials for the registry."""
    return Found({".dockerconfigjson": docker_config("registry.test", credential).encode()}, uid="u")


class SlowRuntime(MemoryRuntime):
    """Pulls take ten seconds, or as many as they have parts, of which each is told."""

    def __init__(self, node: MemoryNode) -> None:
        super().__init__(node)
        self.pulls: list[str] = []
        self.pushes: list[tuple[str, str]] = []
        """Where to, and the password that was shown."""
        self.broken: Exception | None = None
        """What pushes fail with."""
        self.parts = 0
        self.at_once = self.most_at_once = 0

    async def pull(self, reference: str, progress: Callable[[PullProgress], None] | None = None, **more: Any) -> ImageState:
        """Fetch an image, slowly."""
        self.pulls.append(reference)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0 if self.parts else 10)
            for part in range(self.parts):
                await asyncio.sleep(1)
                assert progress is not None
                progress(PullProgress(1000 * (part + 1), 1000 * self.parts))
            return await super().pull(reference, progress, **more)
        finally:
            self.at_once -= 1

    async def push(self, reference: str, target: str, *more: Any, credential: Credential | None = None, **others: Any) -> str:
        """Push an image, which takes a second."""
        self.pushes.append((target, credential.password if credential else ""))
        await asyncio.sleep(1)
        if self.broken is not None:
            raise self.broken
        return await super().push(reference, target, *more, credential=credential, **others)


class Rig:
    """The keeper on a node, and an API server that has the node's NodeImages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.api = folder, Api()
        known = [MemoryImage(WEB, size=7), MemoryImage(DATABASE, size=9), MemoryImage(PRIVATE, credentials=(TEAM,))]
        self.node = MemoryNode(known, clock=now)
        self.objects: dict[Ref, View] = {}
        self.generation = 0
        self.credentials = Credentials(ConfigFile(folder / "config.json"))
        self.start()

    def start(self) -> None:
        """A new agent."""
        client: Any = self.api
        self.runtime = SlowRuntime(self.node)
        self.images = Images(self.runtime, self.credentials, Access(PullRecords(self.folder / "images.json")))
        self.view = NodeView(self.runtime, lambda _: None, self.changed)
        self.wanted, self.writer = Wanted(self.folder / "nodeimages.json"), NodeImagesWriter(client, "node1")
        self.wanted.load()
        self.sources = SimulatedSources(lambda who: self.keeper.wake() if who == WATCHER else None, self.objects)
        self.keeper = ImageKeeper(self.wanted, self.images, self.runtime, self.sources, self.writer, parallel_pulls=3)
        works = (self.keeper.run(), self.writer.run(), self.wanted.keep_for_ever(), self.view.run())
        self.tasks = [asyncio.create_task(work) for work in works]

    def changed(self, name: str) -> None:
        """The runtime tells of an image."""
        self.images.changed(name)
        self.keeper.wake()

    async def stop(self) -> None:
        """The agent ends."""
        for task in self.tasks:
            assert not task.done(), task
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.keeper.close()
        await self.images.close()

    async def want(self, *entries: NodeImage, uid: str = "u1") -> None:
        """The manager writes, and the watch delivers."""
        key = ("nodeimages", "", "node1")
        self.generation += 1
        meta = {"name": "node1", "uid": uid, "generation": self.generation}
        old = self.api.objects.get(key, {})
        status = old.get("status", {}) if old.get("metadata", {}).get("uid") == uid else {}
        spec = {"images": [e.to_json() for e in entries]}
        obj: Object = {"metadata": meta, "spec": spec, "status": status}
        self.api._store(key, NODE_IMAGES, "MODIFIED", obj)
        self.keeper.seen(obj)

    @property
    def status(self) -> dict[str, Any]:
        """As the API server has it."""
        found = self.api.objects[("nodeimages", "", "node1")]["status"]
        assert isinstance(found, dict)
        return found

    def states(self) -> dict[str, str]:
        """By name of the ContainerImage."""
        return {told["name"]: told["state"] for told in self.status.get("images", [])}

    async def until(self, **states: str) -> float:
        """Wait until this is told."""
        return await until(lambda: self.states() == states)
