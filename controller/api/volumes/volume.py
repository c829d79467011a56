"""One volume of an instance (core/v1 `Volume`), and the sources that come from the node itself or from an image."""

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from controller.api.base import Model, rule, rules
from controller.api.names import LABEL
from controller.api.quantity import Quantity
from controller.api.volumes.sources import (
    ConfigMapVolumeSource,
    DownwardAPIVolumeSource,
    ProjectedVolumeSource,
    SecretVolumeSource,
    ServiceAccountTokenProjection,
)

NO_BACKSTEPS: Final = "!('/' + self{} + '/').contains('/../')"
"""CEL of a path that does not lead upwards; with the field's name. To split it would be beyond the API server's budget."""

ValuesSource = ConfigMapVolumeSource | SecretVolumeSource | DownwardAPIVolumeSource | ProjectedVolumeSource


class EmptyDirVolumeSource(Model):
    """A folder that is empty at first, and goes with the instance (core/v1)."""

    medium: Literal["", "Memory"] = Field(default="", description="Empty: the node's disk. Memory: a tmpfs.")
    size_limit: Quantity | None = Field(
        default=None,
        description="Most bytes that may be in it. On disk: an instance that exceeds it is evicted, and of a workload another "
        "one comes. With medium: Memory it is the size; at most what all containers together may use, or the node has.",
    )


class HostPathVolumeSource(Model):
    """A file or folder of the node (core/v1)."""

    path: str = Field(
        min_length=1,
        max_length=4096,
        description="Its path on the node; a link is followed.",
        json_schema_extra=rules(
            rule("self.startsWith('/')", "must be an absolute path, such as /srv"),
            rule(NO_BACKSTEPS.format(""), "must not contain '..'"),
        ),
    )
    type: Literal["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"] = Field(
        default="",
        description="What must be there before it is mounted: Directory, File, Socket, CharDevice or BlockDevice; "
        "DirectoryOrCreate (0755) and FileOrCreate (0644) make what is not there. Empty: whatever is there.",
    )


class ImageVolumeSource(Model):
    """The files of an OCI image (core/v1 `ImageVolumeSource`); read-only, and nothing of it can be executed."""

    reference: str = Field(min_length=1, max_length=1024, description="Image reference, as a container's.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None,
        description="Always, IfNotPresent or Never. Default: Always for the tag latest or none, else IfNotPresent.",
    )


def _one_source(schema: dict[str, Any]) -> None:
    """The rule that one of the fields is set which are there."""
    given = ", ".join(f"has(self.{name})" for name in schema["properties"] if name != "name")
    schema |= rules(
        rule(f"[{given}].exists(one, one)", "must specify a volume type, such as emptyDir: {}"),
        rule(f"[{given}].filter(one, one).size() <= 1", "may not specify more than 1 volume type"),
    )


class Volume(Model):
    """One volume: a name, and exactly one source (core/v1 `Volume`)."""

    model_config = ConfigDict(json_schema_extra=_one_source)

    name: str = Field(
        min_length=1, max_length=63, pattern=rf"^{LABEL}$", description="Name, unique in the instance; a DNS label."
    )
    empty_dir: EmptyDirVolumeSource | None = Field(
        default=None, description="A folder that is empty at first; kept over restarts of containers, gone with the instance."
    )
    host_path: HostPathVolumeSource | None = Field(default=None, description="A file or folder of the node.")
    image: ImageVolumeSource | None = Field(
        default=None, description="The files of an image, the same ones for as long as the volume is there."
    )
    config_map: ConfigMapVolumeSource | None = Field(default=None, description="Keys of a ConfigMap as files.")
    secret: SecretVolumeSource | None = Field(default=None, description="Keys of a Secret as files, in memory alone.")
    downward_api: DownwardAPIVolumeSource | None = Field(
        default=None, alias="downwardAPI", description="Files that tell of the instance."
    )
    projected: ProjectedVolumeSource | None = Field(
        default=None, description="Several of the last three, and tokens of a ServiceAccount, in one folder."
    )

    @property
    def kind(self) -> str:
        """Name of the source that is set, as it is written: `emptyDir`. Empty when none is, which the schema excludes."""
        return next((_written(name) for name in SOURCES if getattr(self, name) is not None), "")

    @property
    def tokens(self) -> tuple[ServiceAccountTokenProjection, ...]:
        """The tokens of a ServiceAccount that are in it."""
        return self.projected.tokens if self.projected is not None else ()

    @property
    def values(self) -> ValuesSource | None:
        """The source that is set, if it is one whose files are made from values."""
        return self.config_map or self.secret or self.downward_api or self.projected


def _written(name: str) -> str:
    """Name of a field, as it is written."""
    return Volume.model_fields[name].alias or to_camel(name)


SOURCES: Final = tuple(name for name in Volume.model_fields if name != "name")
"""Names of the fields of `Volume` of which one is set."""
