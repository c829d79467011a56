"""Write or check what is generated of the chart: `python -m tools.chart [--check]`, from `make generate` and `make verify`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from controller import __version__
from controller.api import schema
from tools.chart import documents, manifests, values

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "moorage"
INSTALL = ROOT / "manifests" / "install.yaml"


def generated() -> dict[Path, str]:
    """Path -> content of all that is made before the chart can be rendered.

    Raises:
        ValuesError: when `values.yaml` does not describe a value.
    """
    described = values.read((CHART / "values.yaml").read_text())
    readme, chart = CHART / "README.md", CHART / "Chart.yaml"
    return {
        **{CHART / "files" / "crds" / name: text for name, text in schema.files().items()},
        CHART / "values.schema.json": documents.schema(described),
        readme: documents.with_table(readme.read_text(), described),
        chart: re.sub(r"^(version|appVersion): .*$", rf"\1: {__version__}", chart.read_text(), flags=re.MULTILINE),
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with --check name those that differ. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.chart", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    options = parser.parse_args(arguments)
    try:
        wanted = generated()
        stale = _differing(wanted) + [path for path in (CHART / "files" / "crds").glob("*.yaml") if path not in wanted]
        if not options.check:
            _write(stale, wanted)
        # Rendered from the files above, so after them; with --check it may rather not render at all when one is stale.
        if not (options.check and stale):
            wanted |= {INSTALL: manifests.plain(CHART)}
            rendered = _differing({INSTALL: wanted[INSTALL]})
            if not options.check:
                _write(rendered, wanted)
            stale += rendered
    except (values.ValuesError, manifests.RenderError) as exc:
        sys.stderr.write(f"helm/moorage: {exc}\n")
        return 1
    if options.check:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date: run `make generate`\n")
    return 1 if options.check and stale else 0


def _differing(wanted: dict[Path, str]) -> list[Path]:
    return [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]


def _write(stale: list[Path], wanted: dict[Path, str]) -> None:
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
