"""A profile: how much CPU went where, from samples of stacks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from tools.lab.process import ROOT

Stack = tuple[tuple[str, str], ...]
"""File and qualified name of each function, the outermost first."""

T = TypeVar("T")

ROWS = 40

Label = Callable[[str, str], "str | None"]
"""The name of a function in a table, from its file and qualified name; None leaves it out."""


class Profile:
    """Samples of the stacks of a process's threads, with the CPU time of each."""

    def __init__(self, stacks: Mapping[tuple[str, Stack], int], cpu: Mapping[str, float]) -> None:
        """Scale the samples.

        Args:
            stacks: number of samples by the name of the thread and its stack.
            cpu: seconds by the name of the thread.
        """
        samples: Counter[str] = Counter()
        for (thread, _), count in stacks.items():
            samples[thread] += count
        self._cpu = cpu
        self._samples = samples
        self._seconds: defaultdict[tuple[str, Stack], float] = defaultdict(float)
        for (thread, stack), count in stacks.items():
            self._seconds[thread, stack] += cpu.get(thread, 0.0) * count / samples[thread]

    def innermost(self, label: Label) -> dict[str, float]:
        """Seconds by the innermost function of each stack for which there is a label."""
        found: defaultdict[str, float] = defaultdict(float)
        for (_, stack), seconds in self._seconds.items():
            labels = (name for function in reversed(stack) if (name := label(*function)) is not None)
            found[next(labels, "(none)")] += seconds
        return found

    def cumulative(self, label: Label) -> dict[str, float]:
        """Seconds by function for which there is a label, with all that it called."""
        found: defaultdict[str, float] = defaultdict(float)
        for (_, stack), seconds in self._seconds.items():
            for name in {name for function in stack if (name := label(*function)) is not None}:
                found[name] += seconds
        return found

    def write(self, path: Path) -> None:
        """Write the tables to `path`, and the stacks to `path` with the suffix `.folded`."""
        total = sum(self._cpu.values())
        parts = [
            f"CPU {total:.2f} s\n",
            _table("by thread (samples of it)", self._threads(), total),
            _table("by package of the function that ran", self.innermost(package), total),
            _table("by function of Moorage, with what it called outside of Moorage", self.innermost(own_label), total),
            _table("by function alone", self.innermost(function_label), total),
            _table("by function of Moorage with all that it called", self.cumulative(own_label), total),
            _table("by function with all that it called", self.cumulative(function_label), total),
        ]
        path.write_text("\n".join(parts))
        folded = (
            f"{';'.join([thread, *(function_label(*function) for function in stack)])} {round(seconds * 1e6)}"
            for (thread, stack), seconds in _sorted(self._seconds)
        )
        path.with_suffix(".folded").write_text("".join(f"{line}\n" for line in folded))

    def _threads(self) -> dict[str, float]:
        return {f"{name} ({self._samples[name]})": seconds for name, seconds in self._cpu.items()}


def function_label(file: str, name: str) -> str:
    """A function for people: the file from its package on, and the name."""
    path = Path(file)
    parts = path.parts
    for anchor in ("site-packages", f"python{_python(parts)}"):
        if anchor in parts:
            return f"{'/'.join(parts[parts.index(anchor) + 1 :])}:{name}"
    return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else file}:{name}"


def own_label(file: str, name: str) -> str | None:
    """The label of a function of Moorage; None for others."""
    return function_label(file, name) if Path(file).is_relative_to(ROOT / "controller") else None


def package(file: str, _name: str) -> str:
    """The package that a function belongs to; one of Moorage down to its module."""
    label = function_label(file, "").removesuffix(":")
    return label if label.startswith("controller/") else label.partition("/")[0].removesuffix(".py")


def _python(parts: tuple[str, ...]) -> str:
    """The version in the name of the standard library's folder."""
    return next((part.removeprefix("python") for part in reversed(parts) if part.startswith("python3.")), "")


def _table(title: str, rows: Mapping[str, float], total: float) -> str:
    lines = [f"{seconds:8.3f} s {seconds / max(total, 1e-9):6.1%}  {name}" for name, seconds in _sorted(rows)[:ROWS]]
    return "\n".join([title, *lines, ""])


def _sorted(rows: Mapping[T, float]) -> list[tuple[T, float]]:
    """The rows, the largest first."""
    return sorted(rows.items(), key=lambda row: -row[1])
