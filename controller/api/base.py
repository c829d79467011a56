"""The base of every API model, and the few words that turn a model into a structural schema.

The models are the one source of `crds/*.yaml`. Whatever pydantic cannot say (CEL rules, list-map keys, quantities) is
attached here as `x-kubernetes-*` extensions, next to the field that it is about.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

GROUP = "moorage.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Model(BaseModel):
    """A frozen API value: camelCase on the wire, snake_case in Python.

    Unknown fields are dropped on reading: the API server has already refused what the schema does not know, and an
    agent must be able to read an object written by a newer release.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        defer_build=True,  # most are only ever read as a part of others, and need no validator of their own
    )

    def to_json(self) -> dict[str, Any]:
        """The wire form, without fields that are unset, so that a patch says only what is known."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rule(expression: str, message: str, *, path: str = "", reason: str = "") -> dict[str, str]:
    """One CEL rule of `x-kubernetes-validations`.

    Args:
        expression: CEL over `self` (and `oldSelf` for transition rules).
        message: what the user reads: what is wrong and what to do.
        path: relative field path that the message is shown for, such as `.replicas`.
        reason: one of the machine-readable reasons of the CRD API, such as `FieldValueForbidden`.
    """
    entry = {"rule": expression, "message": message}
    if path:
        entry["fieldPath"] = path
    if reason:
        entry["reason"] = reason
    return entry


def exactly_one(*fields: str, of: str = "") -> dict[str, str]:
    """The rule that one of these fields is set, and no other; `of` is what has them, as the message begins with."""
    given = ", ".join(f"has(self.{field})" for field in fields)
    listed = f"{', '.join(fields[:-1])} and {fields[-1]}"
    return rule(f"[{given}].exists_one(set, set)", f"{of} needs exactly one of {listed}".lstrip())


def rules(*entries: dict[str, str]) -> dict[str, Any]:
    """Attach CEL rules to a field or a model (`json_schema_extra`)."""
    return {"x-kubernetes-validations": list(entries)}


def count_or_percentage(field: str) -> dict[str, Any]:
    """How many of some things: at least one, or a percentage (`json_schema_extra`); `field` is for the message."""
    valid = rule(
        "type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')",
        f"{field} must be a number from 1, or a percentage from 1% to 100%",
    )
    return {"x-kubernetes-int-or-string": True, "maxLength": 4} | rules(valid)


def list_map(*keys: str) -> dict[str, Any]:
    """A list merged by key in server-side apply, with unique keys (`x-kubernetes-list-type: map`)."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


@dataclass(frozen=True, slots=True)
class Column:
    """One printer column of `kubectl get` (`additionalPrinterColumns`)."""

    name: str
    path: str
    """JSONPath below the object, such as `.spec.nodeName`."""
    type: str = "string"
    """string, integer, number, boolean or date."""
    wide: bool = False
    """Shown by `-o wide` only."""
    description: str = ""


AGE = Column("AGE", ".metadata.creationTimestamp", "date", description="Time since it was created.")
STATUS_OF_READY = '.status.conditions[?(@.type=="Ready")]'
"""JSONPath of the Ready condition."""

LIST_ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
"""A list that is replaced as a whole in server-side apply."""

LIST_SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
"""A list of unique scalars, merged in server-side apply."""
