"""Which images an archive holds for a node, and what they are called. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.runtime.platforms import NOTHING, Platform, choose, offered, offers
from controller.runtime.port import ImageFailure, InvalidReference, PlatformMissing
from controller.runtime.reference import parse

IMAGE_NAME: Final = "io.containerd.image.name"
"""Annotation of an entry with its name in full, as containerd and Docker write it."""

REF_NAME: Final = "org.opencontainers.image.ref.name"
"""Annotation with a name in full or a tag alone (OCI image-spec, annotations.md)."""

_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1+"
_MOST_NAMED: Final = 5
"""Names that a message has at most."""

Entry = Mapping[str, Any]
"""An entry of an archive's index: a descriptor of the OCI image-spec."""


@dataclass(frozen=True, slots=True)
class Named:
    """An image of an archive."""

    name: str
    """Normalised reference."""
    entry: Entry
    """What it points at."""


def images_of(entries: Sequence[Entry], name: str, node: Platform, path: str) -> tuple[Named, ...]:
    """The images of an archive, by the names that they get on a node.

    Args:
        entries: of the archive's index.
        name: for the one image that is in it, whatever it is called there; empty: as it is called there.
        node: what they are to be for, where there are several of a name.
        path: of the archive, for messages.

    Raises:
        ImageFailure: when there is none, one has no name, or there are several for `name`; `PlatformMissing`,
            `InvalidReference`.
    """
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if str(entry.get("mediaType", "")).startswith(_SCHEMA_1):
            raise ImageFailure(
                f"archive {path} has a manifest of Docker schema 1, which is not supported: have it saved by a newer Docker"
            )
        if offered(entry) == NOTHING or offers([entry]):  # else it is for no platform: an attestation
            found.setdefault(_name_of(entry, path), []).append(entry)
    if not found:
        raise ImageFailure(f"archive {path} holds no image")
    images = {called: _fitting(several, node, called, path) for called, several in found.items()}
    if name:
        return (Named(str(parse(name)), _only(images, path)),)
    if "" in images:
        raise ImageFailure(
            f"archive {path} does not say what its image is called: give it a name"
            if len(images) == 1
            else f"archive {path} does not say what one of its images is called: have it saved by names alone"
        )
    return tuple(Named(called, image) for called, image in images.items())


def _name_of(entry: Entry, path: str) -> str:
    """What an image is called, normalised; empty when nothing says so but a tag."""
    annotations = entry.get("annotations") or {}
    name = str(annotations.get(IMAGE_NAME) or annotations.get(REF_NAME) or "")
    if not set(name) & set("/:@"):
        return ""
    try:
        return str(parse(name))
    except InvalidReference as exc:
        raise InvalidReference(f"archive {path} gives an image a name that is none: {exc}") from exc


def _fitting(entries: Sequence[Entry], node: Platform, name: str, path: str) -> Entry:
    """The one of a name that is for a node; one that does not say what it is for is looked into later."""
    unsaid = [entry for entry in entries if offered(entry) == NOTHING]
    found = choose(entries, node) or next(iter(unsaid), None)
    if found is None:
        raise PlatformMissing(
            f"archive {path}: image {name or 'without a name'} has nothing for this node's platform {node}; it has "
            + ", ".join(map(str, offers(entries)))
        )
    return found


def _only(images: Mapping[str, Entry], path: str) -> Entry:
    targets = {str(entry.get("digest")): entry for entry in images.values()}
    if len(targets) > 1:
        named = sorted(name or "one without a name" for name in images)
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        raise ImageFailure(
            f"archive {path} holds {len(targets)} images, for which one name is not enough: "
            f"{', '.join(named[:_MOST_NAMED])}{more}"
        )
    return next(iter(targets.values()))
