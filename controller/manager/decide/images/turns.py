"""Whose turn it is: which nodes are told next to fetch an image. Pure.

A node has a turn from when it is told until its agent says that the image is there, or cannot be got. One that cannot get it
goes on trying by itself and holds up nobody; nor does one that is not heard any more.
"""

from collections.abc import Iterable, Sequence

from controller.manager.decide.availability import portion
from controller.manager.decide.images.values import Image, Place, Standing
from controller.manager.decide.placement import selects
from controller.manager.decide.values import Node


def named(image: Image, nodes: Iterable[Node]) -> list[Node]:
    """The nodes that are to have it, whatever their present state, as a Global workload has them."""
    return [node for node in nodes if selects(node, image.spec.placement) is None]


def limit(image: Image, wanted: int) -> int:
    """How many nodes may have a turn at once, of so many that are to have it."""
    return portion(image.spec.parallelism, wanted)


def give(image: Image, places: Sequence[Place]) -> tuple[str, ...]:
    """The nodes that get a turn now.

    Args:
        image: what they are to fetch.
        places: all nodes that are to have it.
    """
    if image.invalid:
        return ()
    free = limit(image, len(places)) - sum(place.busy for place in places)
    waiting = [place for place in places if place.standing(image) is Standing.WAITING and _can(place)]
    told = [place.node.name for place in waiting if place.busy]  # with an older revision: nothing is gained by its going on
    rested = [place.node.name for place in waiting if not place.busy]
    return (*told, *sorted(rested)[: max(free, 0)])


def _can(place: Place) -> bool:
    return place.speaks and place.node.ready and not place.node.pressed
