"""Installed definitions and this release's own, compared field by field: which of the two is stale. Pure.

A field that an installed definition lacks is refused at apply or dropped without a word; one that this release does not know is
passed over by it. A release carries a fingerprint of each of its fields (`fingerprints.json`, generated), so that nobody has to
build the models' schemas to compare.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.api.base import VERSION
from controller.api.structural import VALIDATIONS, Schema, fields

_CHECKED: Final = (
    "type",
    "format",
    "enum",
    "default",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
"""What of a field's schema is compared, beside its rules. Descriptions are not, nor what an API server may add."""

_NAMED: Final = 3
"""Fields that are named in a message; the others are counted."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How an installed definition differs from this release's own, by field path."""

    name: str
    """Of the definition: `containerworkloads.moorage.dev`."""
    lacking: tuple[str, ...] = ()
    """Fields that this release has, and the definition does not: the definition is stale."""
    unknown: tuple[str, ...] = ()
    """Fields that the definition has, and this release does not: this software is stale."""
    different: tuple[str, ...] = ()
    """Fields that both have, and check or default differently."""

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.lacking or self.unknown or self.different)


def fingerprints(schema: Schema) -> dict[str, str]:
    """A fingerprint of each field of spec and status, by path."""
    found: dict[str, str] = {}
    parts = schema.get("properties", {})
    for part in {"spec", "status"} & parts.keys():
        root = parts[part]
        found[part] = _fingerprint(root, required=False)
        found |= {f"{part}.{path}": _fingerprint(node, required=required) for path, node, required in fields(root)}
    return found


def compare(name: str, own: Mapping[str, str], definition: Mapping[str, Any]) -> Drift:
    """Compare an installed CustomResourceDefinition with this release's fingerprints for it."""
    versions = {version["name"]: version for version in definition["spec"]["versions"]}
    schema = versions.get(VERSION, {}).get("schema", {}).get("openAPIV3Schema", {})
    installed = fingerprints(schema)
    return Drift(
        name,
        lacking=_tops(own.keys() - installed.keys()),
        unknown=_tops(installed.keys() - own.keys()),
        different=tuple(sorted(path for path in own.keys() & installed.keys() if own[path] != installed[path])),
    )


def explain(drift: Drift, software: str) -> str:
    """What is stale, and what to do. `software` is `this manager (0.1.0)` or the like."""
    update = "`helm upgrade`, or `moorage crds | kubectl apply --server-side -f -`"
    lacking, unknown = _some(drift.lacking), _some(drift.unknown)
    if lacking and unknown:
        return (
            f"the definition {drift.name} and {software} are of different releases: the definition lacks {lacking}, and "
            f"{software} does not know {unknown}; install both from one release: {update}"
        )
    if lacking:
        return (
            f"the definition {drift.name} is stale: it lacks {lacking}, which {software} knows, so the API server refuses or "
            f"drops what is said there; renew the definitions: {update}"
        )
    if unknown:
        return (
            f"{software} is older than the definition {drift.name}: it does not know {unknown}, and passes over what is said "
            "there; upgrade it to the release of the definitions"
        )
    return (
        f"the definition {drift.name} checks {_some(drift.different)} differently than the release of {software} has it; "
        f"whichever is older, install both from one release: {update}"
    )


def _tops(paths: set[str]) -> tuple[str, ...]:
    """The paths without those below another one of them."""
    return tuple(sorted(p for p in paths if not any(a in paths for a in _above(p))))


def _above(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _some(paths: Sequence[str]) -> str:
    rest = len(paths) - _NAMED
    return ", ".join(paths[:_NAMED]) + (f" (and {rest} more)" if rest > 0 else "")


def _fingerprint(node: Schema, *, required: bool) -> str:
    text = json.dumps([required, _essence(node)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _essence(node: Schema) -> Schema:
    """What is compared of a field, its items' or values' own checks included."""
    out: Schema = {key: node[key] for key in _CHECKED if key in node}
    if VALIDATIONS in node:
        out["rules"] = sorted(entry["rule"] for entry in node[VALIDATIONS])
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            out[key] = _essence(node[key])
    return out
