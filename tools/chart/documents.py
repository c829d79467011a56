"""The described values -> `values.schema.json` and the table of the chart's README. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tools.chart.values import Value

BEGIN = "<!-- values: made from values.yaml by `make generate` -->"
END = "<!-- end of values -->"

_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def schema(values: Sequence[Value]) -> str:
    """The JSON Schema that Helm checks a user's values against."""
    root = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart moorage",
        "$comment": "Generated from values.yaml by `make generate`. Change the comments there, not this file.",
        **_group(values),
    }
    root["properties"]["global"] = {"type": "object", "description": "Of a parent chart; not used."}
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def table(values: Sequence[Value]) -> str:
    """The values as a Markdown table."""
    rows = [f"| `{v.name}` | {_cell(v.text)} | `{json.dumps(v.default, ensure_ascii=False)}` |" for v in _leaves(values)]
    return "\n".join(["| value | meaning | default |", "|---|---|---|", *rows])


def with_table(readme: str, values: Sequence[Value]) -> str:
    """The README with the table between its two marks.

    Raises:
        ValueError: when a mark is missing.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has no place for the table: it needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{table(values)}\n\n{END}{tail}"


def _leaves(values: Sequence[Value]) -> list[Value]:
    return [leaf for value in values for leaf in value.leaves()]


def _group(values: Sequence[Value]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [value.path[-1] for value in values],
        "properties": {value.path[-1]: _schema(value) for value in values},
    }


def _schema(value: Value) -> dict[str, Any]:
    if value.children:
        return _group(value.children) | value.keywords
    kind: dict[str, Any] = {"type": _TYPES[type(value.default)], "description": value.text, "default": value.default}
    if isinstance(value.default, dict):
        kind["additionalProperties"] = False
    return kind | value.keywords


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
