"""Volumes whose files are made from values: configMap, secret, downwardAPI and projected, as core/v1 has them."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from controller.api.base import LIST_ATOMIC, Model, exactly_one, rule, rules
from controller.api.environment import KEY, Optional, ResourceFieldSelector, Version, one_of
from controller.api.names import SUBDOMAIN

DEFAULT_MODE: Final = 0o644
"""Permission bits of a file where nothing else is said (core/v1)."""

MOST_ITEMS: Final = 64
MOST_SOURCES: Final = 16

DEFAULT_TOKEN_SECONDS: Final = 3600
SHORTEST_TOKEN_SECONDS: Final = 600
LONGEST_TOKEN_SECONDS: Final = 1 << 32
"""For how long a token may be asked for (core/v1, and authentication/v1 `TokenRequestSpec`)."""

Mode = Annotated[int, Field(ge=0, le=0o777)]

VOLUME_FIELDS: Final = ("metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations")
"""Fields of an instance that a file may hold; besides, single labels and annotations."""

PATH_RULE: Final = rules(
    rule(
        "!self.startsWith('/') && !self.startsWith('..') && !self.contains('/../') && !self.endsWith('/..')",
        "must be a path inside the volume: relative, not beginning with '..', and without '..' in it",
    )
)
"""As `validateLocalNonReservedPath` of core/v1."""

Path = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]+$", json_schema_extra=PATH_RULE)]
"""Path of a file, below the volume's root."""


class KeyToPath(Model):
    """Which file a key is to be (core/v1 `KeyToPath`)."""

    key: str = Field(min_length=1, max_length=253, pattern=KEY, description="The key.")
    path: Path = Field(description="Path of its file in the volume.")
    mode: Mode | None = Field(default=None, description="Permission bits of the file; defaultMode when not set.")


Items = Annotated[
    tuple[KeyToPath, ...],
    Field(max_length=MOST_ITEMS, description="Only these keys, at these paths. Default: all.", json_schema_extra=LIST_ATOMIC),
]
DefaultMode = Annotated[Mode | None, Field(description="Permission bits of files: 0644 when not set.")]
MayLack = Annotated[Optional, Field(description="true: what is not there is left out. Default: the container waits for it.")]
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=SUBDOMAIN, description="Name of the object.")]


class ConfigMapVolumeSource(Model):
    """The keys of a ConfigMap as files (core/v1 `ConfigMapVolumeSource`)."""

    name: Name
    items: Items = ()
    default_mode: DefaultMode = None
    optional: MayLack = None


class SecretVolumeSource(Model):
    """The keys of a Secret as files (core/v1 `SecretVolumeSource`)."""

    secret_name: Name
    items: Items = ()
    default_mode: DefaultMode = None
    optional: MayLack = None


class VolumeFieldSelector(Model):
    """A field of the instance (core/v1 `ObjectFieldSelector`)."""

    api_version: Version = Field(default=None, description="Version of the schema of fieldPath: v1.")
    field_path: str = Field(
        min_length=1,
        max_length=400,
        description="The field: metadata.name, metadata.labels, metadata.labels['<KEY>'], ...",
        json_schema_extra=one_of(VOLUME_FIELDS),
    )


FILE_RULES: Final = rules(
    rule("has(self.fieldRef) != has(self.resourceFieldRef)", "needs exactly one of fieldRef and resourceFieldRef"),
    rule(
        "!has(self.resourceFieldRef) || "
        "(has(self.resourceFieldRef.containerName) && self.resourceFieldRef.containerName != '')",
        "must name a container: a volume is of all of them",
        path=".resourceFieldRef.containerName",
    ),
)


class DownwardAPIVolumeFile(Model):
    """A file that holds something of the instance (core/v1 `DownwardAPIVolumeFile`)."""

    model_config = ConfigDict(json_schema_extra=FILE_RULES)

    path: Path = Field(description="Path of the file in the volume.")
    field_ref: VolumeFieldSelector | None = Field(default=None, description="A field of the instance.")
    resource_field_ref: ResourceFieldSelector | None = Field(default=None, description="What a container may use.")
    mode: Mode | None = Field(default=None, description="Permission bits of the file; defaultMode when not set.")


Files = Annotated[
    tuple[DownwardAPIVolumeFile, ...],
    Field(max_length=MOST_ITEMS, description="The files.", json_schema_extra=LIST_ATOMIC),
]


class DownwardAPIVolumeSource(Model):
    """Files that tell of the instance (core/v1 `DownwardAPIVolumeSource`)."""

    items: Files = ()
    default_mode: DefaultMode = None


class ConfigMapProjection(Model):
    """The keys of a ConfigMap as files (core/v1 `ConfigMapProjection`)."""

    name: Name
    items: Items = ()
    optional: MayLack = None


class SecretProjection(Model):
    """The keys of a Secret as files (core/v1 `SecretProjection`)."""

    name: Name
    items: Items = ()
    optional: MayLack = None


class DownwardAPIProjection(Model):
    """Files that tell of the instance (core/v1 `DownwardAPIProjection`)."""

    items: Files = ()


class ServiceAccountTokenProjection(Model):
    """A token of the instance's ServiceAccount (core/v1 `ServiceAccountTokenProjection`)."""

    audience: str = Field(
        default="", max_length=1024, description="Whom it is for; who is not that must refuse it. Empty: the API server."
    )
    expiration_seconds: int = Field(
        default=DEFAULT_TOKEN_SECONDS,
        ge=SHORTEST_TOKEN_SECONDS,
        le=LONGEST_TOKEN_SECONDS,
        description="How long it is to be good; the API server may give less. It is replaced after 80 % of that, or a day.",
    )
    path: Path = Field(description="Path of its file in the volume.")


PROJECTION_RULES: Final = rules(exactly_one("configMap", "secret", "downwardAPI", "serviceAccountToken"))


class VolumeProjection(Model):
    """One of the sources of a projected volume (core/v1 `VolumeProjection`)."""

    model_config = ConfigDict(json_schema_extra=PROJECTION_RULES)

    config_map: ConfigMapProjection | None = Field(default=None, description="A ConfigMap.")
    secret: SecretProjection | None = Field(default=None, description="A Secret.")
    downward_api: DownwardAPIProjection | None = Field(default=None, alias="downwardAPI", description="Of the instance itself.")
    service_account_token: ServiceAccountTokenProjection | None = Field(
        default=None, description="A token of the ServiceAccount that serviceAccountName names; kept in memory, and fresh."
    )


class ProjectedVolumeSource(Model):
    """Files from several sources in one volume (core/v1 `ProjectedVolumeSource`)."""

    sources: tuple[VolumeProjection, ...] = Field(
        default=(),
        max_length=MOST_SOURCES,
        description="The sources; of two files of one path, the later counts.",
        json_schema_extra=LIST_ATOMIC,
    )
    default_mode: DefaultMode = None

    @property
    def tokens(self) -> tuple[ServiceAccountTokenProjection, ...]:
        """The tokens among them."""
        return tuple(s.service_account_token for s in self.sources if s.service_account_token is not None)
