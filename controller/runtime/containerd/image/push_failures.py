"""Why a push failed, from what containerd says: as `failures`, in the words of a push."""

from typing import Final

from controller.runtime.containerd.image.failures import OF_REGISTRIES, STATUS, explained, rules
from controller.runtime.port import (
    CredentialsMissing,
    ImageFailure,
    ImageForbidden,
    ImageNotFound,
    RateLimited,
    RegistryUnreachable,
    RuntimeFailure,
)
from controller.runtime.reference import Reference

_OF_PUSHES: Final = rules(
    (
        r"no push hosts",
        ImageForbidden,
        "image {ref} cannot be pushed: the hosts.toml of registry {host} names none that has the capability push",
    ),
    (
        r"manifest list/index references to blobs and/or manifests are missing",
        ImageFailure,
        "registry {host} refuses the index of image {ref}, since it lacks a part of what that names ({last})",
    ),
    (
        STATUS.format("429") + r"|toomanyrequests|too many requests",
        RateLimited,
        "registry {host} takes no more requests for now (429 Too Many Requests), needed to push image {ref}",
    ),
    (
        STATUS.format("401") + r"|401 Unauthorized|no basic auth credentials|missing username or secret|authorization failed"
        r"|push access denied|failed to fetch (?:anonymous|oauth) token|insufficient_scope|invalid_grant|incorrect username",
        CredentialsMissing,
        "registry {host} wants credentials of somebody who may push image {ref}",
    ),
    (
        STATUS.format("403") + r"|403 Forbidden",
        ImageForbidden,
        "registry {host} does not permit to push image {ref} (403 Forbidden): have its owner give the permission",
    ),
    (
        STATUS.format("404"),
        ImageNotFound,
        (
            "registry {host} takes no image {ref} (404 Not Found): the repository, or the project that it is in, may have "
            "to be made first"
        ),
    ),
    (
        STATUS.format("405"),
        ImageForbidden,
        (
            "registry {host} takes no pushes (405 Method Not Allowed), so image {ref} cannot be pushed: it may be read-only "
            "or a mirror"
        ),
    ),
    (
        STATUS.format("413") + r"|413 (?:Request Entity|Payload|Content) Too Large",
        ImageFailure,
        "registry {host}, or what is before it, takes no layer as large as one of image {ref} (413): have its limit raised",
    ),
)

_BROKEN: Final = rules(
    (
        (
            r"failed to do request|dial tcp|connection reset|i/o timeout|EOF|context deadline exceeded|broken pipe"
            r"|use of closed network connection|timeout awaiting response headers|http2: "
        ),
        RegistryUnreachable,
        (
            "the connection to registry {host} broke while image {ref} was pushed: {last}; what it has already need not be "
            "pushed again"
        ),
    ),
    (
        r"content \S* ?not found|digest \S+ not found",
        ImageFailure,
        "image {ref} cannot be pushed, since a part of it is no longer on the node: {last}",
    ),
)

_NOT_ACCEPTED: Final = (
    "registry {host} does not accept the credentials for a push of image {ref}: check them, and whether they may push it"
)


def push_failure(failure: RuntimeFailure, reference: Reference, *, shown: bool = False) -> RuntimeFailure:
    """What a failure to push means. `shown`: the registry was shown credentials."""
    return explained(failure, reference, (*_OF_PUSHES, *OF_REGISTRIES, *_BROKEN), _NOT_ACCEPTED if shown else "")
