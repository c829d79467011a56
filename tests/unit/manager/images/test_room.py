"""ContainerImages through the manager's caches, queue and writes, on an API server in memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from controller.kube.resources import CONTAINER_IMAGES, NODE_IMAGES, Resource
from controller.manager.cache import Cache
from controller.manager.images.room import ImageRoom
from tests.unit.agent.api import Api, Object

PATCHED = ("patch", "nodeimages")
DIGEST = "sha256:" + "1" * 64


class Rig:
    """A manager's images, its nodes, and agents that answer at once."""

    def __init__(self) -> None:
        self.api = Api()
        self.api.watchers.append(self.watch)
        self.answering = True
        self.start()

    def start(self) -> None:
        """A new manager, which lists what there is."""
        client: Any = self.api
        self.cache = Cache()
        self.room = ImageRoom(client, self.cache, hold_seconds=0.0)
        for (plural, _, _), obj in sorted(self.api.objects.items(), reverse=True):
            self.deliver(plural, "ADDED", obj)
        self.task = asyncio.create_task(self.room.queue.run())

    async def stop(self) -> None:
        """It ends."""
        assert not self.task.done()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def deliver(self, plural: str, kind: str, obj: Object) -> None:
        """The informer."""
        if plural == CONTAINER_IMAGES.plural:
            self.room.image(kind, obj)
        elif plural == NODE_IMAGES.plural:
            self.room.listing(kind, obj)
        elif kind == "DELETED":
            self.cache.drop_node(obj["metadata"]["name"], obj["metadata"]["uid"])
            self.room.node(obj["metadata"]["name"])
        else:
            self.cache.put_node(obj, time.monotonic())
            self.cache.heartbeats.renewed(obj["metadata"]["name"], str(time.time()), 0.0, time.monotonic())
            self.room.node(obj["metadata"]["name"])
            self.room.wake_all()

    def watch(self, resource: Resource, kind: str, obj: Object) -> None:
        """What changed is delivered; agents answer what they are asked."""
        self.deliver(resource.plural, kind, obj)
        if resource == NODE_IMAGES and kind != "DELETED" and self.answering:
            self.answer(obj)

    def answer(self, obj: Object) -> None:
        """An agent has all that it is asked for."""
        images = [
            {k: e[k] for k in ("namespace", "name", "image", "revision")} | {"state": "Ready", "digest": DIGEST, "bytes": 5}
            for e in obj["spec"].get("images", [])
        ]
        told = {"type": "Ready", "status": "True", "reason": "Pulled", "lastTransitionTime": "2027-01-15T08:00:00Z"}
        status = {"observedGeneration": 1, "images": images, "conditions": [told]}
        if obj.get("status") != status:
            key = (NODE_IMAGES.plural, "", obj["metadata"]["name"])
            self.api._store(key, NODE_IMAGES, "MODIFIED", {**self.api.objects[key], "status": status})

    def speak(self, name: str, percent: int | None = None) -> None:
        """An agent tells that it knows of images, and how far it is with those that it is asked for."""
        key = (NODE_IMAGES.plural, "", name)
        told = {"type": "Ready", "status": "Unknown", "reason": "Pulling", "lastTransitionTime": "2027-01-15T08:00:00Z"}
        pull = {"image": "web:1", "bytesDone": percent, "bytesTotal": 100, "percent": percent, "bytesPerSecond": 1}
        images = [
            {k: e[k] for k in ("namespace", "name", "image", "revision")} | {"state": "Pulling", "pull": pull}
            for e in self.api.objects[key]["spec"].get("images", [])
            if percent is not None
        ]
        status = {"observedGeneration": -1, "images": images, "conditions": [told]}
        self.api._store(key, NODE_IMAGES, "MODIFIED", {**self.api.objects[key], "status": status})

    def node(self, name: str, uid: str = "u") -> None:
        """A RuntimeNode registers."""
        meta = {"name": name, "uid": f"{uid}-{name}", "labels": {}, "resourceVersion": "1"}
        self.deliver("runtimenodes", "ADDED", {"metadata": meta, "spec": {}, "status": {}})

    def apply(self, name: str, image: str = "web:1", **spec: Any) -> None:
        """Somebody applies a ContainerImage."""
        key = (CONTAINER_IMAGES.plural, "default", name)
        old = self.api.objects.get(key)
        meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
        meta["generation"] = old["metadata"]["generation"] + 1 if old else 1
        status = old["status"] if old else {"observedGeneration": -1}
        obj = {"metadata": meta, "spec": {"image": image, **spec}, "status": status}
        self.api._store(key, CONTAINER_IMAGES, "MODIFIED" if old else "ADDED", obj)

    def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Somebody deletes an object."""
        obj = self.api.objects.pop((resource.plural, namespace, name))
        self.deliver(resource.plural, "DELETED", obj)

    def lists(self) -> dict[str, list[str]]:
        """The images that each node is asked for."""
        found = {name: obj for (plural, _, name), obj in self.api.objects.items() if plural == NODE_IMAGES.plural}
        return {name: [e["image"] for e in obj["spec"]["images"]] for name, obj in found.items()}

    def told(self, name: str) -> dict[str, Any]:
        """Status of an image."""
        status = self.api.objects[CONTAINER_IMAGES.plural, "default", name]["status"]
        assert isinstance(status, dict)
        return status

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until something is true."""
        for _ in range(2000):
            if true():
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"never true: {self.lists()}, {self.api.objects}")

    async def rest(self) -> None:
        """Wait until nothing is under way."""
        await self.until(lambda: not len(self.room.queue) and not self.room.queue.longest_work())
        await asyncio.sleep(0.01)


@pytest.fixture(name="rig")
async def _rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.stop()


async def test_every_node_gets_a_list_that_belongs_to_it(rig: Rig) -> None:
    """Empty at first; it goes with its RuntimeNode, which the garbage collector sees to."""
    rig.node("n1")
    await rig.until(lambda: rig.lists() == {"n1": []})
    (owner,) = rig.api.objects[NODE_IMAGES.plural, "", "n1"]["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("RuntimeNode", "n1", "u-n1")


async def test_what_many_images_ask_of_a_node_is_few_writes(rig: Rig) -> None:
    """And what nobody asks anew is never written: neither by this manager, nor by the next one."""
    for number in range(4):
        rig.node(f"n{number}")
    await rig.until(lambda: len(rig.lists()) == 4)
    await rig.rest()
    for number in range(10):
        rig.apply(f"i{number}", f"web:{number}")
    await rig.until(lambda: all(rig.told(f"i{n}").get("ready") == "4/4" for n in range(10)))
    await rig.rest()
    assert sum((verb, what) == PATCHED for verb, what, _ in rig.api.writes) <= 4 * 3
    before = len(rig.api.writes)
    rig.room.wake_all()
    await rig.rest()
    await rig.stop()
    rig.start()
    for number in range(4):
        rig.node(f"n{number}")
    await rig.rest()
    assert rig.api.writes[before:] == []


async def test_how_far_pulls_are_costs_few_writes(rig: Rig) -> None:
    """Of ten nodes that tell every percent, the image has one write for each ten of the whole."""
    rig.answering = False
    names = [f"n{number}" for number in range(10)]
    for name in names:
        rig.node(name)
    rig.apply("web")
    await rig.until(lambda: len(rig.lists()) == 10)
    for name in names:
        rig.speak(name)
    await rig.until(lambda: all(rig.lists().values()))
    await rig.rest()
    before = len(rig.api.writes)
    seen = []
    for percent in range(101):
        for name in names:
            rig.speak(name, percent)
        await rig.rest()
        seen.append(rig.told("web")["summary"])
    assert list(dict.fromkeys(seen)) == ["Pulling", *(f"Pulling {tens}%" for tens in range(10, 101, 10))]
    assert len(rig.api.writes) - before == 10


async def test_turns_hold_while_writes_are_slow(rig: Rig) -> None:
    """A turn counts from when it is given: two looks in between give no more than there are."""
    for number in range(6):
        rig.node(f"n{number}")
    await rig.until(lambda: len(rig.lists()) == 6)
    await rig.rest()
    rig.answering, rig.api.slow = False, 0.05
    rig.apply("web", parallelism=2)
    for _ in range(20):
        rig.room.wake_all()
        await asyncio.sleep(0.01)
    await rig.rest()
    assert sum(map(bool, rig.lists().values())) == 2


async def test_a_deleted_image_leaves_every_list(rig: Rig) -> None:
    """Also one that was deleted while no manager was there."""
    rig.node("n1")
    rig.apply("web")
    rig.apply("other", "other:1")
    await rig.until(lambda: len(rig.lists().get("n1", [])) == 2)
    rig.delete(CONTAINER_IMAGES, "web", "default")
    await rig.until(lambda: rig.lists() == {"n1": ["docker.io/library/other:1"]})
    await rig.rest()
    await rig.stop()
    del rig.api.objects[CONTAINER_IMAGES.plural, "default", "other"]
    rig.start()
    rig.node("n1")
    await rig.until(lambda: rig.lists() == {"n1": []})


async def test_a_deleted_list_says_all_of_it_again(rig: Rig) -> None:
    """From the start, though only one turn is given at a time; a node that is gone gets none."""
    rig.node("n1")
    for number in range(3):
        rig.apply(f"i{number}", f"web:{number}")
    await rig.until(lambda: len(rig.lists().get("n1", [])) == 3)
    await rig.rest()
    first: list[int] = []
    rig.api.watchers.append(
        lambda resource, kind, obj: (
            first.append(len(obj["spec"]["images"])) if (resource, kind) == (NODE_IMAGES, "ADDED") else None
        )
    )
    rig.delete(NODE_IMAGES, "n1")
    await rig.until(lambda: first)
    assert first == [3]
    rig.deliver("runtimenodes", "DELETED", {"metadata": {"name": "n1", "uid": "u-n1"}})
    await rig.rest()
    rig.delete(NODE_IMAGES, "n1")
    await rig.rest()
    assert rig.lists() == {}


async def test_a_list_that_somebody_changed_is_put_right(rig: Rig) -> None:
    """What a node is to have is what ContainerImages say."""
    rig.node("n1")
    rig.apply("web")
    await rig.until(lambda: rig.lists() == {"n1": ["docker.io/library/web:1"]})
    await rig.rest()
    key = (NODE_IMAGES.plural, "", "n1")
    foreign = {"namespace": "x", "name": "x", "image": "x", "revision": "x"}
    obj = rig.api.objects[key]
    rig.api._store(key, NODE_IMAGES, "MODIFIED", {**obj, "spec": {"images": [*obj["spec"]["images"], foreign]}})
    await asyncio.sleep(0.01)
    await rig.until(lambda: rig.lists() == {"n1": ["docker.io/library/web:1"]})
