"""Who pushes an image to where: one node that has it, and what came of it. Pure.

A node keeps the task for as long as it is ready and has the image; a push that fails is tried again by the same node, since a
registry that refuses one refuses all. What was pushed once, of a revision and a digest, is told in the image's status, and is
pushed again by nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.api.image import ImagePushStatus
from controller.api.nodeimages import NodePush, NodePushStatus
from controller.api.reasons import Reason
from controller.manager.decide.images.values import Image, Place, Standing, Target


@dataclass(frozen=True, slots=True)
class Pusher:
    """Who pushes, and what."""

    node: str = ""
    """Empty: nobody."""
    pushes: tuple[NodePush, ...] = ()

    def of(self, node: str) -> tuple[NodePush, ...]:
        """What a node is to push."""
        return self.pushes if node == self.node else ()


def assign(image: Image, places: Sequence[Place]) -> Pusher:
    """Who pushes what now.

    Args:
        image: with its status as it is told.
        places: all nodes that are to have it.
    """
    left = [target for target in image.targets if not target.invalid and _done(image, places, target) is None]
    able = sorted((p for p in places if p.node.ready and _has(image, p)), key=lambda p: p.node.name)
    if not left or not able:
        return Pusher()
    chosen = next((place for place in able if place.entry is not None and place.entry.push), able[0])
    return Pusher(chosen.node.name, tuple(NodePush(image=target.name, secrets=target.secrets) for target in left))


def told(image: Image, places: Sequence[Place]) -> tuple[ImagePushStatus, ...]:
    """How far each of the pushes is."""
    return tuple(_told(image, places, target) for target in image.targets)


def _told(image: Image, places: Sequence[Place], target: Target) -> ImagePushStatus:
    if target.invalid:
        return ImagePushStatus(image=target.name, state="Failed", reason=Reason.INVALID_IMAGE_NAME, message=target.invalid)
    if done := _done(image, places, target):
        return done
    reports = [(place, report) for place in places if (report := _report(image, place, target)) is not None]
    if not reports:
        return ImagePushStatus(image=target.name, state="Pending")
    place, report = min(reports, key=_order)
    return ImagePushStatus(
        image=target.name,
        state=report.state,
        node=place.node.name,
        revision=image.revision,
        source=report.source,
        digest=report.digest,
        reason=report.reason or (Reason.ERR_IMAGE_PUSH if report.state == "Failed" else ""),
        message=report.message,
        since=report.since,
    )


def _order(told: tuple[Place, NodePushStatus]) -> tuple[bool, bool, str]:
    """Whose report counts first: who has pushed it, then who is to. A node that was lost may tell of a try long ago."""
    place, report = told
    return report.state != "Pushed", place.entry is None or not place.entry.push, place.node.name


def _done(image: Image, places: Sequence[Place], target: Target) -> ImagePushStatus | None:
    """What the status tells of a push that is done: of this revision, and of what some node has, if any has it."""
    there = {place.report.digest for place in places if place.report is not None and _has(image, place)}
    for push in image.status.pushes:
        if (push.image, push.state, push.revision) == (target.name, "Pushed", image.revision):
            return push if not there or push.source in there else None
    return None


def _has(image: Image, place: Place) -> bool:
    return place.standing(image) is Standing.READY


def _report(image: Image, place: Place, target: Target) -> NodePushStatus | None:
    """What a node says of a push of what it has now."""
    if place.report is None or not _has(image, place):
        return None
    found = (push for push in place.report.pushes if push.image == target.name and push.source == place.report.digest)
    return next(found, None)
