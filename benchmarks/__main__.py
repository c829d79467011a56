"""`python -m benchmarks`: measure speed and cost of Moorage beside the floor."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import apply, idle, kill, pull, report
from benchmarks.bed import HALVES, Bed
from benchmarks.metrics import (
    CNI_SIZE,
    DELETE_SIZE,
    LARGE_MEBIBYTES,
    QUICK_LARGE_MEBIBYTES,
    QUICK_SIZES,
    SIZES,
    Figures,
    selected,
)
from benchmarks.progress import note
from tools.lab.process import ROOT
from tools.progress import ToolError

FOLDER = ROOT / ".bench"
LOCK = Path(tempfile.gettempdir()) / "moorage-benchmark.lock"
SINGLE_ROUNDS = 7
"""Rounds for one workload, and kills: quick, and noisier than many at once."""
ROUNDS = 3
QUICK_ROUNDS = 1
IDLE_SECONDS = 30.0
QUICK_IDLE_SECONDS = 10.0


@dataclass(frozen=True)
class Section:
    """A measurement and the names of the figures that it gives."""

    names: Sequence[str]
    run: Callable[[Bed, Figures], None]


def sections(options: argparse.Namespace) -> list[Section]:
    """The measurements that the command line asks for."""
    sizes: Sequence[int] = QUICK_SIZES if options.quick else SIZES
    largest = max(sizes)
    delete_size = largest if options.quick else DELETE_SIZE
    found = []
    for size in sizes:
        details, deletion = size == largest, size == delete_size
        names = [f"{name}_{size}_seconds" for name in ("apply_ready", "kubectl_apply", "floor")]
        names += [f"apply_ready_{size}_ratio_to_floor"]
        names += [f"delete_{size}_seconds", f"floor_delete_{size}_seconds"] if deletion else []
        if details:
            names += [f"floor_{size}_product_spec_seconds", "api_writes_per_instance", "api_reads_per_instance"]
            names += [f"cpu_{size}_ratio_to_floor", f"cores_busy_{size}", f"cores_others_{size}"]
        rounds = _rounds(options, single=size == 1)
        found.append(Section(names, partial(apply.measure, count=size, rounds=rounds, details=details, deletion=deletion)))
    cni = largest if options.quick else CNI_SIZE
    names = [f"{name}_{cni}_cni_seconds" for name in ("apply_ready", "floor", "delete", "floor_delete")]
    names += [f"apply_ready_{cni}_cni_ratio_to_floor"]
    found.append(Section(names, partial(apply.measure_attached, count=cni, rounds=_rounds(options, single=False))))
    kills = _rounds(options, single=True)
    found.append(Section(["kill_ready_seconds", "floor_kill_seconds"], partial(kill.measure, kills=kills)))
    seconds = QUICK_IDLE_SECONDS if options.quick else IDLE_SECONDS
    rss = [f"rss_{half}_megabytes" for half in HALVES]
    found.append(Section(["idle_cpu_percent_of_core", *rss], partial(idle.measure, count=largest, seconds=seconds)))
    names = [
        "pull_large_seconds",
        "floor_pull_large_seconds",
        "pull_large_ratio_to_floor",
        "pull_large_ratio_to_synced_floor",
        "rss_agent_pull_growth_megabytes",
    ]
    size = QUICK_LARGE_MEBIBYTES if options.quick else LARGE_MEBIBYTES
    found.append(Section(names, partial(pull.measure, mebibytes=size, rounds=_rounds(options, single=True))))
    found.append(Section(["api_writes_slow_pull", "slow_pull_seconds"], pull.measure_writes))
    return [section for section in found if selected(options.only, section.names)]


def _rounds(options: argparse.Namespace, *, single: bool) -> int:
    if options.runs:
        return int(options.runs)
    if options.quick:
        return ROUNDS if single else QUICK_ROUNDS
    return SINGLE_ROUNDS if single else ROUNDS


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure speed and cost of Moorage on real components, beside the floor: bare calls of containerd's API.",
        epilog="figures:\n" + report.explanations(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--only", default="", metavar="NAMES", help="only what gives these figures (commas, * and ? are allowed)")
    made.add_argument("--quick", action="store_true", help="1 and 20 workloads instead of 1, 50 and 100, and fewer rounds")
    made.add_argument("--runs", type=int, default=0, metavar="N", help="rounds of everything (default: 7 for one, 3 for many)")
    made.add_argument("--keep", action="store_true", help="leave all components running afterwards")
    made.add_argument(
        "--profile",
        action="append",
        choices=HALVES,
        default=[],
        help="run this half under a sampling profiler, and write where its CPU goes in the largest apply; costs some percent",
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Measure what the command line asks for; returns the exit code."""
    options = parser().parse_args(arguments)
    wanted = sections(options)
    if not wanted:
        print(f"error: no figure is called {options.only}; see --help", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):  # the latter is ignored in the background of a shell script
        signal.signal(number, signal.default_int_handler)
    FOLDER.mkdir(exist_ok=True)
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    profiles = {half: FOLDER / f"{name}-{half}.profile" for half in options.profile}
    try:
        with _alone():
            figures, environment = _measure(wanted, profiles, FOLDER / f"{name}-failed", keep=options.keep)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    for figure in figures:
        print(figure)
    path = report.write(FOLDER, name, report.as_json(figures, environment, vars(options)))
    for written in (path, *profiles.values()):
        note(f"written: {written.relative_to(Path.cwd()) if written.is_relative_to(Path.cwd()) else written}")
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other benchmark runs on this machine: two at once would measure each other."""
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("another benchmark runs on this machine: wait for its end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _measure(
    wanted: Sequence[Section], profiles: dict[str, Path], evidence: Path, *, keep: bool
) -> tuple[Figures, dict[str, str | int | float]]:
    figures = Figures()
    with Bed(FOLDER / f"lab-{os.getpid()}", evidence, profile=profiles, keep=keep) as bed:
        environment = bed.environment()
        note("warm up")
        apply.measure(bed, Figures(), count=2, rounds=1, details=False, deletion=False)
        for section in wanted:
            section.run(bed, figures)
    return figures, environment


if __name__ == "__main__":
    sys.exit(main())
