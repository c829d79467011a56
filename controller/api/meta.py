"""The parts of `metav1.ObjectMeta` that Moorage reads and writes."""

from typing import Final

from pydantic import Field

from controller.api.base import Model, rule

LABEL_KEY: Final = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
"""A qualified name: `[DNS subdomain/]name`, the name at most 63 characters (apimachinery `IsQualifiedName`)."""

LABEL_VALUE: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
"""Value of a label, at most 63 characters (apimachinery `IsValidLabelValue`)."""

NAME_IS_A_LABEL_VALUE: Final = rule(
    "self.metadata.name.size() <= 63",
    "metadata.name must be at most 63 characters long: it is the value of a label of the instances",
    path=".metadata.name",
)
"""For what instances are labelled with, since the value of a label may be no longer."""


class OwnerReference(Model):
    """`metav1.OwnerReference`: the garbage collector deletes the dependent when its owner is gone."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Model):
    """`metav1.ObjectMeta`, as far as it is used here."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def controller_uid(self) -> str | None:
        """Uid of the owner with `controller: true`, or None."""
        return next((o.uid for o in self.owner_references if o.controller), None)
