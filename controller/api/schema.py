"""The models -> `crds/*.yaml`, `docs/api.md` and the fields' fingerprints: pure and deterministic.

`python -m controller.api.schema` writes them, or checks those that are there:

python -m controller.api.schema crds --docs docs/api.md --fields controller/api/fingerprints.json          # make generate
python -m controller.api.schema crds --docs docs/api.md --fields controller/api/fingerprints.json --check  # make verify
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from controller.api.base import GROUP, VERSION, Column, Model
from controller.api.document import document
from controller.api.drift import fingerprints
from controller.api.image import ContainerImage
from controller.api.instance import ContainerInstance
from controller.api.node import RuntimeNode
from controller.api.nodeimages import NodeImages
from controller.api.structural import VALIDATIONS, Schema, structural
from controller.api.workload import ContainerWorkload

Kind = type[ContainerWorkload | ContainerInstance | RuntimeNode | ContainerImage | NodeImages]

KINDS: Final[tuple[Kind, ...]] = (ContainerWorkload, ContainerInstance, RuntimeNode, ContainerImage, NodeImages)

_HEADER = "# Generated from controller/api by `make generate`. Change the models, not this file.\n"
_TYPE_META: Final[dict[str, Schema]] = {
    "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
    "kind": {"type": "string", "description": "The kind of this object."},
    "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
}


def crds() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions of all kinds."""
    return [_crd(kind) for kind in KINDS]


def to_yaml(definition: dict[str, Any]) -> str:
    """One definition as a YAML document."""
    text: str = yaml.dump(definition, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return _HEADER + text


def files() -> dict[str, str]:
    """File name -> content, of all that belongs into the folder of definitions."""
    return {f"{GROUP}_{definition['spec']['names']['plural']}.yaml": to_yaml(definition) for definition in crds()}


def reference() -> str:
    """The API reference as Markdown."""
    return document(crds(), [(kind.__doc__ or "").strip() for kind in KINDS])


def fields_file() -> str:
    """The file `fingerprints.json`: fingerprints of all fields of this release, by definition."""
    found = {}
    for definition in crds():
        (version,) = definition["spec"]["versions"]
        found[definition["metadata"]["name"]] = fingerprints(version["schema"]["openAPIV3Schema"])
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def _crd(kind: Kind) -> dict[str, Any]:
    subresources: dict[str, Any] = {"status": {}}
    if scale := getattr(kind, "SCALE", None):
        subresources["scale"] = dict(scale)
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": subresources,
        "additionalPrinterColumns": [_column(column) for column in kind.COLUMNS],
        "schema": {"openAPIV3Schema": _root(kind)},
    }
    if selectable := getattr(kind, "SELECTABLE", ()):
        version["selectableFields"] = [{"jsonPath": path} for path in selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.KIND,
                "listKind": f"{kind.KIND}List",
                "plural": kind.PLURAL,
                "singular": kind.SINGULAR,
                "shortNames": list(kind.SHORT_NAMES),
                "categories": ["moorage"],
            },
            "scope": "Namespaced" if kind.NAMESPACED else "Cluster",
            "versions": [version],
        },
    }


def _column(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        entry["description"] = column.description
    return entry | ({"priority": 1} if column.wide else {})


def _root(kind: Kind) -> Schema:
    """The schema of the whole object: spec with defaults, status without any but the generation nobody has seen yet."""
    spec = _part(kind, "spec", defaults=True)
    status = _part(kind, "status", defaults=False)
    status["default"] = {"observedGeneration": -1}
    raw = kind.model_json_schema(by_alias=True)
    root: Schema = {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "properties": {**_TYPE_META, "spec": spec, "status": status},
    }
    if "spec" in raw.get("required", ()):
        root["required"] = ["spec"]
    if VALIDATIONS in raw:
        root[VALIDATIONS] = raw[VALIDATIONS]
    return root


def _part(kind: type[Model], name: str, *, defaults: bool) -> Schema:
    part: Schema = structural(kind, defaults=defaults)["properties"][name]
    return part


class _Dumper(yaml.SafeDumper):
    """Block style, lists indented below their key, no anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001 - the same
        super().increase_indent(flow, False)


def main(arguments: list[str] | None = None) -> int:
    """Write the generated files, or with --check report those that differ. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m controller.api.schema", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the definitions")
    parser.add_argument("--docs", type=Path, help="file of the API reference")
    parser.add_argument("--fields", type=Path, help="file of the fields' fingerprints")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    options = parser.parse_args(arguments)
    wanted = {options.folder / name: text for name, text in files().items()}
    if options.docs:
        wanted[options.docs] = reference()
    if options.fields:
        wanted[options.fields] = fields_file()
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    stale += [path for path in options.folder.glob("*.yaml") if path not in wanted]
    if options.check:
        for path in stale:
            sys.stderr.write(f"{path} is not up to date: run `make generate`\n")
        return 1 if stale else 0
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
