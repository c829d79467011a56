"""Predicates over one container, or over the instance itself; each can be asked in Python and rendered as CEL.

The two renderings stand beside each other, so that they are read and changed together. A field that is absent, and one that is
null (as pydantic says absent), is the same: not set.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Subject = Mapping[str, Any]
"""A container, or an instance spec, as JSON."""

Scalar = str | bool | int


@dataclass(frozen=True, slots=True)
class Field:
    """A field below a container or below the instance spec, by its names as written in YAML: `securityContext.privileged`."""

    path: str

    def of(self, subject: Subject) -> Any:
        """Its value; None when it is not set."""
        found: Any = subject
        for name in self.path.split("."):
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return found

    def cel(self, var: str) -> str:
        """Its value as an optional."""
        return f"{var}.?{self.path.replace('.', '.?')}"


class Predicate(Protocol):
    """A question about one subject."""

    @property
    def field(self) -> Field:
        """The field that it is about."""

    def holds(self, subject: Subject) -> bool:
        """Whether it is so."""

    def cel(self, var: str) -> str:
        """The same as a boolean expression of CEL over the variable."""


@dataclass(frozen=True, slots=True)
class Is:
    """The field is set, to this value."""

    field: Field
    value: Scalar

    def holds(self, subject: Subject) -> bool:
        """Whether it is so."""
        found = self.field.of(subject)
        return found is not None and bool(found == self.value)

    def cel(self, var: str) -> str:
        """The same in CEL."""
        return f"{self.field.cel(var)} == optional.of({literal(self.value)})"


@dataclass(frozen=True, slots=True)
class IsNot:
    """The field is not set, or to another value."""

    field: Field
    value: Scalar

    def holds(self, subject: Subject) -> bool:
        """Whether it is so."""
        return not Is(self.field, self.value).holds(subject)

    def cel(self, var: str) -> str:
        """The same in CEL."""
        return f"{self.field.cel(var)} != optional.of({literal(self.value)})"


@dataclass(frozen=True, slots=True)
class Unset:
    """The field is not set."""

    field: Field

    def holds(self, subject: Subject) -> bool:
        """Whether it is so."""
        return self.field.of(subject) is None

    def cel(self, var: str) -> str:
        """The same in CEL."""
        return f"!{self.field.cel(var)}.hasValue()"


@dataclass(frozen=True, slots=True)
class Within:
    """The field is set, to one of these values."""

    field: Field
    values: Sequence[str]

    def holds(self, subject: Subject) -> bool:
        """Whether it is so."""
        return self.field.of(subject) in self.values

    def cel(self, var: str) -> str:
        """The same in CEL."""
        return f"{self.field.cel(var)}.orValue('') in {literal(self.values)}"


@dataclass(frozen=True, slots=True)
class Outside:
    """The field is set, to none of these values; or, where it is a list, has an item that is none of them."""

    field: Field
    allowed: tuple[str, ...]
    named: tuple[str, ...]
    """All other values that there are, sorted. CEL cannot sort (before 1.34): what is not among these is told after them."""
    many: bool = False
    """Whether the field is a list."""

    def holds(self, subject: Subject) -> bool:
        """Whether it is so."""
        return bool(self.found(subject))

    def found(self, subject: Subject) -> list[str]:
        """The values that are not allowed."""
        value = self.field.of(subject)
        items = () if value is None else value if self.many else (value,)
        return [item for item in items if item not in self.allowed]

    def cel(self, var: str) -> str:
        """Whether there are any, in CEL."""
        return f"{self.cel_items(var)}.exists(v, !(v in {literal(self.allowed)}))"

    def cel_items(self, var: str) -> str:
        """All values at the field, in CEL."""
        value = self.field.cel(var)
        return f"{value}.orValue([])" if self.many else f"({value}.hasValue() ? [{value}.value()] : [])"


@dataclass(frozen=True, slots=True)
class Lacks:
    """The list at the field does not have this item."""

    field: Field
    item: str

    def holds(self, subject: Subject) -> bool:
        """Whether it is so."""
        return self.item not in (self.field.of(subject) or ())

    def cel(self, var: str) -> str:
        """The same in CEL."""
        return f"!({literal(self.item)} in {self.field.cel(var)}.orValue([]))"


def literal(value: Scalar | Sequence[str]) -> str:
    """A literal of CEL; strings in single quotes, which need no escape in YAML."""
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, bool | int):
        return json.dumps(value)
    return f"[{', '.join(literal(v) for v in value)}]"
