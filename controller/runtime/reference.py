"""Image references, normalised as Docker does (distribution/reference: `nginx` is `docker.io/library/nginx:latest`)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from controller.runtime.port import InvalidReference

_DOMAIN: Final = re.compile(
    r"^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$"
)
_PATH: Final = re.compile(r"^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$")
_TAG: Final = re.compile(r"^\w[\w.-]{0,127}$", re.ASCII)
_DIGEST: Final = re.compile(r"^sha256:[a-f0-9]{64}$|^sha512:[a-f0-9]{128}$")
_MOST_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed and normalised image reference."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Domain and path."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """As people write it for Docker: without the registry and the folder that it adds."""
        return str(self).removeprefix("docker.io/").removeprefix("library/") if self.domain == "docker.io" else str(self)

    def __str__(self) -> str:
        """The normalised reference, as the runtime stores it."""
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Parse and normalise a reference.

    Raises:
        InvalidReference: naming the part that is wrong.
    """
    rest, _, digest = text.partition("@")
    if digest and not _DIGEST.fullmatch(digest):
        raise InvalidReference(f"image {text!r}: {digest!r} is not a digest (sha256: and 64 hex digits)")
    if "@" in text and not digest:
        raise InvalidReference(f"image {text!r}: nothing follows the '@'")
    domain, path = _split_domain(rest)
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise InvalidReference(f"image {text!r}: {tag!r} is not a tag (letters, digits, '_', '.', '-'; at most 128)")
    if not _DOMAIN.fullmatch(domain):
        raise InvalidReference(f"image {text!r}: {domain!r} is not a registry (host or host:port)")
    if domain == "docker.io" and path and "/" not in path:
        path = f"library/{path}"
    if not _PATH.fullmatch(path):
        raise InvalidReference(
            f"image {text!r}: {path!r} is not a repository name "
            "(lower case letters and digits, separated by '.', '_', '-' or '/')"
        )
    if len(domain) + 1 + len(path) > _MOST_NAME:
        raise InvalidReference(f"image {text!r}: its name is longer than {_MOST_NAME} characters")
    return Reference(domain, path, tag or ("" if digest else "latest"), digest)


def distinct(texts: Iterable[str]) -> tuple[Reference, ...]:
    """Parse several, at least one; those that mean the same become one.

    Raises:
        InvalidReference: also when there is none.
    """
    found = tuple(dict.fromkeys(map(parse, texts)))
    if not found:
        raise InvalidReference("no image is named")
    return found


def tagged(text: str) -> Reference:
    """Parse the name that an image is given in a registry.

    Raises:
        InvalidReference: also when it names a digest, which a registry gives and nobody chooses.
    """
    found = parse(text)
    if found.digest:
        raise InvalidReference(f"image {text!r}: a push goes to a tag, not to a digest")
    return found


def _split_domain(text: str) -> tuple[str, str]:
    """The first component is a registry only if it looks like one: it has a dot, a port, upper case, or is localhost."""
    first, slash, rest = text.partition("/")
    if not slash or not (set(first) & {".", ":"} or first == "localhost" or first != first.lower()):
        return "docker.io", text
    return ("docker.io" if first == "index.docker.io" else first), rest
