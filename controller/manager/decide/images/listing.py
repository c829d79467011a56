"""What one node is asked for: the images whose turn has come there, as they are now. Pure."""

from collections.abc import Callable, Collection, Mapping
from typing import Final

from controller.api.nodeimages import MOST_BYTES, MOST_IMAGES, NodeImage
from controller.manager.decide.images.pushes import Pusher
from controller.manager.decide.images.values import Image
from controller.manager.decide.placement import selects
from controller.manager.decide.values import Key, Node

_FRAME_BYTES: Final = 160
"""Names of fields, quotes and commas of one entry."""


def weight(entry: NodeImage) -> int:
    """About how many bytes it takes."""
    pushes = [text for push in entry.push for text in (push.image, *push.secrets)]
    texts = (*pushes, entry.namespace, entry.name, entry.image, entry.archive, *entry.pull_secrets)
    return _FRAME_BYTES + sum(len(text) + 3 for text in texts)


def fits(entry: NodeImage, others: Collection[NodeImage]) -> bool:
    """Whether a node takes it beside the others."""
    return len(others) < MOST_IMAGES and sum(map(weight, others)) + weight(entry) <= MOST_BYTES


def listing(
    node: Node,
    before: Mapping[Key, NodeImage],
    find: Callable[[Key], Image | None],
    turns: Mapping[Key, str],
    pushers: Mapping[Key, Pusher],
) -> tuple[NodeImage, ...]:
    """All that the node is asked for, by namespace and name.

    Args:
        node: the node.
        before: what it was asked for so far.
        find: the ContainerImage of that name, or None when there is none.
        turns: the images that have got a turn there, and for which revision.
        pushers: who pushes what, of the images for which that has been decided.
    """
    kept: dict[Key, NodeImage] = {}
    for key, entry in before.items():
        image = find(key)
        if image is None or image.deleting or selects(node, image.spec.placement) is not None:
            continue
        current = image.revision in {entry.revision, turns.get(key)} and not image.invalid
        push = pushers[key].of(node.name) if key in pushers else entry.push
        # what it has stays until it is its turn for something else
        fresh = image.entry(push) if current else entry.model_copy(update={"push": push})
        kept[key] = fresh if weight(fresh) <= weight(entry) or fits(fresh, _others(before, key)) else entry
    for key, revision in sorted(turns.items()):
        image = find(key)
        if key in kept or image is None or image.deleting or image.invalid or image.revision != revision:
            continue
        if selects(node, image.spec.placement) is None and fits(image.entry(), kept.values()):
            kept[key] = image.entry()
    return tuple(kept[key] for key in sorted(kept))


def _others(entries: Mapping[Key, NodeImage], but: Key) -> list[NodeImage]:
    return [entry for key, entry in entries.items() if key != but]
