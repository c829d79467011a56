"""Which credentials are for an image, by Kubernetes' rules. Pure.

Source: kubernetes.io, "Images: Interpretation of config.json", and Kubernetes' pkg/credentialprovider, whose tables of tests
the tests here go through. Parts of a host may be globs (`*.example.com`), a path is a prefix, a port has to be the same; the
longer of two that match comes first, and of one key all are tried, in the order of their sources.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from controller.runtime.port import Credential

DOCKER_HUB: Final = "index.docker.io"
"""Key that is for Docker Hub under all of its names, when nothing else matches."""

_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.*~!$&'()+,;=-]*)(?::\d*)?", re.ASCII)
_API: Final = re.compile(r"^/v[12](?=/)")


@dataclass(frozen=True, slots=True)
class SecretId:
    """A Secret as it is known beyond its content."""

    namespace: str
    name: str
    uid: str = ""
    """Empty while it is not known."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Credentials that may open an image."""

    credential: Credential
    said: str
    """Where they are from, for people."""
    secret: SecretId | None = None
    """The Secret that they are from; None: they are the node's, for all that is on it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where credentials are from, and which there are."""

    entries: Mapping[str, Credential] = field(repr=False)
    said: str
    secret: SecretId | None = None


def lookup(sources: Sequence[Source], repository: str) -> tuple[Candidate, ...]:
    """The credentials for an image, the first to be tried first.

    Args:
        sources: of which the earlier go first where their keys are equal.
        repository: registry and path, without tag and digest (`docker.io/library/nginx`).
    """
    ring: dict[str, list[Candidate]] = {}
    for source in sources:
        for key, credential in source.entries.items():
            place = location(key)
            if place is not None:
                ring.setdefault(place, []).append(Candidate(credential, source.said, source.secret))
    found = [candidate for place in sorted(ring, reverse=True) if matches(place, repository) for candidate in ring[place]]
    if not found and _of_docker_hub(repository):
        found = ring.get(DOCKER_HUB, [])
    return tuple(found)


def location(key: str) -> str | None:
    """What a key of a config stands for, without scheme and API version; None for one that can stand for nothing."""
    parsed = _parsed(re.sub(r"^https?://", "", key))
    if parsed is None:
        return None
    host, path = parsed
    path = _API.sub("", path)
    return host if path in {"", "/"} else host + path


def matches(pattern: str, target: str) -> bool:
    """Whether a target is within a pattern; both without a scheme."""
    wanted, given = _parsed(pattern), _parsed(target)
    if wanted is None or given is None:
        return False
    (names, port), (others, other_port) = _split(wanted[0]), _split(given[0])
    if port != other_port or len(names) != len(others) or not given[1].startswith(wanted[1]):
        return False
    return all(fnmatchcase(other, name) for name, other in zip(names, others, strict=True))


@lru_cache(maxsize=1024)
def _parsed(url: str) -> tuple[str, str] | None:
    """Host with port, and path, of a URL without a scheme (RFC 3986); None when it is none."""
    rest = re.split(r"[?#]", url, maxsplit=1)[0]
    if any(ord(c) < ord(" ") or c == "\x7f" for c in url):
        return None
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    if not _HOST.fullmatch(host):
        return None
    return host, unquote(slash + path)


def _split(host: str) -> tuple[list[str], str]:
    """The parts of a host's name, and its port."""
    match = re.fullmatch(r"\[(.*)\]:(\d*)|([^:]*):(\d*)", host)
    if match is None:
        return host.split("."), ""
    return (match[1] if match[1] is not None else match[3]).split("."), match[2] or match[4] or ""


def _of_docker_hub(repository: str) -> bool:
    """Whether Docker takes the name for one of Docker Hub."""
    first, slash, _ = repository.partition("/")
    return bool(first) and (not slash or first in {"docker.io", DOCKER_HUB} or not set(first) & {".", ":"})
