"""The frozen values that are decided on: images, and what each node is asked for and says. Pure."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.api.conditions import READY, Condition, find
from controller.api.image import ContainerImage, ImageSpec, ImageStatus
from controller.api.nodeimages import NodeImage, NodeImages, NodeImageStatus, NodePush
from controller.manager.decide.values import Key, Node, digest
from controller.runtime import reference
from controller.runtime.port import InvalidReference

STEP: Final = 10
"""Percent between two things that are told of a pull: what is in between is left to the NodeImages, so that how far they are
costs an image at most so many writes as there are steps."""


@dataclass(frozen=True, slots=True)
class Target:
    """A place that an image is pushed to."""

    name: str
    """The normalised reference; as it is written, when it is none."""
    invalid: str
    """Why it is no reference; empty when it is one."""
    secrets: tuple[str, ...]
    """Names of the Secrets with credentials."""


@dataclass(frozen=True, slots=True)
class Image:
    """A ContainerImage."""

    key: Key
    uid: str
    generation: int
    deleting: bool
    spec: ImageSpec
    status: ImageStatus
    told: Mapping[str, Any]
    """The status as the API server has it, fields that were never written being absent."""
    name: str
    """The normalised reference; empty when it is none."""
    invalid: str
    """Why it is no reference; empty when it is one."""
    revision: str
    """16 hex digits over what has nodes fetch it, or ask for it, once more."""
    targets: tuple[Target, ...]
    """Where it is pushed to, each place once."""

    def entry(self, push: tuple[NodePush, ...] = ()) -> NodeImage:
        """What a node is asked for, of which `push` is what this one is to push."""
        return NodeImage(
            namespace=self.key.namespace,
            name=self.key.name,
            image=self.name,
            revision=self.revision,
            pin=self.spec.pin,
            pull_secrets=tuple(secret.name for secret in self.spec.pull_secrets),
            pull_policy=self.spec.pull_policy,
            push=push,
            archive=self.spec.source.archive if self.spec.source is not None else "",
        )


@dataclass(frozen=True, slots=True)
class Held:
    """A NodeImages."""

    name: str
    uid: str
    entries: Mapping[Key, NodeImage] = field(default_factory=dict)
    """What the node is asked for."""
    reports: Mapping[Key, NodeImageStatus] = field(default_factory=dict)
    """What its agent says of it."""
    pulled: Mapping[Key, int] = field(default_factory=dict)
    """Of images that are being pulled, how many percent are there, in steps; how far they are is not in the reports."""
    speaks: bool = False
    """Whether an agent has ever said anything: one of an older release never does."""


class Standing(enum.Enum):
    """How far a node is with an image."""

    WAITING = "waiting"
    """Its turn has not come."""
    PULLING = "pulling"
    """It was told to, and has not ended."""
    READY = "ready"
    REMOVED = "removed"
    FAILED = "failed"


_STANDINGS = {
    "Pulling": Standing.PULLING,
    "Ready": Standing.READY,
    "Removed": Standing.REMOVED,
    "Failed": Standing.FAILED,
}


@dataclass(frozen=True, slots=True)
class Place:
    """One node that is to have an image, as that image sees it."""

    node: Node
    speaks: bool = False
    """Whether its agent knows of images at all."""
    entry: NodeImage | None = None
    """What the node is asked for."""
    report: NodeImageStatus | None = None
    """What its agent says, but for how far a pull is."""
    pulled: int = 0
    """How many percent are there of what it pulls, in steps."""
    given: str = ""
    """The revision that it was given a turn for, which is not written yet."""
    full: bool = False
    """It takes no further image."""

    @property
    def busy(self) -> bool:
        """Whether it is at work for this image, be it for a revision that is of yesterday. Who is not heard is not."""
        if not self.node.ready:
            return False
        return bool(self.given) or (self.entry is not None and _ended(self.entry.revision, self.report) is None)

    def standing(self, image: Image) -> Standing:
        """How far it is with the image as it is now."""
        if self.given == image.revision:
            return Standing.PULLING
        if self.entry is None or self.entry.revision != image.revision:
            return Standing.FAILED if self.full and self.entry is None else Standing.WAITING
        return _ended(image.revision, self.report) or Standing.PULLING


def _ended(revision: str, report: NodeImageStatus | None) -> Standing | None:
    """How it ended, for now; None while it has not."""
    if report is None or report.revision != revision:
        return None
    found = _STANDINGS[report.state]
    return None if found is Standing.PULLING else found


def parse_image(obj: Mapping[str, Any]) -> Image:
    """An image from its API object. Raises `pydantic.ValidationError`."""
    model = ContainerImage.model_validate(obj)
    meta, spec = model.metadata, model.spec
    name, invalid = _parsed(spec.image)
    again = [spec.pull_policy, spec.refreshed_at] if spec.pull_policy == "Always" else []
    return Image(
        key=Key(meta.namespace, meta.name),
        uid=meta.uid,
        generation=meta.generation,
        deleting=meta.deletion_timestamp is not None,
        spec=spec,
        status=model.status,
        told=obj.get("status") or {},
        name=name,
        invalid=invalid,
        targets=_targets(spec),
        revision=digest([meta.uid, name, *again, *([spec.source.archive] if spec.source is not None else [])]),
    )


def _parsed(image: str) -> tuple[str, str]:
    """The normalised name, or why there is none."""
    try:
        return str(reference.parse(image)), ""
    except InvalidReference as exc:
        return "", str(exc)


def _targets(spec: ImageSpec) -> tuple[Target, ...]:
    found: dict[str, Target] = {}
    for push in spec.push:
        name, invalid = _parsed(push.image)
        found.setdefault(name or push.image, Target(name or push.image, invalid, tuple(one.name for one in push.secrets)))
    return tuple(found.values())


def parse_held(obj: Mapping[str, Any]) -> Held:
    """What a node is asked for and says, from its API object. Raises `pydantic.ValidationError`."""
    model = NodeImages.model_validate(obj)
    reports = {Key(r.namespace, r.name): r for r in model.status.images}
    told: Condition | None = find(model.status.conditions, READY)
    return Held(
        name=model.metadata.name,
        uid=model.metadata.uid,
        entries={Key(e.namespace, e.name): e for e in model.spec.images},
        reports={key: r.model_copy(update={"pull": None}) for key, r in reports.items()},
        pulled={key: r.pull.percent // STEP * STEP for key, r in reports.items() if r.pull is not None},
        speaks=told is not None,
    )
