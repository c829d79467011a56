"""`NodeImages`: what one node is to have of images, and what it has; one per node, named like it."""

from typing import ClassVar, Final, Literal

from pydantic import Field

from controller.api.base import AGE, LIST_ATOMIC, STATUS_OF_READY, Column, Model, list_map
from controller.api.conditions import Condition
from controller.api.image import MOST_PATH, MOST_PULL_SECRETS, MOST_PUSHES, PullPolicy
from controller.api.meta import ObjectMeta
from controller.api.pull import PullStatus

State = Literal["Pulling", "Ready", "Failed", "Removed"]

MOST_IMAGES: Final = 250
"""ContainerImages that one node takes."""

MOST_BYTES: Final = 256 * 1024
"""Size of all that it is asked for. With what it answers, and what the API server notes of who wrote what, the object stays
below the 1.5 MiB that etcd takes, also where every name is as long as may be."""

MOST_MESSAGE: Final = 512
"""Bytes of a message of a node."""


class NodePush(Model):
    """A place in a registry that an image is pushed to by this node."""

    image: str = Field(max_length=1024, description="Normalised reference, with a tag.")
    secrets: tuple[str, ...] = Field(
        default=(),
        max_length=MOST_PULL_SECRETS,
        description="Names of the Secrets of the ContainerImage's namespace with credentials for it.",
        json_schema_extra=LIST_ATOMIC,
    )


class NodeImage(Model):
    """One ContainerImage, as far as a node has to know it."""

    namespace: str = Field(max_length=63, description="Namespace of the ContainerImage.")
    name: str = Field(max_length=253, description="Name of the ContainerImage.")
    image: str = Field(max_length=1024, description="Normalised reference.")
    revision: str = Field(
        max_length=32,
        description="Another one: it is to be fetched, or with pullPolicy Always asked for, once more.",
    )
    pin: bool = Field(default=True, description="Whether it stays, and is fetched again when it is removed.")
    pull_secrets: tuple[str, ...] = Field(
        default=(),
        max_length=MOST_PULL_SECRETS,
        description="Names of the Secrets of its namespace with credentials for it.",
        json_schema_extra=LIST_ATOMIC,
    )
    pull_policy: PullPolicy = Field(
        default="IfNotPresent", description="Always: the registry is asked, or the archive read, once for each revision."
    )
    archive: str = Field(
        default="", max_length=MOST_PATH, description="Path of the archive that it comes from; empty: from its registry."
    )
    push: tuple[NodePush, ...] = Field(
        default=(),
        max_length=MOST_PUSHES,
        description="Where this node pushes it to, when it has it.",
        json_schema_extra=list_map("image"),
    )


class NodePushStatus(Model):
    """How far a push is."""

    image: str = Field(description="Where to.")
    source: str = Field(default="", description="Digest of what is pushed, as it is here.")
    state: Literal["Pushing", "Pushed", "Failed"] = Field(description="Failed: it is tried again.")
    digest: str = Field(default="", description="Digest that it has in the registry.")
    reason: str = Field(default="", description="Why it failed: ErrImagePush, RegistryUnavailable, ...")
    message: str = Field(default="", max_length=MOST_MESSAGE, description="What a person should know of that.")
    since: str | None = Field(
        default=None, description="Since when it is so, RFC 3339.", json_schema_extra={"format": "date-time"}
    )


class NodeImagesSpec(Model):
    """What a node is to have. Written by the manager, from the ContainerImages that name the node."""

    images: tuple[NodeImage, ...] = Field(
        default=(),
        max_length=MOST_IMAGES,
        description="The ContainerImages whose turn has come on this node, by namespace and name.",
        json_schema_extra=list_map("namespace", "name"),
    )


class NodeImageStatus(Model):
    """How far a node is with one ContainerImage."""

    namespace: str = Field(description="Namespace of the ContainerImage.")
    name: str = Field(description="Name of the ContainerImage.")
    revision: str = Field(default="", description="The revision that this is about.")
    image: str = Field(default="", description="Normalised reference.")
    state: State = Field(
        description="Pulling: under way, or waiting for the node's own turns. Ready: it is there. Failed: it cannot be got, "
        "and is tried again. Removed: it was there, is not pinned, and was removed."
    )
    digest: str = Field(default="", description="What the reference stands for here.")
    bytes: int = Field(default=0, description="Size of its content as stored.")
    pushes: tuple[NodePushStatus, ...] = Field(
        default=(), description="One for each push that the node was asked for.", json_schema_extra=list_map("image")
    )
    pull: PullStatus | None = Field(
        default=None,
        description="How far its pull is, renewed every two seconds at most; absent when there is none, or nothing is known of "
        "it yet.",
    )
    reason: str = Field(default="", description="Why it failed: ErrImagePull, ImagePullBackOff, ...")
    message: str = Field(default="", max_length=MOST_MESSAGE, description="What a person should know of that.")
    since: str = Field(
        default="",
        description="Since when it is in this state, RFC 3339.",
        json_schema_extra={"format": "date-time"},
    )


class NodeImagesStatus(Model):
    """What a node has. Output only; written by its agent; what tells of progress alone, at most once in 2 s."""

    observed_generation: int = Field(default=-1, description="The generation that was settled last; -1 before the first.")
    ready: str = Field(default="", description="How many it has of those it is to have: 3/4.")
    images: tuple[NodeImageStatus, ...] = Field(
        default=(), description="One for each of the spec.", json_schema_extra=list_map("namespace", "name")
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Ready, Reconciling, Stalled.", json_schema_extra=list_map("type")
    )


class NodeImages(Model):
    """The images that a node is to have by all ContainerImages together. Made by Moorage, read by its agents."""

    KIND: ClassVar[str] = "NodeImages"
    PLURAL: ClassVar[str] = "nodeimages"
    SINGULAR: ClassVar[str] = "nodeimages"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("nimg",)
    NAMESPACED: ClassVar[bool] = False
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("READY", ".status.ready", description="How many it has of those it is to have."),
        Column("STATUS", f"{STATUS_OF_READY}.reason", description="What is done, or why it is not."),
        AGE,
        Column("MESSAGE", f"{STATUS_OF_READY}.message", wide=True, description="What a person should know."),
    )

    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: NodeImagesSpec = Field(default_factory=NodeImagesSpec, description="Desired state, written by the manager.")
    status: NodeImagesStatus = Field(
        default_factory=NodeImagesStatus, description="Observed state, written by the node's agent."
    )
