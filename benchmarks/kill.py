"""`kill -9` of a container's process until its instance is Ready again."""

from __future__ import annotations

import os
import signal
import time

from benchmarks.apply import apply, delete
from benchmarks.bed import Bed
from benchmarks.metrics import Figures
from benchmarks.progress import note
from benchmarks.watch import Object, Watch, is_restarted

RESTART_SECONDS = 60.0


def measure(bed: Bed, figures: Figures, kills: int) -> None:
    """Kill each of some fresh instances once, and do the same by bare calls in turns."""
    applied = apply(bed, "kill", kills)
    with bed.instances() as watch:
        for number, name in enumerate(sorted(watch.objects())):
            bed.settle()
            seconds = _kill(bed, watch, name)
            floor = bed.floor.kill(f"floor-kill-{number}")
            note(f"kill {number + 1} of {kills}: ready again in {seconds:.3f} s, floor {floor:.3f} s")
            figures.add("kill_ready_seconds", "s", seconds)
            figures.add("floor_kill_seconds", "s", floor)
    delete(bed, applied)


def _kill(bed: Bed, watch: Watch, name: str) -> float:
    """Kill the process of one instance; returns the seconds until it is Ready again."""
    pid = bed.tasks()[_container_id(watch.objects()[name])]
    again = watch.expect([name], is_restarted)
    begun = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return again.wait(RESTART_SECONDS, bed.check) - begun


def _container_id(instance: Object) -> str:
    """The runtime's id of an instance's only container, from `runtime://id`."""
    return str(instance["status"]["containers"][0]["containerID"]).partition("://")[2]
