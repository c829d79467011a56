"""What comes out: lines for people, and JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.metrics import EXPLANATIONS, Figure, Figures


def as_json(figures: Figures, environment: Mapping[str, object], options: Mapping[str, object]) -> dict[str, Any]:
    """All figures with what is needed to judge them."""
    return {
        "environment": dict(environment),
        "options": dict(options),
        "figures": {figure.name: _figure(figure) for figure in figures},
    }


def write(folder: Path, name: str, document: Mapping[str, Any]) -> Path:
    """Write a run's figures into a file of their own, and into `latest.json`; returns the path of the former."""
    folder.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2) + "\n"
    path = folder / f"{name}.json"
    for file in (path, folder / "latest.json"):
        unfinished = file.with_name(f".{file.name}")
        unfinished.write_text(text)
        unfinished.replace(file)
    return path


def explanations() -> str:
    """Every figure with its meaning, for `--help`."""
    width = max(map(len, EXPLANATIONS))
    return "\n".join(f"  {name:{width}}  {meaning}" for name, meaning in EXPLANATIONS.items())


def _figure(figure: Figure) -> dict[str, Any]:
    found: dict[str, Any] = {"value": figure.value, "unit": figure.unit, "samples": list(figure.samples)}
    if figure.target is not None:
        found |= {"target": figure.target, "met": figure.met}
    return found
