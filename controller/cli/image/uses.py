"""Who uses an image: containers, instances that name it, ContainerImages that pin it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.agent.decide.imagerefs import image_references
from controller.api.nodeimages import NodeImage
from controller.cli.inventory import Inventory, Known, container_name
from controller.runtime.port import ContainerState, ImageName, InvalidReference
from controller.runtime.reference import parse


@dataclass(frozen=True, slots=True)
class Uses:
    """Who uses one image."""

    containers: tuple[str, ...] = ()
    """`namespace/instance/container`; the id of one that no agent made."""
    instances: tuple[str, ...] = ()
    """`namespace/name` of those that are to run it, or have it as a volume, and have no container of it."""
    pinned_by: tuple[str, ...] = ()
    """`namespace/name` of ContainerImages."""

    def __bool__(self) -> bool:
        return bool(self.containers or self.instances or self.pinned_by)

    @property
    def summary(self) -> str:
        """In few words, for a column: `2 containers, pinned`."""
        counted = [_counted(len(self.containers), "container"), _counted(len(self.instances), "instance")]
        return ", ".join(filter(None, [*counted, "pinned" if self.pinned_by else ""])) or "-"


def uses(names: Sequence[ImageName], inventory: Inventory, pins: Iterable[NodeImage]) -> dict[str, Uses]:
    """The uses of each image, by its name."""
    digests = {name.name: name.digest for name in names}
    containers: dict[str, list[str]] = {name: [] for name in digests}
    instances: dict[str, list[str]] = {name: [] for name in digests}
    pinned: dict[str, list[str]] = {name: [] for name in digests}
    for known in inventory.instances:
        made_of: set[str] = set()
        for container in known.containers:
            for name in _made_of(container, digests):
                containers[name].append(f"{known.full_name}/{container_name(container)}" if known.uid else container.id)
                made_of.add(name)
        for name in _wanted(known) - made_of:
            if name in digests:
                instances[name].append(known.full_name)
    for pin in pins:
        if pin.pin and pin.image in digests:
            pinned[pin.image].append(f"{pin.namespace}/{pin.name}")
    return {name: Uses(tuple(containers[name]), tuple(instances[name]), tuple(pinned[name])) for name in digests}


def refusal(name: str, found: Uses) -> str | None:
    """Why an image is not to be removed, and what can be done; None when nothing uses it."""
    if found.containers:
        others = len(found.containers) - 1
        more = f" and {_counted(others, 'other')}" if others else ""
        first, after = "delete or suspend what runs it first", "what runs goes on; what is made anew fetches it again"
        return f"{name} is used by container {found.containers[0]}{more}: {first}, or say --force ({after})"
    if found.instances:
        return f"{name} is wanted by instance {found.instances[0]}: delete that first, or say --force (it is fetched again)"
    if found.pinned_by:
        pinned = f"{name} is pinned by ContainerImage {found.pinned_by[0]}"
        return f"{pinned}: delete that first, or say --force (the agent fetches it again)"
    return None


def _made_of(container: ContainerState, digests: Mapping[str, str]) -> Iterator[str]:
    """The names of the image that a container is made of: its own, and all of that content where the name means another now."""
    own = digests.get(container.image)
    if own is not None:
        yield container.image
    if own != container.image_digest:
        yield from (name for name, digest in digests.items() if digest == container.image_digest and name != container.image)


def _wanted(known: Known) -> set[str]:
    """The normalised names of all images in an instance's spec."""
    if known.desired is None:
        return set()
    return {name for text in image_references(known.desired.instance.spec) if (name := _normalised(text))}


def _normalised(text: str) -> str:
    try:
        return str(parse(text))
    except InvalidReference:
        return ""


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}" if number else ""
