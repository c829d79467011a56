"""`ContainerImage`: an image that nodes are to have before anything runs from it."""

from typing import ClassVar, Literal

from pydantic import Field

from controller.api.base import AGE, STATUS_OF_READY, Column, Model, count_or_percentage, list_map, rule, rules
from controller.api.conditions import Condition
from controller.api.meta import ObjectMeta
from controller.api.pullsecrets import LocalObjectReference
from controller.api.workload import Placement

PullPolicy = Literal["IfNotPresent", "Always"]

MOST_FAILURES = 20
"""Failing nodes that a status names."""

MOST_PULL_SECRETS = 8
"""Secrets that an image may name; each of its nodes reads them."""

MOST_PUSHES = 5
"""Places that an image may be pushed to."""

MOST_PATH = 1024
"""Bytes of an archive's path."""

MOST_DIGESTS = 10
"""Different digests that a status tells of."""


class ImageSource(Model):
    """Where an image comes from, if not from its registry."""

    archive: str = Field(
        min_length=2,
        max_length=MOST_PATH,
        description="Path of a file on the nodes: an archive with this one image, as `docker save` writes it or an OCI "
        "archive, also packed by gzip or zstd. Nodes read archives from certain folders alone (--archive-dirs). The image is "
        "for this namespace, and no registry is asked.",
        json_schema_extra=rules(
            rule(
                "self.matches('^(/[^/]+)+$') && !self.split('/').exists(part, part == '..')",
                "archive must be an absolute path without '..', and end in the name of a file",
            )
        ),
    )


class ImagePush(Model):
    """A place in a registry that an image is pushed to."""

    image: str = Field(
        min_length=1,
        max_length=1024,
        description="Reference with a tag, normalised as Docker does.",
        json_schema_extra=rules(
            rule("!self.contains('@')", "an image is pushed to a tag: nobody can choose the digest that it has there")
        ),
    )
    secrets: tuple[LocalObjectReference, ...] = Field(
        default=(),
        max_length=MOST_PULL_SECRETS,
        description="Secrets of the namespace (kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg) with credentials "
        "that may push there, tried in this order. Without any, no credentials are shown: never those of the node.",
        json_schema_extra=list_map("name"),
    )


class ImageSpec(Model):
    """Desired state of an image."""

    image: str = Field(
        min_length=1,
        max_length=1024,
        description="Image reference, by tag or digest, normalised as Docker does. Another one takes its place on the nodes.",
    )
    source: ImageSource | None = Field(
        default=None, description="Where it comes from, if not from the registry that its reference names."
    )
    placement: Placement = Field(default_factory=Placement, description="Which nodes get it; all of them when it says nothing.")
    pull_secrets: tuple[LocalObjectReference, ...] = Field(
        default=(),
        max_length=MOST_PULL_SECRETS,
        description="Secrets of the namespace (kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg) with credentials for "
        "the image's registry, tried in this order. Every node that is to have the image reads them.",
        json_schema_extra=list_map("name"),
    )
    pin: bool = Field(
        default=True,
        description="true: nodes keep it, whatever their disks say, and fetch it again when somebody removed it. "
        "false: it is fetched once, to be there early; a node that needs room may remove it, and does not fetch it again "
        "before image or refreshedAt changes.",
    )
    pull_policy: PullPolicy = Field(
        default="IfNotPresent",
        description="IfNotPresent: what a node has of that name is left as it is. Always: each node asks the registry (or "
        "reads the archive) once for every new image, source or refreshedAt, so that a tag that was moved is followed.",
    )
    refreshed_at: str = Field(
        default="",
        max_length=64,
        description="Any new value, such as a time, has each node ask the registry once more; with pullPolicy Always.",
    )
    push: tuple[ImagePush, ...] = Field(
        default=(),
        max_length=MOST_PUSHES,
        description="Where the image is pushed to, by one of the nodes that have it, once for every new image, source or "
        "refreshedAt. The ContainerImage is Ready when that is done.",
        json_schema_extra=list_map("image"),
    )
    parallelism: int | str = Field(
        default=10,
        description="Nodes that pull it at the same time: a number, or a percentage of the wanted ones (rounded down, at least "
        "1). A node whose pull failed tries again by itself, and holds up no other.",
        json_schema_extra=count_or_percentage("parallelism"),
    )
    progress_deadline_seconds: int = Field(
        default=600,
        ge=1,
        le=604800,
        description="Seconds after which the image is reported as stalled, when some nodes fail to get it and no other is "
        "still about to. They go on trying.",
    )


class ImageNodes(Model):
    """How many nodes are how far. Each that is wanted is counted once more, if it is not just waiting for its turn."""

    wanted: int = Field(default=0, description="Nodes that the placement names.")
    ready: int = Field(default=0, description="Nodes that have it.")
    pulling: int = Field(default=0, description="Nodes that were told to fetch it, and have not ended yet.")
    failed: int = Field(default=0, description="Nodes that cannot get it, and go on trying.")
    removed: int = Field(default=0, description="Nodes that had it and removed it, since it is not pinned.")


class ImageDigest(Model):
    """What the reference stands for on some nodes."""

    digest: str = Field(description="Digest of the index or manifest.")
    bytes: int = Field(default=0, description="Size of its content as stored, on one node.")
    nodes: int = Field(default=0, description="Nodes that have this one.")


class ImageFailure(Model):
    """A node that cannot get the image."""

    node: str = Field(description="Name of the node.")
    reason: str = Field(description="Reason in CamelCase, as containers have it: ErrImagePull, ImagePullBackOff, ...")
    message: str = Field(default="", description="What the node's agent says of it.")


class ImagePushStatus(Model):
    """How far a push is."""

    image: str = Field(description="Where to, as the nodes know it.")
    state: Literal["Pending", "Pushing", "Pushed", "Failed"] = Field(
        description="Pending: no node has the image yet. Pushing: under way. Pushed: it is there, and is not pushed again. "
        "Failed: it is tried again."
    )
    node: str = Field(default="", description="The node that pushes it, or has.")
    revision: str = Field(default="", description="The revision, as in NodeImages, that this is about.")
    source: str = Field(default="", description="Digest of what is pushed, as the node has it.")
    digest: str = Field(
        default="",
        description="Digest that it has in the registry: that of the node's platform, where the node has no other.",
    )
    reason: str = Field(default="", description="Why it failed: ErrImagePush, RegistryUnavailable, ...")
    message: str = Field(default="", description="What the node's agent says of it.")
    since: str | None = Field(
        default=None, description="Since when it is so, RFC 3339.", json_schema_extra={"format": "date-time"}
    )


class ImageStatus(Model):
    """Observed state of an image. Output only."""

    observed_generation: int = Field(default=-1, description="The generation that this status is about; -1 before the first.")
    image: str = Field(default="", description="The reference as the nodes know it: docker.io/library/nginx:latest.")
    digests: tuple[ImageDigest, ...] = Field(
        default=(),
        description=f"What it stands for, the most frequent first, at most {MOST_DIGESTS}. More than one: its tag was moved "
        "between two pulls.",
        json_schema_extra=list_map("digest"),
    )
    size: str = Field(default="", description="Size of the most frequent one, for people: 41.9MB.")
    nodes: ImageNodes = Field(default_factory=ImageNodes, description="How many nodes are how far.")
    summary: str = Field(
        default="",
        description="What is done, or why it is not, for people: Pulling 40%, which is how much of it is on the nodes, each "
        "counting alike, in tens.",
    )
    ready: str = Field(default="", description="Nodes that have it, of those that are to: 3/5.")
    failures: tuple[ImageFailure, ...] = Field(
        default=(),
        description=f"Nodes that cannot get it, by name, at most {MOST_FAILURES}.",
        json_schema_extra=list_map("node"),
    )
    pushes: tuple[ImagePushStatus, ...] = Field(
        default=(), description="One for each place that it is pushed to.", json_schema_extra=list_map("image")
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Ready, Reconciling, Stalled; SchemaStale while it is.", json_schema_extra=list_map("type")
    )


class ContainerImage(Model):
    """An image as desired state: pulled to the nodes that match, kept there, replaced by an edit, let go of by a deletion."""

    KIND: ClassVar[str] = "ContainerImage"
    PLURAL: ClassVar[str] = "containerimages"
    SINGULAR: ClassVar[str] = "containerimage"
    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("cimg",)
    NAMESPACED: ClassVar[bool] = True
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("IMAGE", ".spec.image", description="The image."),
        Column("READY", ".status.ready", description="Nodes that have it, of those that are to."),
        Column("STATUS", ".status.summary", description="What is done, or why it is not."),
        Column("SIZE", ".status.size", description="Its size as stored on a node."),
        AGE,
        Column("PIN", ".spec.pin", "boolean", wide=True, description="Whether nodes keep it whatever their disks say."),
        Column("POLICY", ".spec.pullPolicy", wide=True, description="IfNotPresent or Always."),
        Column("DIGEST", ".status.digests[0].digest", wide=True, description="What it stands for on most nodes."),
        Column("MESSAGE", f"{STATUS_OF_READY}.message", wide=True, description="What a person should know."),
    )

    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: ImageSpec = Field(
        description="Desired state.",
        json_schema_extra=rules(
            rule(
                "self.pullPolicy == 'Always' || !has(self.refreshedAt) || self.refreshedAt == ''",
                "refreshedAt has nodes ask the registry again, which needs pullPolicy: Always",
                path=".refreshedAt",
            ),
            rule(
                "!has(self.source) || !self.image.contains('@')",
                "an image from an archive has a tag and no digest: nobody but its registry can say what the digest is",
                path=".image",
            ),
            rule(
                "!has(self.source) || !has(self.pullSecrets) || size(self.pullSecrets) == 0",
                "pullSecrets are shown to a registry, and none is asked for an image with a source",
                path=".pullSecrets",
            ),
        ),
    )
    status: ImageStatus = Field(default_factory=ImageStatus, description="Observed state, written by the manager.")
