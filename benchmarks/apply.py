"""`kubectl apply` of N workloads until all are Ready, their deletion, and the floor of both."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks import workloads
from benchmarks.audit import Request, count_writes, failed_writes
from benchmarks.bed import QUIET_SECONDS, SETTLE_SECONDS, Bed
from benchmarks.metrics import Figures
from benchmarks.progress import note
from benchmarks.usage import machine_cpu, spent
from benchmarks.watch import is_gone, is_ready
from tools.progress import ToolError

READY_SECONDS = 120.0
GONE_SECONDS = 120.0
POLL_SECONDS = 0.02
FLOOR_PROCESSES = ("containerd", "shims", "benchmark")
"""What takes part in the floor; the others are idle then."""


@dataclass(frozen=True)
class Applied:
    """What one apply took."""

    names: Sequence[str]
    manifest: Path
    ready_seconds: float
    kubectl_seconds: float
    cores_busy: float
    """CPU of all that takes part, until Ready, by time."""
    cores_others: float
    """The same of everything else on the machine."""
    cpu: dict[str, float]
    """Seconds until all was quiet, by process."""
    requests: Sequence[Request]
    """All that the API server answered until then."""


def apply(bed: Bed, prefix: str, count: int, *, sample: bool = False, attached: bool = False) -> Applied:
    """Apply workloads and wait until they are Ready, then until nobody writes any more.

    Args:
        bed: where.
        prefix: beginning of the workloads' names.
        count: number of workloads.
        sample: let the processes that run under the sampler take samples meanwhile.
        attached: on networks of their own, by CNI.
    """
    names = workloads.names(prefix, count)
    manifest = workloads.write(bed.state / f"{prefix}.yaml", names, bed.image, attached=attached)
    bed.settle()
    audit = bed.audit()
    with bed.workloads() as watch, bed.sampling() if sample else nullcontext():
        ready = watch.expect(names, is_ready)
        before = bed.usage.look()
        machine = machine_cpu()
        begun = time.monotonic()
        bed.plane.kubectl("apply", "--filename", manifest, timeout=READY_SECONDS)
        applied = time.monotonic()
        at = ready.wait(READY_SECONDS, bed.check)
        machine = machine_cpu() - machine
        used = sum(spent(before, bed.usage.look()).values())
        audit.wait_quiet(QUIET_SECONDS, SETTLE_SECONDS)
        cpu = spent(before, bed.usage.look())
    took = at - begun
    cores = used / took, max(machine - used, 0.0) / took
    return Applied(names, manifest, took, applied - begun, *cores, cpu, tuple(audit.requests))


def delete(bed: Bed, applied: Applied) -> float:
    """Delete what was applied; returns the seconds until its instances and all containers are gone."""
    with bed.instances() as watch:
        gone = watch.expect(watch.objects(), is_gone)
        begun = time.monotonic()
        bed.plane.kubectl("delete", "--wait=false", "--filename", applied.manifest, timeout=GONE_SECONDS)
        at = gone.wait(GONE_SECONDS, bed.check)
        while left := bed.containers():
            if time.monotonic() > begun + GONE_SECONDS:
                raise ToolError(f"containers are left although their instances are gone: {', '.join(left[:5])}")
            time.sleep(POLL_SECONDS)
            at = time.monotonic()
    return at - begun


@dataclass(frozen=True)
class Floored:
    """What the floor of an apply and of its deletion took."""

    start_seconds: float
    remove_seconds: float
    cpu: dict[str, float]
    """Seconds of the start, by process."""


def floor(bed: Bed, prefix: str, count: int, *, product_spec: bool = False, attached: bool = False) -> Floored:
    """Start as many containers by bare calls, and remove them; `attached`: by bare calls of CNI's plugins, too."""
    ids = workloads.names(prefix, count)
    bed.settle()
    before = bed.usage.look()
    started = bed.floor.start(ids, product_spec=product_spec, attached=attached)
    cpu = spent(before, bed.usage.look())
    return Floored(started, bed.floor.remove(ids, attached=attached), {process: cpu[process] for process in FLOOR_PROCESSES})


def measure(bed: Bed, figures: Figures, count: int, rounds: int, *, details: bool, deletion: bool) -> None:
    """Apply, delete and the floor, in turns.

    Args:
        bed: where.
        figures: take the samples.
        count: number of workloads.
        rounds: how many times.
        details: also CPU, API requests and the floor with the product's OCI spec.
        deletion: also the time that the deletion takes, and its floor.
    """
    for number in range(rounds):
        applied = apply(bed, f"apply-{count}-{number}", count, sample=details)
        deleted = delete(bed, applied)
        bare = floor(bed, f"floor-{count}-{number}", count)
        note(
            f"{count}, round {number + 1} of {rounds}: ready in {applied.ready_seconds:.2f} s "
            f"(kubectl {applied.kubectl_seconds:.2f} s), floor {bare.start_seconds:.2f} s, "
            f"deleted in {deleted:.2f} s, floor {bare.remove_seconds:.2f} s"
        )
        figures.add(f"apply_ready_{count}_seconds", "s", applied.ready_seconds)
        figures.add(f"kubectl_apply_{count}_seconds", "s", applied.kubectl_seconds)
        figures.add(f"floor_{count}_seconds", "s", bare.start_seconds)
        figures.add(f"apply_ready_{count}_ratio_to_floor", "x", applied.ready_seconds / bare.start_seconds)
        if deletion:
            figures.add(f"delete_{count}_seconds", "s", deleted)
            figures.add(f"floor_delete_{count}_seconds", "s", bare.remove_seconds)
        if details:
            like_ours = floor(bed, f"spec-{count}-{number}", count, product_spec=True)
            figures.add(f"floor_{count}_product_spec_seconds", "s", like_ours.start_seconds)
            _add_writes(figures, applied, count)
            _add_cpu(figures, applied, bare, like_ours)


def measure_attached(bed: Bed, figures: Figures, count: int, rounds: int) -> None:
    """Apply, delete and the floor on networks of their own, by CNI, in turns."""
    for number in range(rounds):
        applied = apply(bed, f"cni-{count}-{number}", count, attached=True)
        deleted = delete(bed, applied)
        bare = floor(bed, f"floor-cni-{count}-{number}", count, attached=True)
        note(
            f"{count} by CNI, round {number + 1} of {rounds}: ready in {applied.ready_seconds:.2f} s, "
            f"floor {bare.start_seconds:.2f} s, deleted in {deleted:.2f} s, floor {bare.remove_seconds:.2f} s"
        )
        figures.add(f"apply_ready_{count}_cni_seconds", "s", applied.ready_seconds)
        figures.add(f"floor_{count}_cni_seconds", "s", bare.start_seconds)
        figures.add(f"apply_ready_{count}_cni_ratio_to_floor", "x", applied.ready_seconds / bare.start_seconds)
        figures.add(f"delete_{count}_cni_seconds", "s", deleted)
        figures.add(f"floor_delete_{count}_cni_seconds", "s", bare.remove_seconds)


def _add_cpu(figures: Figures, applied: Applied, bare: Floored, like_ours: Floored) -> None:
    count = len(applied.names)
    for name, cpu in (
        (f"cpu_{count}", applied.cpu),
        (f"cpu_floor_{count}", bare.cpu),
        (f"cpu_floor_{count}_product_spec", like_ours.cpu),
    ):
        for process, seconds in cpu.items():
            figures.add(f"{name}_{process}_seconds", "s", seconds)
    figures.add(f"cpu_{count}_ratio_to_floor", "x", sum(applied.cpu.values()) / sum(bare.cpu.values()))
    figures.add(f"cores_busy_{count}", "cores", applied.cores_busy)
    figures.add(f"cores_others_{count}", "cores", applied.cores_others)


def _add_writes(figures: Figures, applied: Applied, count: int) -> None:
    writes = count_writes(applied.requests)
    figures.add("api_writes_per_instance", "writes", writes.total() / count)
    for (verb, resource), times in sorted(writes.items()):
        name = f"api_writes_{verb}_{resource.replace('/', '_')}_per_instance"
        figures.add(name, "writes", times / count)
    reads = sum(1 for request in applied.requests if request.read)
    figures.add("api_reads_per_instance", "reads", reads / count)
    note(f"    writes: {_shown(writes)}; refused: {_shown(failed_writes(applied.requests)) or 'none'}")


def _shown(counted: Counter[tuple[str, str]] | Counter[tuple[str, str, int]]) -> str:
    return ", ".join(f"{times} {' '.join(map(str, what))}" for what, times in sorted(counted.items()))
