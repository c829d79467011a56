"""The table of `PodSpec`: from the models and the reasons to rows, and to Markdown. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, get_args

from controller.api.base import Model
from controller.api.spec import InstanceSpec
from controller.api.workload import Placement
from tools.podspec.absent import ABSENT, MAPS, NAMES, OWN, REMARKS, Fields

_PLACEMENT: Final = "in `spec.placement` of the workload"

_INTRODUCTION: Final = """\
# PodSpec, field by field

Generated from `controller/api` and `tools/podspec/absent.py` by `make generate`, and checked against the OpenAPI of the
Kubernetes release that the tests run on.

What is supported works as the Kubernetes documentation says, with the differences named beside it. What is not supported is
not in the schema, so the API server refuses it when it is applied. Bounds, defaults and rules are in [api.md](api.md). Types
that only absent fields lead to are not listed.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One field of a type of core/v1."""

    name: str
    supported: bool
    where: str = ""
    """Where it is, if it is not in the model of its own type."""
    text: str = ""
    """Why it is absent, or what differs from core/v1."""
    type: str = ""
    """Type of core/v1 that it leads to; empty for a value, a map, or an absent field."""


@dataclass(frozen=True, slots=True)
class Section:
    """One type of core/v1, fields in the order of the alphabet."""

    type: str
    rows: tuple[Row, ...]
    own: tuple[Row, ...] = ()
    """Fields that core/v1 does not have."""


@dataclass(slots=True)
class _Found:
    """What the models have of one type of core/v1."""

    models: dict[str, set[str]] = field(default_factory=dict)
    """Names of the fields of each model that stands for it."""
    reached: dict[str, set[str]] = field(default_factory=dict)
    """Names of the fields that lead to each of them."""
    types: dict[str, str] = field(default_factory=dict)


def core_name(model: type[Model]) -> str:
    """Name of the type of core/v1 that a model stands for."""
    return NAMES.get(model.__name__, model.__name__)


def sections(root: type[Model] = InstanceSpec, absent: Fields = ABSENT, own: Fields = OWN) -> list[Section]:
    """A section for each type that the models reach from `root`, in the order in which they do."""
    found: dict[str, _Found] = {}
    _collect(root, "", own, found)
    if root is InstanceSpec:
        _collect(Placement, "", own, found, into="PodSpec")
    return [_section(name, there, absent.get(name, {}), own.get(name, {})) for name, there in found.items()]


def problems(found: list[Section], absent: Fields = ABSENT, remarks: Fields = REMARKS, own: Fields = OWN) -> list[str]:
    """What of the reasons and remarks is not true of the models; nothing when all is."""
    told = []
    for section in found:
        supported = {row.name for row in section.rows if row.supported}
        told += [
            f"{section.type}.{name} is supported now: delete its reason from ABSENT in tools/podspec/absent.py"
            for name in sorted(supported & absent.get(section.type, {}).keys())
        ]
        told += [
            f"{section.type}.{name} is not supported: delete its remark from REMARKS in tools/podspec/absent.py"
            for name in sorted(remarks.get(section.type, {}).keys() - supported)
        ]
        told += [
            f"{section.type}.{name} is in no model: delete it from OWN in tools/podspec/absent.py"
            for name in sorted(own.get(section.type, {}).keys() - {row.name for row in section.own})
        ]
    return told


def document(found: list[Section]) -> str:
    """`docs/podspec.md`."""
    return "\n".join([_INTRODUCTION, *(line for section in found for line in _lines(section))])


def _collect(model: type[Model], via: str, own: Fields, found: dict[str, _Found], into: str = "") -> None:
    name, key = (into, _PLACEMENT) if into else (core_name(model), model.__name__)
    there = found.setdefault(name, _Found())
    seen = key in there.models
    there.reached.setdefault(key, set()).add(via)
    if seen:
        return
    there.models[key] = set()
    for python_name, info in model.model_fields.items():
        alias = info.alias or python_name
        there.models[key].add(alias)
        if alias in own.get(name, {}):
            continue
        for inner in _models(info.annotation):
            if inner.__name__ not in MAPS:
                there.types[alias] = core_name(inner)
            _collect(inner, alias, own, found)


def _models(annotation: object) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _section(name: str, there: _Found, absent: Mapping[str, str], own: Mapping[str, str]) -> Section:
    names = {alias for aliases in there.models.values() for alias in aliases}
    rows = [
        Row(alias, True, _where(alias, there), REMARKS.get(name, {}).get(alias, ""), there.types.get(alias, ""))
        for alias in names - own.keys()
    ]
    rows += [Row(alias, False, text=text) for alias, text in absent.items() if alias not in names]
    ours = [Row(alias, True, text=text) for alias, text in own.items() if alias in names]
    return Section(name, _sorted(rows), _sorted(ours))


def _sorted(rows: list[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: row.name.lower()))


def _where(alias: str, there: _Found) -> str:
    """In which of several models a field is, when it is not in all of them."""
    having = {model for model, aliases in there.models.items() if alias in aliases}
    if _PLACEMENT in having:
        return _PLACEMENT
    own = there.models.keys() - {_PLACEMENT}
    if having == own:
        return ""
    return "in " + ", ".join(sorted({f"`{via}`" for model in having for via in there.reached[model] if via}))


def _lines(section: Section) -> list[str]:
    count = sum(row.supported for row in section.rows)
    known = "Keys of this map." if section.type in MAPS else f"{count} of {len(section.rows)} fields."
    lines = [f"## {section.type}", "", known, "", "| field | here | |", "|---|---|---|"]
    lines += [f"| `{row.name}` | {(row.where or 'yes') if row.supported else 'no'} | {row.text} |" for row in section.rows]
    if section.own:
        lines += ["", "Beside them, of Moorage alone:", "", *(f"- `{row.name}`: {row.text}" for row in section.own)]
    return [*lines, ""]
