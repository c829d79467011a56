"""Where a container mounts a volume (core/v1 `VolumeMount`)."""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from controller.api.base import Model, rule, rules
from controller.api.volumes.volume import NO_BACKSTEPS

MOUNT_RULES: Final = rules(
    *(
        made
        for field in ("subPath", "subPathExpr")
        for made in (
            rule(f"!has(self.{field}) || !self.{field}.startsWith('/')", "must be a relative path", path=f".{field}"),
            rule(
                f"!has(self.{field}) || {NO_BACKSTEPS.format(f'.{field}')}",
                "must not contain '..'",
                path=f".{field}",
            ),
        )
    ),
    rule(
        "!has(self.subPath) || !has(self.subPathExpr) || self.subPath == '' || self.subPathExpr == ''",
        "subPathExpr and subPath are mutually exclusive",
        path=".subPathExpr",
    ),
    rule(
        "!has(self.recursiveReadOnly) || self.recursiveReadOnly == 'Disabled' || (has(self.readOnly) && self.readOnly)",
        "may only be specified when readOnly is true",
        path=".recursiveReadOnly",
    ),
    rule(
        "!has(self.recursiveReadOnly) || self.recursiveReadOnly == 'Disabled' || !has(self.mountPropagation) "
        "|| self.mountPropagation == 'None'",
        "may only be specified when mountPropagation is None or not specified",
        path=".recursiveReadOnly",
    ),
)
"""As `ValidateVolumeMounts` of core/v1."""

BIDIRECTIONAL_IS_PRIVILEGED: Final = rule(
    "!has(self.volumeMounts) || !self.volumeMounts.exists(m, has(m.mountPropagation) && m.mountPropagation == 'Bidirectional') "
    "|| (has(self.securityContext) && has(self.securityContext.privileged) && self.securityContext.privileged)",
    "Bidirectional mount propagation is available only to privileged containers",
    path=".volumeMounts",
)
"""A rule of a container."""


class VolumeMount(Model):
    """A volume in a container's file system (core/v1 `VolumeMount`)."""

    model_config = ConfigDict(json_schema_extra=MOUNT_RULES)

    name: str = Field(min_length=1, max_length=63, description="Name of the volume.")
    mount_path: str = Field(
        min_length=1,
        max_length=4096,
        pattern=r"^/[^:\x00]*$",
        description="Where it is mounted: an absolute path without ':'. It wins over what is there by default, as /etc/hosts.",
    )
    read_only: bool | None = Field(
        default=None, description="Whether it is mounted read-only; some kinds of volumes always are."
    )
    recursive_read_only: Literal["Disabled", "IfPossible", "Enabled"] | None = Field(
        default=None, description="Whether mounts below it are read-only, too. IfPossible: where the node's kernel can."
    )
    sub_path: str = Field(
        default="",
        max_length=1024,
        description="File or folder of the volume to mount in place of its root; made if not there.",
    )
    sub_path_expr: str = Field(
        default="", max_length=1024, description="The same, with $(NAME) replaced by variables of the container's environment."
    )
    mount_propagation: Literal["None", "HostToContainer", "Bidirectional"] | None = Field(
        default=None,
        description="Whether mounts made later pass: None (the default), HostToContainer, or Bidirectional (privileged only).",
    )
