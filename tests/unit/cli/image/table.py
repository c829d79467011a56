"""A node's images as values: one of everything that a list has to show."""

from typing import Any

from controller.agent.decide.observation import Desired
from controller.api import labels
from controller.api.nodeimages import NodeImage
from controller.cli.image.local import Local, join
from controller.cli.inventory import Inventory, Known
from controller.runtime.port import ContainerState, ImageName, ImageState, Phase
from tests.unit.cli.world import NOW, instance

WEB = "registry.test/team/web:1.2"
OLD = "registry.test/team/web:1.1"
DATA = "docker.io/library/data:7"
LONG = "registry.example.com:5000/a/rather/long/path/to/an/image:2026.11.24"
HALF = "quay.io/team/half:1"
BY_DIGEST = "ghcr.io/team/web@sha256:" + "d" * 64
EARLY = "registry.test/team/early:1"


def digest(letter: str) -> str:
    """A digest of one digit."""
    return "sha256:" + letter * 64


NAMES = (
    ImageName(WEB, digest("a"), NOW - 90),
    ImageName(OLD, digest("b"), NOW - 3 * 86400),
    ImageName(DATA, digest("c"), NOW - 3600),
    ImageName(BY_DIGEST, digest("d"), NOW - 7200),
    ImageName(LONG, digest("e"), NOW - 400 * 86400),
    ImageName(HALF, digest("f"), NOW - 5),
    ImageName(EARLY, digest("a"), NOW - 30),
)


def state(name: ImageName, size: int, platform: str = "linux/amd64") -> ImageState:
    """It is complete."""
    return ImageState(name.name, name.digest, size, since=name.since, platform=platform, created_at=NOW - 86400)


STATES = (
    state(NAMES[0], 41_943_040),
    state(NAMES[1], 950_000),
    state(NAMES[2], 1_234_567_890),
    state(NAMES[3], 4_400_000, "linux/arm64/v8"),
    state(NAMES[4], 512),
    state(NAMES[6], 41_943_040),
)


def container(name: str, image: str, of: str, *, owner: str = "web-0") -> ContainerState:
    """A container that was made of an image when its name meant that digest."""
    return ContainerState(f"{owner}.{name}", Phase.RUNNING, {labels.CONTAINER: name}, image, of)


VOLUME: dict[str, Any] = {
    "volumes": [{"name": "data", "image": {"reference": "data:7"}}],
    "initContainers": [
        {"name": "fill", "image": WEB, "command": ["fill"], "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    ],
}

INVENTORY = Inventory(
    (
        Known(
            "1",
            "shop",
            "web-0",
            Desired(instance("web-0", namespace="shop", image=WEB, **VOLUME)),
            (container("main", WEB, digest("a")), container("side", WEB, digest("b"))),
        ),
        Known("2", "shop", "late-0", Desired(instance("late-0", namespace="shop", image=OLD))),
        Known("", "", "by-hand", None, (container("by-hand", LONG, digest("e"), owner="hand"),)),
    ),
    has_state=True,
)

PINS = (
    NodeImage(namespace="shop", name="web", image=WEB, revision="1"),
    NodeImage(namespace="shop", name="nice-to-have", image=EARLY, revision="1", pin=False),
    NodeImage(namespace="shop", name="missing", image="registry.test/team/missing:1", revision="1"),
)


def images() -> dict[str, Local]:
    """All of it, joined, by name."""
    return {local.name.name: local for local in join(NAMES, STATES, INVENTORY, PINS)}
