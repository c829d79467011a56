"""`python -m tools.diffkubelet [NAME ...]`: compare Moorage with a kubelet, spec by spec."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.diffkubelet import compare, report, specs
from tools.diffkubelet.differences import DIFFERENCES
from tools.diffkubelet.room import apply_objects, room
from tools.diffkubelet.run import Result, run
from tools.lab.process import ROOT, make_state
from tools.lab.teardown import down
from tools.progress import ToolError

FOLDER = ROOT / ".diff"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m tools.diffkubelet",
        description="Give the same pod specs to a kubelet and to Moorage, and compare what their processes see.",
        epilog="Exit code 1: a difference that has no name, or, with all specs, a name that none needs.",
    )
    made.add_argument("names", nargs="*", metavar="NAME", help="a spec or a topic; without one: all")
    made.add_argument("-o", "--output", choices=("table", "json"), default="table")
    made.add_argument("--list", action="store_true", help="list the specs")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    options = parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        wanted = specs.chosen(specs.library(), options.names)
        if options.list:
            print("\n".join(f"{spec.topic:12} {spec.name:32} {spec.says}" for spec in wanted))
            return 0
        with _progress_to_stderr():
            results = _results(wanted)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    unused = [] if options.names else compare.unused(DIFFERENCES, (result.verdict for result in results))
    if options.output == "json":
        print(json.dumps(report.as_json(results, unused), indent=1))
    else:
        width = max(len(result.spec.name) for result in results)
        print("\n".join(report.line(result, width) for result in results))
        print(report.summary(results, unused))
    return 1 if unused or any(result.verdict.unnamed for result in results) else 0


def _results(wanted: Sequence[specs.Spec]) -> list[Result]:
    """Start everything, run the specs, and remove everything; when something breaks, its logs stay."""
    state = make_state(FOLDER / f"lab-{os.getpid()}")
    found = []
    with room(state) as everything:
        apply_objects(everything)
        for result in run(everything, wanted):
            found.append(result)
            print(f"  {len(found):3} of {len(wanted)}  {result.spec.name}: {result.verdict.word}", flush=True)
    _tidy(state)
    return found


def _tidy(state: Path) -> None:
    if left := down(state):
        raise ToolError(f"left behind by {state}:\n" + "\n".join(left.describe()))
    with contextlib.suppress(OSError):  # others are in use
        FOLDER.rmdir()


@contextlib.contextmanager
def _progress_to_stderr() -> Iterator[None]:
    """What tells of progress goes to the standard error, so that the result alone is on the standard output."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


if __name__ == "__main__":
    sys.exit(main())
