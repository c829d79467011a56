"""From what somebody typed to one image of this node. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from controller.cli.errors import CommandError
from controller.runtime.port import ImageName, InvalidReference
from controller.runtime.reference import Reference, parse

_DIGITS: Final = re.compile(r"(?:sha(?:256|512):)?([0-9a-f]{4,128})")


def image(text: str, names: Sequence[ImageName]) -> ImageName:
    """The one image that is meant by a name, as people write it, or by the beginning of a digest.

    Raises:
        CommandError: listing the candidates when more than one fits, or what comes near when none does.
    """
    exact = next((name for name in names if name.name == text), None)
    reference = _parsed(text)
    if exact is None and reference is not None:
        exact = next((name for name in names if name.name == str(reference)), None)
    if exact is not None:
        return exact
    found = _by_digest(text, names)
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(f"{text!r} fits more than one image; say which:\n{_listed(found)}")
    near = [name for name in names if reference is not None and _repository(name.name) == reference.name]
    if near:
        raise CommandError(f"no image {str(reference)!r} on this node; of that repository there are:\n{_listed(near)}")
    raise CommandError(f"no image {text!r} on this node (moorage image ls shows what there is)")


def _by_digest(text: str, names: Iterable[ImageName]) -> list[ImageName]:
    match = _DIGITS.fullmatch(text)
    return [name for name in names if match and name.digest.partition(":")[2].startswith(match[1])]


def _repository(name: str) -> str:
    reference = _parsed(name)
    return reference.name if reference is not None else ""


def _parsed(text: str) -> Reference | None:
    try:
        return parse(text)
    except InvalidReference:
        return None


def _listed(names: Iterable[ImageName]) -> str:
    return "\n".join(f"  {name.name}" for name in names)
