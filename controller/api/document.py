"""The API reference (`docs/api.md`) from the CustomResourceDefinitions. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from controller.api.structural import VALIDATIONS, Schema, fields

_INTRODUCTION = """\
# API reference

Generated from `controller/api` by `make generate`. Group `{group}`, version `{version}`.

A field that is not listed here is not supported, and the API server refuses it when it is applied. Names, defaults and
meaning follow core/v1 `PodSpec` and `apps/v1` wherever those have the field.
"""


def document(crds: Sequence[dict[str, Any]], texts: Sequence[str]) -> str:
    """Markdown with a section for each kind. `texts` are the kinds' own descriptions."""
    spec = crds[0]["spec"]
    parts = [_INTRODUCTION.format(group=spec["group"], version=spec["versions"][0]["name"])]
    parts += [_kind(crd["spec"], text) for crd, text in zip(crds, texts, strict=True)]
    return "\n".join(parts)


def _kind(spec: dict[str, Any], text: str) -> str:
    names, version = spec["names"], spec["versions"][0]
    root = version["schema"]["openAPIV3Schema"]
    access = (
        f"{spec['scope']}; `kubectl get {names['plural']}`, short `{names['shortNames'][0]}`, "
        f"category `{names['categories'][0]}`; subresources {' and '.join(version['subresources'])}."
    )
    lines = [f"## {names['kind']}", "", text, "", access, ""]
    if selectable := version.get("selectableFields"):
        lines += ["Field selectors: " + ", ".join(f"`{entry['jsonPath'][1:]}`" for entry in selectable) + ".", ""]
    for part in ("spec", "status"):
        lines += [f"### {names['kind']} {part}", "", "| field | type | default | description |", "|---|---|---|---|"]
        lines += [_row(path, schema, required=required) for path, schema, required in fields(root["properties"][part])]
        lines.append("")
    return "\n".join([*lines, *_rules(names["kind"], root)])


def _row(path: str, schema: Schema, *, required: bool) -> str:
    default = "required" if required else f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
    return f"| `{path}` | {_type(schema)} | {default} | {_cell(schema.get('description', ''))} |"


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" if value else "empty" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}{_bounds(schema, 'minItems', 'maxItems')}"
    if schema["type"] == "object" and "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}"
    if schema.get("format") == "date-time":
        return "time"
    return f"{schema['type']}{_bounds(schema, 'minimum', 'maximum')}"


def _bounds(schema: Schema, low: str, high: str) -> str:
    if low in schema and high in schema:
        return f", {schema[low]} to {schema[high]}"
    if high in schema:
        return f", at most {schema[high]}"
    return f", at least {schema[low]}" if low in schema else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _rules(kind: str, root: Schema) -> list[str]:
    """What is checked beyond types and bounds, in the words that the API server answers with."""
    found = [("", entry) for entry in root.get(VALIDATIONS, ())]
    found += [(path, entry) for path, schema, _ in fields(root) for entry in _validations(schema)]
    if not found:
        return []
    named = [(path + entry.get("fieldPath", ""), entry["message"]) for path, entry in found]
    lines = [f"- {f'`{path}`: ' if path else ''}{message}" for path, message in named]
    return [f"### {kind} rules", "", "Checked by the API server beyond types and bounds:", "", *lines, ""]


def _validations(schema: Schema) -> list[dict[str, str]]:
    own: list[dict[str, str]] = schema.get(VALIDATIONS, [])
    inner: list[dict[str, str]] = schema.get("items", {}).get(VALIDATIONS, [])
    return own + inner
