"""Why a pull failed, from what containerd says of registry, network and disk: what, of which image, and what to do.

containerd tells most of it with code UNKNOWN and a text, so the texts are what there is to go by: those of containerd 2.x, its
Docker resolver and Go's net/http, crypto/tls and crypto/x509. A text that is not known is an `ImageFailure` with all of it.
"""

import re
from typing import Final

from controller.runtime.platforms import node_platform
from controller.runtime.port import (
    CredentialsMissing,
    DiskFull,
    ImageDamaged,
    ImageFailure,
    ImageForbidden,
    ImageNotFound,
    NotFound,
    PlatformMissing,
    RateLimited,
    RegistryUnreachable,
    RegistryUntrusted,
    RuntimeFailure,
    Unavailable,
    Unsupported,
)
from controller.runtime.reference import Reference

STATUS: Final = r"unexpected status .*?: {}(?P<said>.*)"
"""How a registry's answer is told that was not expected, by its number."""

Rules = tuple[tuple[re.Pattern[str], type[ImageFailure], str], ...]
"""What texts mean: the first pattern that is found in one; the message has places for what is known and for its groups."""


def rules(*rows: tuple[str, type[ImageFailure], str]) -> Rules:
    """Make rules of their patterns."""
    return tuple((re.compile(pattern, re.IGNORECASE | re.DOTALL), kind, message) for pattern, kind, message in rows)


_OF_PULLS: Final = rules(
    # --- the node
    (
        r"no space left on device|disk quota exceeded",
        DiskFull,
        "image {ref}: no room on the node's disk: free some, or give containerd's folder a larger one",
    ),
    # --- what came
    (
        (
            r"unexpected commit digest|wrong diff id|unexpected commit size|read past expected size|read exceeds expected size"
            r"|failed size validation|offset \d+ exceeds expected size"
        ),
        ImageDamaged,
        (
            "image {ref}: what registry {host} sent is not what its digest says: the registry, or something on the way, "
            "damages it; it is fetched anew ({last})"
        ),
    ),
    (
        r"failed to extract layer .*mkparent \S+: not a directory",
        ImageFailure,
        (
            "image {ref} has a layer that hides files below what is a file in it, which cannot be unpacked (umoci repack makes "
            "such ones of a folder that became a file): have it built anew, the folder removed by a step of its own"
        ),
    ),
    (
        r"no match for platform|no manifest found for platform",
        PlatformMissing,
        "image {ref} has nothing for this node's platform {platform}",
    ),
    (
        # The last is told of a registry that sends no digest: the resolver's own words are lost on their way.
        r"schema ?1 .*(no longer|not) supported|distribution\.manifest\.v1|Transfer not implemented for \S*OCIRegistry to",
        ImageFailure,
        "image {ref} has a manifest of Docker schema 1, which is not supported: have it built or pushed anew",
    ),
    # --- what the registry answers
    (
        r"could not fetch content|content at \S+ not found",
        ImageNotFound,
        "registry {host} lacks a part of image {ref}: have the image pushed anew",
    ),
    (
        STATUS.format("429") + r"|toomanyrequests|too many requests",
        RateLimited,
        (
            "registry {host} takes no more requests for now (429 Too Many Requests), needed for image {ref}: pull with "
            "credentials, or by a mirror"
        ),
    ),
    (
        STATUS.format("401") + r"|401 Unauthorized|no basic auth credentials|missing username or secret|authorization failed"
        r"|pull access denied|failed to fetch (?:anonymous|oauth) token|insufficient_scope|invalid_grant|incorrect username",
        CredentialsMissing,
        (
            "registry {host} wants credentials for image {ref}: name a Secret with them in imagePullSecrets, and check the "
            "image's name, since some registries answer so for what does not exist"
        ),
    ),
    (
        STATUS.format("403") + r"|403 Forbidden",
        ImageForbidden,
        "registry {host} does not permit to pull image {ref} (403 Forbidden): have its owner give the permission",
    ),
)

OF_REGISTRIES: Final = rules(
    # --- what it answers
    (
        STATUS.format("400 Bad Request"),
        RegistryUnreachable,
        (
            "registry {host} does not understand the question for image {ref} (400 Bad Request): it may speak HTTPS where "
            "plain HTTP is spoken with it (see hosts.toml)"
        ),
    ),
    (
        STATUS.format(r"(?=5\d\d)"),
        RegistryUnreachable,
        "registry {host} is out of order, needed for image {ref}: it answered {said}",
    ),
    # --- TLS
    (
        r"server gave HTTP response to HTTPS client",
        RegistryUntrusted,
        "registry {host} speaks plain HTTP where HTTPS is expected, needed for image {ref}: say so in its hosts.toml",
    ),
    (
        r"x509: certificate signed by unknown authority",
        RegistryUntrusted,
        (
            "the certificate of registry {host} is signed by an authority that this node does not know, needed for image "
            "{ref}: name the authority's certificate in the registry's hosts.toml"
        ),
    ),
    (
        r"x509: certificate has expired or is not yet valid",
        RegistryUntrusted,
        "the certificate of registry {host} has expired, or the node's clock is wrong, needed for image {ref}",
    ),
    (
        r"x509: (?P<said>(?:certificate is valid for|certificate is not valid for|cannot validate certificate for)[^\n]*)",
        RegistryUntrusted,
        "the certificate of registry {host} is for another host, needed for image {ref}: {said}",
    ),
    (
        r"tls: (?:certificate required|bad certificate|handshake failure)",
        RegistryUntrusted,
        (
            "registry {host} wants a certificate of this node, or another one, needed for image {ref}: name it in the "
            "registry's hosts.toml ({last})"
        ),
    ),
    (r"(?P<said>(?:x509|tls): .*)$", RegistryUntrusted, "no TLS with registry {host}, needed for image {ref}: {said}"),
    # --- the way there
    (
        r"lookup (?P<said>\S+?)(?: on \S+)?: no such host",
        RegistryUnreachable,
        "registry {host} cannot be reached for image {ref}: the name {said!r} is not known to the node's DNS",
    ),
    (
        r"lookup (?P<said>\S+?)(?: on \S+)?: [^\n]*$",
        RegistryUnreachable,
        "registry {host} cannot be reached for image {ref}: the node's DNS does not answer for {said!r}",
    ),
    (
        r"dial tcp (?P<said>\S+): .*connection refused",
        RegistryUnreachable,
        "registry {host} cannot be reached for image {ref}: connection refused, nothing listens on {said}",
    ),
    (
        r"dial tcp (?P<said>\S+): .*(?:no route to host|network is unreachable)",
        RegistryUnreachable,
        "registry {host} cannot be reached for image {ref}: no route to {said}",
    ),
    (
        r"dial tcp (?P<said>\S+): .*(?:i/o timeout|timed out|deadline exceeded)",
        RegistryUnreachable,
        "registry {host} cannot be reached for image {ref}: no answer from {said}",
    ),
)

_BROKEN: Final = rules(
    (
        (
            r"failed to do request|dial tcp|connection reset|i/o timeout|EOF|context deadline exceeded|broken pipe|short read"
            r"|failed to copy: (?!write )|use of closed network connection|timeout awaiting response headers"
        ),
        RegistryUnreachable,
        "the connection to registry {host} broke while image {ref} was pulled: {last}; what is there already is kept",
    ),
)

_NOT_ACCEPTED: Final = (
    "registry {host} does not accept the credentials for image {ref}: check the Secret in imagePullSecrets, or what else "
    "gives them, and whether they may pull it"
)

_OF_REGISTRY: Final = re.compile(
    "failed to (?:resolve|copy|fetch|do request)|failed open|unexpected status|Transfer not implemented"
)
"""Says that it is no failure of containerd's own."""

_QUOTED: Final = re.compile(r'"[^"]*"')
"""Addresses and names, which hold any text."""

_URL: Final = re.compile(r"https?://(?P<host>[^/\s\"]+)")


def image_failure(failure: RuntimeFailure, reference: Reference, *, shown: bool = False) -> RuntimeFailure:
    """What a failure to pull means. `shown`: the registry was shown credentials."""
    meant = explained(failure, reference, (*_OF_PULLS, *OF_REGISTRIES, *_BROKEN), _NOT_ACCEPTED if shown else "")
    if isinstance(failure, NotFound) and type(meant) is ImageFailure:
        return not_found(reference, None)
    return meant


def explained(failure: RuntimeFailure, reference: Reference, known: Rules, not_accepted: str) -> RuntimeFailure:
    """What a failure of a registry means.

    Args:
        failure: as containerd told it; what is of containerd itself is returned as it is.
        reference: of the image in the registry.
        known: what texts mean, the first that fits.
        not_accepted: the message when the registry has been shown credentials and wants others; empty: as `known` says.

    Returns:
        An `ImageFailure` with all of the text when none fits.
    """
    text = str(failure)
    if isinstance(failure, Unavailable | Unsupported) and not _OF_REGISTRY.search(text):
        return failure
    words = {"ref": str(reference), "host": _asked(text, reference), "last": text.rpartition(": ")[2]}
    words["platform"] = str(node_platform())
    # A name or an address may hold any text; the rules that quote need what is quoted, and are about what comes after.
    bare = _QUOTED.sub('""', text).replace(str(reference), "")
    for pattern, kind, message in known:
        if match := pattern.search(bare):
            said = not_accepted if not_accepted and kind is CredentialsMissing else message
            groups = {name: value.strip() for name, value in match.groupdict(default="").items()}
            return kind(said.format(**words, **groups))
    return ImageFailure(f"image {reference}: {text}")


_OF_CONTENT: Final = re.compile(
    r"failed to extract layer|unmarshal|invalid character|unexpected end of JSON|content \S+ not found|content at \S+ not found"
    r"|content digest \S+ not found|wrong diff id|expected at \S+"
)
"""What containerd says of what it has fetched, now or before, and cannot unpack or read."""


def of_content(failure: RuntimeFailure) -> bool:
    """Whether a pull failed by what is on the node: it may have come damaged, or have become so."""
    return isinstance(failure, ImageDamaged) or _OF_CONTENT.search(str(failure.__cause__)) is not None


def not_found(reference: Reference, repository: bool | None) -> ImageNotFound:  # noqa: FBT001 - a fact, or none
    """The registry does not have it. `repository`: whether it has the repository; None when that is not known."""
    wanted = f"digest {reference.digest}" if reference.digest else f"tag {reference.tag}"
    said = {
        None: f"no such repository, or no {wanted} in it",
        False: f"there is no repository {reference.path}",
        True: f"its repository {reference.path} has no {wanted}",
    }[repository]
    return ImageNotFound(f"registry {reference.domain} has no image {reference}: {said}")


def _asked(text: str, reference: Reference) -> str:
    """The registry, with the mirror in its place that failed, if one did."""
    found = _URL.search(text)
    if found is None or found["host"] == reference.domain or reference.domain == "docker.io":
        return reference.domain
    return f"{reference.domain} (by way of {found['host']})"


INGEST: Final = re.compile(r'failed commit on ref "(?P<ref>[^"]+)"')
"""Names the part that is damaged."""
