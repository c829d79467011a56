"""ContainerImages and NodeImages in memory: parsed, indexed, and never older than what this manager has itself been told."""

from collections.abc import Mapping
from typing import Any

from controller.api.nodeimages import NodeImage
from controller.manager.cache import Versions
from controller.manager.decide.images.listing import fits
from controller.manager.decide.images.pushes import Pusher
from controller.manager.decide.images.values import Held, Image, Place, parse_held, parse_image
from controller.manager.decide.values import Key, Node

Object = Mapping[str, Any]


class ImageCache:
    """What is asked of nodes, and what they say."""

    def __init__(self) -> None:
        self.images: dict[Key, Image] = {}
        self.held: dict[str, Held] = {}
        """What each node is asked for, by node."""
        self._last: dict[str, Mapping[Key, NodeImage]] = {}
        """What nodes were asked for by a NodeImages that went."""
        self._at: dict[Key, set[str]] = {}
        """The nodes that are asked for an image."""
        self._turns: dict[str, dict[Key, str]] = {}
        """By node and image the revision that it has a turn for, which its NodeImages does not say yet."""
        self.pushers: dict[Key, Pusher] = {}
        """Who pushes what, of the images for which that has been decided."""
        self._versions = Versions()

    # --- images

    def put_image(self, obj: Object) -> bool:
        """Take in an image; False when it is not news. Raises `pydantic.ValidationError`."""
        if not self._versions.accept(obj):
            return False
        image = parse_image(obj)
        self.images[image.key] = image
        return True

    def drop_image(self, key: Key, uid: str) -> None:
        """An image is gone."""
        self._versions.drop(uid)
        known = self.images.get(key)
        if known is not None and known.uid == uid:
            del self.images[key]
            self.pushers.pop(key, None)

    def nodes_asked(self, key: Key) -> frozenset[str]:
        """The nodes that are asked for it, or have a turn that is not written yet."""
        pending = (name for name, turns in self._turns.items() if key in turns)
        return frozenset(self._at.get(key, ())) | frozenset(pending)

    # --- nodes

    def put_held(self, obj: Object) -> frozenset[Key] | None:
        """Take in a NodeImages; the images that are to be looked at for it, or None when it is not news.

        Raises:
            pydantic.ValidationError: when it is not understood.
        """
        if not self._versions.accept(obj):
            return None
        held = parse_held(obj)
        before = self.held.get(held.name)
        if before is not None and before.uid != held.uid:
            self._versions.drop(before.uid)
        self._last.pop(held.name, None)
        self._index(held.name, before, held)
        if before is None or before.speaks != held.speaks or len(held.entries) < len(before.entries):
            return frozenset(self.images) | frozenset(held.entries)  # it may be somebody's turn that it was not before
        return _changed(before, held)

    def drop_held(self, name: str, uid: str) -> frozenset[Key]:
        """A NodeImages is gone; the images that are to be looked at for it."""
        self._versions.drop(uid)
        before = self.held.get(name)
        if before is None or before.uid != uid:
            return frozenset()
        self._index(name, before, None)
        self._last[name] = before.entries
        return frozenset(self.images) | frozenset(before.entries)

    def asked(self, name: str) -> Mapping[Key, NodeImage]:
        """What a node is asked for; when its NodeImages went and no other has come yet, what that one said.

        So the one in its place says all of it from the start, and nothing that was pinned is let go of in between.
        """
        held = self.held.get(name)
        return held.entries if held is not None else self._last.get(name, {})

    def forget(self, name: str) -> None:
        """The node is gone."""
        self._last.pop(name, None)

    def _index(self, name: str, before: Held | None, after: Held | None) -> None:
        for key in before.entries if before else ():
            self._at[key].discard(name)
            if not self._at[key]:
                del self._at[key]
        for key in after.entries if after else ():
            self._at.setdefault(key, set()).add(name)
        if after is None:
            del self.held[name]
        else:
            self.held[name] = after

    # --- turns

    def turns(self, name: str) -> dict[Key, str]:
        """The turns of a node that its NodeImages does not say yet."""
        return dict(self._turns.get(name, {}))

    def give(self, name: str, image: Image) -> None:
        """The node has a turn for the image as it is now."""
        self._turns.setdefault(name, {})[image.key] = image.revision

    def written(self, name: str, turns: Mapping[Key, str]) -> None:
        """These turns are written, or came to nothing."""
        left = self._turns.get(name, {})
        for key, revision in turns.items():
            if left.get(key) == revision:
                del left[key]
        if not left:
            self._turns.pop(name, None)

    def place(self, node: Node, image: Image) -> Place:
        """A node as an image sees it."""
        held = self.held.get(node.name)
        given = self._turns.get(node.name, {}).get(image.key, "")
        if held is None:
            return Place(node, given=given)
        entry = held.entries.get(image.key)
        full = entry is None and not fits(image.entry(), held.entries.values())
        return Place(
            node, held.speaks, entry, held.reports.get(image.key), held.pulled.get(image.key, 0), given=given, full=full
        )


def _changed(before: Held, after: Held) -> frozenset[Key]:
    """The images that a node is asked for otherwise, or says something else of."""
    keys = before.entries.keys() | after.entries.keys() | before.reports.keys() | after.reports.keys()
    return frozenset(
        key
        for key in keys
        if before.entries.get(key) != after.entries.get(key)
        or before.reports.get(key) != after.reports.get(key)
        or before.pulled.get(key) != after.pulled.get(key)
    )
