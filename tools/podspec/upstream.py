"""The fields of core/v1 as an API server tells them, beside those of the table. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from tools.podspec.absent import ABSENT, MAPS, Fields
from tools.podspec.table import Section

_PREFIX: Final = "io.k8s.api.core.v1."

Types = Mapping[str, Mapping[str, str]]
"""Type -> field -> the type that it leads to, itself or by its items; empty for a value or a map."""


def core_types(openapi: Mapping[str, Any]) -> Types:
    """The types of core/v1 in an OpenAPI document of version 3 (`/openapi/v3/api/v1`)."""
    schemas: Mapping[str, Any] = openapi["components"]["schemas"]
    return {
        name.removeprefix(_PREFIX): {alias: _reference(child) for alias, child in schema.get("properties", {}).items()}
        for name, schema in schemas.items()
        if name.startswith(_PREFIX)
    }


def differences(sections: list[Section], types: Types, absent: Fields = ABSENT) -> list[str]:
    """What the API server says otherwise than the table; nothing when they agree."""
    told = []
    for section in sections:
        if section.type in MAPS:
            continue
        if section.type not in types:
            told.append(f"core/v1 has no type {section.type}: say in NAMES (tools/podspec/absent.py) what its model stands for")
            continue
        told += _of_type(section, types[section.type])
    for name, reasons in absent.items():
        gone = sorted(reasons.keys() - types.get(name, {}).keys())
        told += [f"core/v1 has no {name}.{alias} (any more): delete its reason from ABSENT" for alias in gone]
    return told


def _of_type(section: Section, fields: Mapping[str, str]) -> list[str]:
    known = {row.name: row for row in section.rows}
    name = section.type
    told = [
        f"core/v1 has {name}.{alias}, of which the table knows nothing: support it, or give a reason in ABSENT"
        for alias in sorted(fields.keys() - known.keys())
    ]
    told += [
        f"core/v1 has no {name}.{alias}, which the models have: name it in OWN"
        for alias, row in known.items()
        if row.supported and alias not in fields
    ]
    told += [f"core/v1 has {name}.{row.name}: it is not ours alone" for row in section.own if row.name in fields]
    told += [
        f"{name}.{alias} is a {fields[alias] or 'value'} in core/v1, and the model's is a {row.type or 'value'}: see NAMES"
        for alias, row in known.items()
        if row.type and alias in fields and fields[alias] != row.type
    ]
    return told


def _reference(schema: Mapping[str, Any]) -> str:
    """The type of core/v1 that a field leads to: by `$ref`, by `allOf` with one (where it has a default), or by its items."""
    inner = schema.get("items", schema)
    (found,) = {entry["$ref"] for entry in (inner, *inner.get("allOf", ())) if "$ref" in entry} or {""}
    name: str = found.rpartition("/")[2]
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else ""
