"""What manager and agent cost while nothing happens."""

from __future__ import annotations

from benchmarks.apply import apply, delete
from benchmarks.bed import Bed
from benchmarks.metrics import Figures
from benchmarks.progress import note
from benchmarks.usage import percent_of_core, rss_megabytes


def measure(bed: Bed, figures: Figures, count: int, seconds: float) -> None:
    """Look at them for some seconds with `count` instances, all Ready and all told."""
    applied = apply(bed, "idle", count)
    bed.settle()
    note(f"idle with {count} instances for {seconds:.0f} s")
    others = {"containerd": bed.containerd.process.pid, "apiserver": bed.plane.apiserver.pid}
    used = percent_of_core({**bed.pids, **others}, seconds)
    figures.add("idle_cpu_percent_of_core", "%", sum(used[half] for half in bed.pids))
    for name, percent in used.items():
        figures.add(f"idle_cpu_{name}_percent_of_core", "%", percent)
    for half, pid in bed.pids.items():
        figures.add(f"rss_{half}_megabytes", "MB", rss_megabytes(pid))
    delete(bed, applied)
