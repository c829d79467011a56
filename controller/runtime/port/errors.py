"""What goes wrong, in one tree of errors.

They are translated once, at the adapter, with the cause kept (`raise ... from exc`):

RuntimeFailure
|-- Unavailable           the runtime does not answer now; trying again makes sense
|   `-- DeadlineExceeded  it did not answer in time; the effect is unknown
|-- NotFound              it answered: no such container, image or process
|-- AlreadyExists         it answered: that id is taken
|-- Conflict              it answered: not in the state that the call needs (start of a running container, ...)
|-- InvalidConfig         the configuration cannot work, now or later, until it is changed
|-- StartFailure          the container's process could not be started: limits too small, ...
|   `-- CommandFailure    the command itself cannot be executed: not found, no permission
|-- Unsupported           this runtime (version) cannot do it
`-- ImageFailure          something about an image
    |-- InvalidReference  the reference cannot be parsed
    |-- ImageNotFound     the registry answered: no such repository or tag
    |-- ImageForbidden    the registry answered: no permission
    |   `-- CredentialsMissing  it wants credentials, or others
    |-- RegistryUnreachable  the registry did not answer, or not with what was asked for: no route, refused, DNS, 5xx
    |   |-- RegistryUntrusted  TLS failed: authority not known, expired, another host
    |   |-- RateLimited   the registry answered: too many requests
    |   `-- PullStalled   nothing more came
    |-- ImageDamaged      what came is not what its digest says
    |-- DiskFull          the node has no room for it
    `-- PlatformMissing   the image has nothing for this node's platform
"""


class RuntimeFailure(Exception):  # noqa: N818 - a tree of words for what went wrong; "Error" behind each would add nothing
    """Root of the tree; `str()` of it is a sentence for people, without secrets."""


class Unavailable(RuntimeFailure):
    """The runtime does not answer now; trying again makes sense."""


class DeadlineExceeded(Unavailable):
    """The runtime did not answer in time; whether the call took effect is unknown."""


class NotFound(RuntimeFailure):
    """No such container, image or process."""


class AlreadyExists(RuntimeFailure):
    """The id is taken."""


class Conflict(RuntimeFailure):
    """The container is not in the state that the call needs."""


class InvalidConfig(RuntimeFailure):
    """The configuration cannot work until it is changed."""


class StartFailure(RuntimeFailure):
    """The container's process could not be started; the message names the cause."""


class CommandFailure(StartFailure):
    """The command cannot be executed: it does not exist in the image, or may not be executed."""


class Unsupported(RuntimeFailure):
    """This runtime, or this version of it, cannot do it."""


class ImageFailure(RuntimeFailure):
    """Something about an image."""


class InvalidReference(ImageFailure):
    """The image reference cannot be parsed."""


class ImageNotFound(ImageFailure):
    """The registry has no such repository or tag."""


class ImageForbidden(ImageFailure):
    """The registry refuses: no permission."""


class CredentialsMissing(ImageForbidden):
    """The registry wants credentials, or others than those that it was given."""


class RegistryUnreachable(ImageFailure):
    """The registry did not answer, or not with what was asked for."""


class RegistryUntrusted(RegistryUnreachable):
    """No TLS with the registry: its certificate is not trusted, expired or of another host, or it wants one of the node."""


class RateLimited(RegistryUnreachable):
    """The registry takes no more requests for now."""


class PullStalled(RegistryUnreachable):
    """Nothing more came; what is there already is kept for the next try."""


class ImageDamaged(ImageFailure):
    """What came is not what its digest says."""


class DiskFull(ImageFailure):
    """The node's disk has no room for the image."""


class PlatformMissing(ImageFailure):
    """The image has nothing for this node's platform."""
