"""A small world of images: ContainerImages, nodes, what they are asked for, and agents that do as they are told."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from controller.api.conditions import timestamp
from controller.api.nodeimages import NodeImage, NodeImageStatus
from controller.manager.decide.images.listing import fits, listing
from controller.manager.decide.images.pushes import Pusher, assign
from controller.manager.decide.images.status import Facts, deadline, summarize
from controller.manager.decide.images.turns import give, named
from controller.manager.decide.images.values import STEP, Held, Image, Place, parse_image
from controller.manager.decide.values import Key, Node
from tests.unit.manager.world import START, node
from tests.unit.mergepatch import merge

NAMESPACE = "default"
DIGEST = "sha256:" + "1" * 64


@dataclass
class ImageWorld:
    """Some images and nodes, and a clock."""

    nodes: dict[str, Node] = field(default_factory=dict)
    objects: dict[Key, dict[str, Any]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    now: float = START
    writes: int = 0
    """NodeImages that were written."""

    @classmethod
    def of(cls, count: int, **spec: Any) -> "ImageWorld":
        """A world of so many nodes whose agents speak, with one image of this spec."""
        world = cls({f"n{i:02}": node(f"n{i:02}", uid=f"uid-{i}") for i in range(count)})
        world.held = {name: Held(name, f"uid-of-{name}", speaks=True) for name in world.nodes}
        world.apply(**spec)
        return world

    # --- people

    def apply(self, name: str = "web", namespace: str = NAMESPACE, **spec: Any) -> Key:
        """Somebody applies an image."""
        key = Key(namespace, name)
        old = self.objects.get(key)
        wanted = {"image": "web:1"} | spec if old is None else merge(old["spec"], spec)
        meta = {
            "namespace": namespace,
            "name": name,
            "uid": f"uid-of-{namespace}-{name}",
            "generation": old["metadata"]["generation"] + 1 if old else 1,
        }
        self.objects[key] = {"metadata": meta, "spec": wanted, "status": old["status"] if old else {}}
        return key

    def lose(self, name: str) -> None:
        """A node is not heard any more."""
        self.nodes[name] = replace(self.nodes[name], alive=False)

    def find(self, key: Key) -> Image | None:
        """The image of that name."""
        return parse_image(self.objects[key]) if key in self.objects else None

    @property
    def image(self) -> Image:
        """The first image."""
        return parse_image(next(iter(self.objects.values())))

    # --- the manager

    def places(self, image: Image) -> list[Place]:
        """The nodes that are to have it."""
        return [self.place(found, image) for found in named(image, self.nodes.values())]

    def place(self, found: Node, image: Image) -> Place:
        """A node as the image sees it."""
        held = self.held.get(found.name)
        if held is None:
            return Place(found)
        entry = held.entries.get(image.key)
        full = entry is None and not fits(image.entry(), held.entries.values())
        return Place(found, held.speaks, entry, held.reports.get(image.key), held.pulled.get(image.key, 0), full=full)

    def decide(self) -> int:
        """Give turns and write NodeImages; how many were written."""
        turns: dict[str, dict[Key, str]] = {}
        for key in self.objects:
            image = parse_image(self.objects[key])
            for name in give(image, self.places(image)):
                turns.setdefault(name, {})[key] = image.revision
        written = 0
        for name, held in self.held.items():
            if name not in self.nodes:
                continue
            wanted = listing(self.nodes[name], held.entries, self.find, turns.get(name, {}), self.pushers())
            asked = {Key(e.namespace, e.name): e for e in wanted}
            if asked != held.entries:
                reports = {key: report for key, report in held.reports.items() if key in asked}
                self.held[name] = replace(held, entries=asked, reports=reports)
                written += 1
        self.writes += written
        return written

    def pushers(self) -> dict[Key, Pusher]:
        """Who pushes what."""
        images = [parse_image(obj) for obj in self.objects.values()]
        return {image.key: assign(image, self.places(image)) for image in images}

    def facts(self, first_seen: float = START) -> Facts:
        """Of the first image."""
        return Facts(self.image, self.places(self.image), self.now, first_seen)

    def status(self) -> dict[str, Any]:
        """The first image's, which is written."""
        told = summarize(self.facts()).to_json()
        next(iter(self.objects.values()))["status"] = told
        return told

    @property
    def deadline(self) -> float | None:
        """Of the first image."""
        return deadline(self.facts())

    # --- agents

    def report(self, name: str, state: str, key: Key | None = None, **more: Any) -> None:
        """An agent says something of an image that its node is asked for."""
        held = self.held[name]
        key = key or self.image.key
        entry = held.entries[key]
        told: dict[str, Any] = {"namespace": key.namespace, "name": key.name, "revision": entry.revision, "image": entry.image}
        before = held.reports.get(key)
        same = before is not None and (before.state, before.revision) == (state, entry.revision)
        told |= {"state": state, "since": before.since if before and same else timestamp(self.now)}
        if state == "Ready":
            told |= {"digest": DIGEST, "bytes": 41_900_000}
        self.held[name] = replace(held, reports={**held.reports, key: NodeImageStatus.model_validate(told | more)})

    def pulls(self, name: str, percent: int) -> None:
        """An agent says how far a pull of the first image is, and the manager hears of it."""
        self.report(name, "Pulling")
        held = self.held[name]
        self.held[name] = replace(held, pulled={**held.pulled, self.image.key: percent // STEP * STEP})

    def asked(self, key: Key | None = None) -> list[str]:
        """The nodes that are asked for the image as it is now."""
        image = self.image if key is None else parse_image(self.objects[key])
        return [n for n, held in self.held.items() if _revision(held.entries.get(image.key)) == image.revision]

    def busy(self) -> int:
        """Nodes that are at work for the first image."""
        return sum(place.busy for place in self.places(self.image))

    def agents(self, state: Callable[[str], str] = lambda _: "Ready") -> None:
        """Each agent that is heard ends what it was asked for; `state` says how, by node."""
        for name, held in self.held.items():
            if name in self.nodes and self.nodes[name].alive:
                for key in held.entries:
                    self.report(name, state(name), key)

    def settle(self, rounds: int = 60) -> int:
        """Decide and let the agents work until nothing is left to do; the most nodes that were at work at once."""
        most = 0
        for _ in range(rounds):
            written = self.decide()
            most = max(most, self.busy())
            self.agents()
            self.now += 1
            if not written and not self.decide():
                return most
        raise AssertionError(f"no rest after {rounds} rounds")


def _revision(entry: NodeImage | None) -> str:
    return entry.revision if entry is not None else ""
