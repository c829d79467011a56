"""Images: what they are, and what is asked of them."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of how it is to be run (OCI image-spec, config.md; Docker image spec)."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """`NAME=value` each."""
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class ImageState:
    """An image that is on the node, complete and unpacked."""

    name: str
    """Normalised reference, by tag or digest: `docker.io/library/nginx:latest`."""
    digest: str
    """Digest of what the name points at: an index or a manifest."""
    size: int = 0
    """Bytes of content, as stored."""
    config: ImageConfig = field(default_factory=ImageConfig)
    since: float = 0.0
    """When a pull, an import or a tag last gave its name to this digest."""
    platform: str = ""
    """What it is for, as Docker writes it: `linux/amd64`, `linux/arm64/v8`; empty when it does not say."""
    created_at: float | None = None
    """When it was built, as it says itself; None when it does not say."""
    layers: tuple[str, ...] = ()
    """Digests of its layers as they are stored, the lowest first."""


@dataclass(frozen=True, slots=True)
class ImageName:
    """A name of an image that may not be complete, or not for this node."""

    name: str
    """Normalised reference."""
    digest: str
    """Digest of what it points at: an index or a manifest."""
    since: float = 0.0
    """As `ImageState.since`."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a registry is shown. None of it is in any text that is made of this."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """Is exchanged for a token of the registry (OAuth 2.0 refresh token); in place of user and password."""
    registry_token: str = field(default="", repr=False)
    """Is such a token; in place of all others."""


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is, in bytes as the registry sends them."""

    bytes_done: int
    """Those that are on the node. When all are, they may still be being unpacked."""
    bytes_total: int
    """0 while the size is not known."""
    bytes_present: int = 0
    """Of those that are done: what was there before this pull, and has not been fetched by it."""


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """The files of an image, as they are mounted on the node (mount(2)); to be mounted read-only."""

    type: str
    source: str
    options: tuple[str, ...] = ()


class DamageKind(enum.StrEnum):
    """What of an image is damaged."""

    BLOB = "blob"
    """Index, manifest, config or a layer as the registry sends it: missing, cut short or changed."""
    SNAPSHOT = "snapshot"
    """A layer is not unpacked, or what it was unpacked to is gone."""
    FILE = "file"
    """A file of an unpacked layer is missing, cut short or changed."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Something of an image that is not on the node as it should be."""

    what: DamageKind
    digest: str
    """Of the blob; of what is unpacked, of all layers up to the damaged one (OCI image-spec, config.md#layer-chainid)."""
    message: str
    """One sentence for people, without the image's name."""


class Images(Protocol):
    """The images of a node."""

    async def images(self) -> tuple[ImageState, ...]:
        """Every image that is complete on the node. `config` is not filled in; `image` reads it."""
        ...

    async def image(self, reference: str) -> ImageState:
        """One image with its config. Raises `NotFound` when it is not on the node, `InvalidReference`."""
        ...

    async def image_names(self) -> tuple[ImageName, ...]:
        """Every name on the node, also of what is not complete."""
        ...

    async def tag(self, reference: str, target: str) -> ImageState:
        """Give an image that is on the node another name, which means this image from then on; returns it by that name.

        Nothing changes when the name means it already.

        Raises:
            NotFound: when it is not on the node.
            InvalidReference: when either is none, or `target` names another digest.
        """
        ...

    async def pull(
        self,
        reference: str,
        progress: Callable[[PullProgress], None] | None = None,
        *,
        credential: Credential | None = None,
        digest: str = "",
    ) -> ImageState:
        """Fetch and unpack an image, and what is damaged of it anew. Raises `ImageFailure`.

        Args:
            reference: what to fetch, and the name that it has on the node then.
            progress: called now and then, from the same loop.
            credential: what its registry is shown when that asks; None: nothing.
            digest: fetch the image of this digest, whatever the tag means by now. Of one that is on the node only the right
                to it is asked of the registry.
        """
        ...

    async def import_images(
        self, path: str, *, name: str = "", progress: Callable[[PullProgress], None] | None = None
    ) -> tuple[ImageState, ...]:
        """Bring in the images of an archive and unpack them. Raises `ImageFailure`, which names the file.

        An archive is a tar file as `docker save` writes it or an OCI archive, and may be packed by gzip or zstd. When the
        import fails, nothing that it brought is left.

        Args:
            path: of the file on the node.
            name: for the one image that is in it, whatever it is called there; empty: as they are called there.
            progress: called now and then, from the same loop, with the bytes of the file.

        Returns:
            The images by their names, in the archive's order.
        """
        ...

    async def push(
        self,
        reference: str,
        target: str,
        progress: Callable[[PullProgress], None] | None = None,
        *,
        credential: Credential | None = None,
    ) -> str:
        """Send an image to a registry; what that has already is not sent again. Raises `NotFound`, `ImageFailure`.

        Of an image for several platforms a node mostly has what it needs itself: then the manifest for its platform is pushed,
        in place of the index, which would name what the registry does not get.

        Args:
            reference: the image on the node.
            target: its name in the registry, with a tag.
            progress: called now and then, from the same loop; `bytes_present` is what the registry had already.
            credential: what the registry is shown when it asks; None: nothing.

        Returns:
            The digest that it has there.
        """
        ...

    async def export_images(self, references: Sequence[str], path: str) -> None:
        """Write images into an OCI archive, which `docker load` and `ctr images import` read, too.

        It appears when it is whole, in place of what was there. Of an image for several platforms it has those that are on the
        node, mostly this node's alone.

        Args:
            references: the images, at least one.
            path: of the file on the node.

        Raises:
            NotFound: when one is not on the node.
            ImageFailure: `DiskFull`, and when it cannot be written for another reason; `ImageDamaged`.
        """
        ...

    async def verify(self, reference: str) -> tuple[Damage, ...]:
        """Read all of an image that is on the node for this platform, and tell what is damaged; nothing when all is well.

        It takes as long as reading takes: every blob is compared with its digest, and every unpacked file with its layer where
        the runtime keeps files that can be looked at. Raises `NotFound` when there is no such name, `InvalidReference`.
        """
        ...

    async def quarantine(self, reference: str, damage: Sequence[Damage]) -> None:
        """Take what is damaged of an image away: if that keeps it from being run, it is not on the node until the next `pull`.

        What is whole of it stays, and so does what runs. Raises `NotFound` when there is no such name, `InvalidReference`,
        `Conflict` when containers that run use what is damaged: it goes when they have ended, and nothing is made from it.
        """
        ...

    async def remove_image(self, reference: str, *, wait: bool = False) -> None:
        """Remove the name; its content goes when nothing else needs it. Absent is success.

        Args:
            reference: which one.
            wait: return when the room is free that only this image took. That may take as long as its files are many.
        """
        ...

    async def discard_parts(self, age: float) -> int:
        """Forget what unfinished pulls have fetched, and return when that room is free; the next tries begin anew.

        Pulls that are under way keep theirs. One of another process loses it, and goes on.

        Args:
            age: seconds since the first try, below which nothing is forgotten.

        Returns:
            How many pulls had fetched anything, or may have.
        """
        ...

    async def hold_image(self, holder: str, reference: str) -> ImageFiles:
        """Hold the files of an image that is on the node, so that they can be mounted; they stay whatever becomes of its name.

        Asked again by the same holder, it is what that holds already, whatever the name means by now. Raises `NotFound`,
        `InvalidReference`, `Unsupported`.
        """
        ...

    async def release_image(self, holder: str) -> None:
        """The holder holds nothing any more, and has unmounted what it held. Absent is success."""
        ...

    async def image_holders(self) -> frozenset[str]:
        """Who holds anything."""
        ...
