"""The table -> the chart's `templates/policies/pod-security.yaml`.

python -m controller.api.podsecurity.generate helm/moorage          # make generate
python -m controller.api.podsecurity.generate helm/moorage --check  # make verify
"""

import argparse
import sys
from pathlib import Path
from typing import Any, Final, cast

import yaml

from controller.api.podsecurity.cel import policies
from controller.api.podsecurity.levels import Level, LevelVersion, Mode, Policy

TEMPLATE: Final = Path("templates/policies/pod-security.yaml")

_HEADER: Final = """\
{{- /*
Generated from controller/api/podsecurity by `make generate`. Change the table there, not this file.

The Pod Security Standards for workloads and instances, by the labels of their namespace. Of an update only what changes a field
that they look at is judged, so that an object that was let in earlier can still be scaled, suspended and deleted.
*/}}
{{- if .Values.admissionPolicies.enabled }}
"""
_LABELS: Final = '  labels:\n    {{- include "moorage.labels" (dict "root" $) | nindent 4 }}\n'


def template() -> str:
    """The template. The levels of namespaces without labels are values of the chart."""
    documents = []
    for made in policies(_from_values()):
        text = yaml.dump(made, Dumper=_Dumper, sort_keys=False, width=120)
        head, separator, tail = text.partition("spec:\n")
        documents.append(f"---\n{head}{_LABELS}{separator}{tail}")
    return f"{_HEADER}{''.join(documents)}{{{{- end }}}}\n"


def _from_values() -> Policy:
    """Helm's references to values in the place of levels and versions; `values.schema.json` allows nothing else in them."""

    def of(mode: Mode) -> LevelVersion:
        value = f"{{{{ $.Values.podSecurity.{mode} }}}}"
        return LevelVersion(cast("Level", value), f"{{{{ $.Values.podSecurity.{mode}Version }}}}")

    return Policy(enforce=of(Mode.ENFORCE), warn=of(Mode.WARN), audit=of(Mode.AUDIT))


class _Dumper(yaml.SafeDumper):
    """Block style, lists indented below their key, no anchors, and texts of several lines as they are."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001 - the same
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    long = "\n" in text or len(text) > 60
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if long else None)


_Dumper.add_representer(str, _text)


def main(arguments: list[str] | None = None) -> int:
    """Write the template, or with --check tell whether it differs. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m controller.api.podsecurity.generate", description=__doc__)
    parser.add_argument("chart", type=Path, help="folder of the chart")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not up to date")
    options = parser.parse_args(arguments)
    path, wanted = options.chart / TEMPLATE, template()
    if path.is_file() and path.read_text() == wanted:
        return 0
    if options.check:
        sys.stderr.write(f"{path} is not up to date: run `make generate`\n")
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
