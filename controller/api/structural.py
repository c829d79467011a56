"""pydantic's JSON schema -> the structural schema that a CustomResourceDefinition may carry (apiextensions.k8s.io/v1).

What changes on the way:

- `$ref` is inlined, titles are dropped, `X | None` becomes X.
- Defaults become the API server's defaults in `spec`. An object whose fields all have defaults defaults to `{}`, so that the
  defaults inside it apply. An empty text, list or map is no default: absent means the same.
- In `status` there are no defaults: what an agent or the manager did not write is not there.
"""

from collections.abc import Iterator
from typing import Any

from controller.api.base import Model

Schema = dict[str, Any]

VALIDATIONS = "x-kubernetes-validations"
_DROPPED = {"title", "default", "$defs"}


def structural(model: type[Model], *, defaults: bool) -> Schema:
    """The structural schema of a model, with defaults for the API server or without.

    Raises:
        ValueError: when the model says something that a structural schema cannot.
    """
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(raw, raw.get("$defs", {}), defaults=defaults)


def _convert(node: Schema, definitions: dict[str, Schema], *, defaults: bool) -> Schema:
    node = _optional(_inline(node, definitions), definitions)
    out = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in out:
        out["enum"] = [out.pop("const")]
    if out.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    elif "anyOf" in out or "allOf" in out or "type" not in out:
        raise ValueError(f"not structural: {out}")
    if "properties" in out:
        out["properties"] = {name: _convert(child, definitions, defaults=defaults) for name, child in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _convert(out[key], definitions, defaults=defaults)
            out[key].pop("default", None)  # an item that is in the list is never absent
    if defaults and (default := _default(node, out)) is not None:
        out["default"] = default
    return _ordered(out)


def _inline(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """The node with its `$ref` replaced; what stands beside the reference wins, and CEL rules of both hold."""
    if "$ref" not in node:
        return node
    target = _inline(definitions[node["$ref"].removeprefix("#/$defs/")], definitions)
    beside = {key: value for key, value in node.items() if key != "$ref"}
    both = target.get(VALIDATIONS, []) + beside.get(VALIDATIONS, [])
    return target | beside | ({VALIDATIONS: both} if both else {})


def _optional(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """`X | None` as X: in the API, what is not set is absent, never null."""
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) != 1:
        return node
    beside = {key: value for key, value in node.items() if key != "anyOf"}
    return _inline(choices[0] | beside, definitions)


def _default(node: Schema, converted: Schema) -> Any:
    """The API server's default, or None for none."""
    given = node.get("default")
    if "default" in node and given is None:
        return None  # absent says something else than empty
    if given not in (None, "", [], {}):
        return given
    properties = converted.get("properties")
    if properties and not converted.get("required") and any("default" in child for child in properties.values()):
        return {}
    return None


def _ordered(node: Schema) -> Schema:
    """Keys in a fixed order, so that the same models always give the same text."""
    first = ("type", "description", "format", "enum", "default")
    return {key: node[key] for key in (*first, *sorted(node.keys() - {*first})) if key in node}


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Every field below a schema in reading order: its path (`containers[].name`), its schema, whether it is required."""
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        items = child.get("items", {})
        here += "[]" if "properties" in items else ""
        yield here, child, name in required
        yield from fields(items or child, here)
