"""Pulls of a large image: by a ContainerImage and by `ctr image pull`, in turns; and the writes of one that takes a minute.

Both fetch from the same registry on loopback, into the same containerd, whose transfer service does the work for both. Between
two pulls the image is removed with all of its content, since containerd does not fetch what another of its namespaces has.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import floor, workloads
from benchmarks.audit import count_writes
from benchmarks.bed import IMAGE, NAMESPACE, QUIET_SECONDS, SETTLE_SECONDS, Bed
from benchmarks.metrics import Figures
from benchmarks.progress import note
from benchmarks.usage import rss_megabytes
from benchmarks.watch import is_gone, is_ready
from controller.runtime.containerd.image.synced import sync
from tools.images import File, Image, Layer, all_images, make_layer, push
from tools.lab.faults import FaultyRegistry

LAYERS = 20
FILES = 16
"""In each layer."""
PULL_SECONDS = 300.0
"""How long a pull may take."""
SLOW_SECONDS = 60.0
"""How long the pull takes whose writes are counted."""
SLOW_MEBIBYTES = 64
RSS_SECONDS = 0.2
"""Between two looks at the agent's memory: nothing tells of it."""


def measure(bed: Bed, figures: Figures, mebibytes: int, rounds: int) -> None:
    """Pull an image of so many MiB by both ways in turns, and look at the agent's memory meanwhile."""
    note(f"make an image of {mebibytes} MiB in {LAYERS} layers")
    reference = _push(bed, _image("large", mebibytes, LAYERS))
    for number in range(rounds):
        bare, synced = _ctr(bed, reference)
        with _rss(bed.pids["agent"]) as rss:
            seconds = _ours(bed, reference, f"large-{number}")
        note(
            f"pull {number + 1} of {rounds}: ready in {seconds:.2f} s, ctr {bare:.2f} s ({synced:.2f} s until synced), "
            f"agent from {rss[0]:.1f} to {max(rss):.1f} MB"
        )
        figures.add("pull_large_seconds", "s", seconds)
        figures.add("floor_pull_large_seconds", "s", bare)
        figures.add("pull_large_ratio_to_floor", "x", seconds / bare)
        figures.add("floor_pull_large_synced_seconds", "s", synced)
        figures.add("pull_large_ratio_to_synced_floor", "x", seconds / synced)
        figures.add("rss_agent_pull_growth_megabytes", "MB", max(rss) - rss[0])


def measure_writes(bed: Bed, figures: Figures) -> None:
    """Count what is written to the API server while an instance waits for a pull that takes a minute."""
    image = _image("slow", SLOW_MEBIBYTES, 4)
    _push(bed, image)
    pace = sum(len(blob.data) for blob in image.blobs) / SLOW_SECONDS
    with FaultyRegistry(bed.registry.host, bytes_per_second=int(pace)) as slow, bed.workloads() as watch:
        manifest = workloads.write(bed.state / "slow.yaml", ["slow"], f"{slow.host}/{image.name}:{image.tag}")
        bed.settle()
        audit = bed.audit()
        ready = watch.expect(["slow"], is_ready)
        begun = time.monotonic()
        bed.plane.kubectl("apply", "--filename", manifest)
        took = ready.wait(PULL_SECONDS, bed.check) - begun
        audit.wait_quiet(QUIET_SECONDS, SETTLE_SECONDS)
        gone = watch.expect(["slow"], is_gone)
        bed.plane.kubectl("delete", "--wait=false", "--filename", manifest)
        gone.wait(SETTLE_SECONDS, bed.check)
    writes = count_writes(audit.requests)
    shown = ", ".join(f"{times} {verb} {resource}" for (verb, resource), times in sorted(writes.items()))
    note(f"a pull of {took:.0f} s: {shown}")
    figures.add("slow_pull_seconds", "s", took)
    figures.add("api_writes_slow_pull", "writes", writes.total())


def _image(name: str, mebibytes: int, layers: int) -> Image:
    """Layers of random bytes, which no compression makes smaller, over those of a shell."""
    size = mebibytes * 2**20 // layers // FILES
    return Image(name, "1", [*_shell().layers, *(_layer(number, size) for number in range(layers - 1))], _shell().config)


def _layer(number: int, size: int) -> Layer:
    bytes_of = random.Random(number).randbytes
    return make_layer({f"data/{number}/{file}": File(bytes_of(size)) for file in range(FILES)}, level=1)


def _shell() -> Image:
    return next(image for image in all_images() if f"{image.name}:{image.tag}" == IMAGE)


def _push(bed: Bed, image: Image) -> str:
    (reference,) = push(bed.registry.host, [image])
    return reference


def _ours(bed: Bed, reference: str, name: str) -> float:
    """Have the node pull it by a ContainerImage, and remove it; returns the seconds until that is Ready."""
    document = {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerImage",
        "metadata": {"name": name, "namespace": workloads.NAMESPACE},
        "spec": {"image": reference},
    }
    manifest = bed.state / f"{name}.json"
    manifest.write_text(json.dumps(document))
    bed.settle()
    os.sync()
    with bed.images() as watch:
        ready = watch.expect([name], is_ready)
        begun = time.monotonic()
        bed.plane.kubectl("apply", "--filename", manifest)
        took = ready.wait(PULL_SECONDS, bed.check) - begun
        gone = watch.expect([name], is_gone)
        bed.plane.kubectl("delete", "--wait=false", "--filename", manifest)
        gone.wait(SETTLE_SECONDS, bed.check)
    bed.settle()
    bed.containerd.ctr("images", "rm", "--sync", reference, namespace=NAMESPACE, timeout=SETTLE_SECONDS)
    return took


def _ctr(bed: Bed, reference: str) -> tuple[float, float]:
    """Pull it by `ctr`, and remove it; returns the seconds of the pull, and those until what it unpacked is on the disk."""
    os.sync()
    begun = time.monotonic()
    bed.containerd.ctr("images", "pull", "--plain-http", reference, namespace=floor.NAMESPACE, timeout=PULL_SECONDS)
    took = time.monotonic() - begun
    sync(str(bed.containerd.state))
    synced = time.monotonic() - begun
    bed.containerd.ctr("images", "rm", "--sync", reference, namespace=floor.NAMESPACE, timeout=SETTLE_SECONDS)
    return took, synced


@contextmanager
def _rss(pid: int) -> Iterator[list[float]]:
    """The resident memory of a process in MB, as it is at the beginning and from then on."""
    seen = [rss_megabytes(pid)]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(RSS_SECONDS):
            seen.append(rss_megabytes(pid))

    looking = threading.Thread(target=look, name="memory of the agent")
    looking.start()
    try:
        yield seen
    finally:
        ended.set()
        looking.join()
