"""What one node is asked for: the images whose turn has come there, as they are now. Pure."""

from collections.abc import Callable, Mapping, Sized

from controller.api.nodeimages import MOST_IMAGES, NodeImage
from controller.manager.decide.images.values import Image
from controller.manager.decide.placement import selects
from controller.manager.decide.values import Key, Node


def fits(entries: Sized) -> bool:
    """Whether a node that is asked for these takes one more."""
    return len(entries) < MOST_IMAGES


def listing(
    node: Node,
    before: Mapping[Key, NodeImage],
    find: Callable[[Key], Image | None],
    turns: Mapping[Key, str],
) -> tuple[NodeImage, ...]:
    """All that the node is asked for, by namespace and name.

    Args:
        node: the node.
        before: what it was asked for so far.
        find: the ContainerImage of that name, or None when there is none.
        turns: the images that have got a turn there, and for which revision.
    """
    kept: dict[Key, NodeImage] = {}
    for key, entry in before.items():
        image = find(key)
        if image is None or image.deleting or selects(node, image.spec.placement) is not None:
            continue
        current = image.revision in {entry.revision, turns.get(key)} and not image.invalid
        kept[key] = image.entry() if current else entry  # what it has stays until it is its turn for something else
    for key, revision in sorted(turns.items()):
        image = find(key)
        if key in kept or image is None or image.deleting or image.invalid or image.revision != revision:
            continue
        if selects(node, image.spec.placement) is None and fits(kept):
            kept[key] = image.entry()
    return tuple(kept[key] for key in sorted(kept))
