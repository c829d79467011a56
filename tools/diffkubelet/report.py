"""What comes out: a table for people, JSON for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tools.diffkubelet.compare import unified
from tools.diffkubelet.run import Result, tally


def line(result: Result, width: int) -> str:
    """One spec in a line, and below it what has no name."""
    verdict = result.verdict
    more = ", ".join(verdict.absent or verdict.named)
    lines = [f"{result.spec.name:{width}}  {verdict.word:9}  {more}".rstrip()]
    lines += [f"    {text}" for text in unified(verdict.unnamed)]
    return "\n".join(lines)


def summary(results: Sequence[Result], unused: Sequence[str]) -> str:
    """How many of each."""
    counts = ", ".join(f"{count} {word}" for word, count in tally(results).items() if count)
    lines = [f"{len(results)} specs: {counts}"]
    absent = sorted({field for result in results for field in result.verdict.absent})
    lines += [f"absent from Moorage's schema: {', '.join(absent)}"] if absent else []
    lines += [f"unused: no spec shows the difference {name} any more: remove it, or write a spec" for name in unused]
    return "\n".join(lines)


def as_json(results: Sequence[Result], unused: Sequence[str]) -> dict[str, Any]:
    """All of it, both reports of each spec included."""
    return {
        "tally": tally(results),
        "unused": list(unused),
        "specs": [
            {
                "name": result.spec.name,
                "topic": result.spec.topic,
                "says": result.spec.says,
                "verdict": result.verdict.word,
                "absent": list(result.verdict.absent),
                "named": {name: [vars(one) for one in found] for name, found in result.verdict.named.items()},
                "unnamed": [vars(one) for one in result.verdict.unnamed],
                "kubelet": result.pod,
                "moorage": result.instance,
            }
            for result in results
        ],
    }
