"""Which shims containerd has lost, told from what /proc shows of real processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.runtime.containerd.container.orphans import Process, end, lost_shims
from controller.runtime.containerd.handlers import Handler

SHIM = "containerd-shim-runc-v2"
SCRIPT = """
import socket, subprocess, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
child = subprocess.Popen(["sleep", "60"]) if sys.argv[2] == "busy" else None
print("ready", flush=True)
sys.stdin.read()
child and child.kill()
"""
"""Stands in for a shim: a process of that name that listens on a socket, with or without something to serve."""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process that looks like a shim of the container `name`, in a bundle of its own."""
    started: list[subprocess.Popen[str]] = []

    def begin(name: str, *, known: bool, busy: bool = False, namespace: str = "n", shim: str = SHIM) -> subprocess.Popen[str]:
        bundle = tmp_path / "bundles" / name
        bundle.mkdir(parents=True)
        path = tmp_path / f"{name}.sock"
        if known:
            (bundle / "bootstrap.json").write_text(f'{{"version":3,"address":"unix://{path}","protocol":"ttrpc"}}')
        command = [shim, "-c", SCRIPT, str(path), "busy" if busy else "idle"]
        command += ["-namespace", namespace, "-id", name, "-address", str(tmp_path / "containerd.sock")]
        process = subprocess.Popen(
            command, executable=sys.executable, cwd=bundle, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in started:
        process.communicate(timeout=10)


def _lost(folder: Path) -> frozenset[Process]:
    return lost_shims(str(folder / "containerd.sock"), "n", {SHIM, "containerd-shim-kata-v2"})


def test_only_an_idle_shim_that_no_bundle_knows_is_lost(start: Start, tmp_path: Path) -> None:
    """Not one that is known, not one with something to serve, not one of another namespace."""
    start("known", known=True)
    start("serving", known=False, busy=True)
    start("foreign", known=False, namespace="other")
    start("nobody's", known=False, shim="containerd-shim-runsc-v1")
    lost = start("lost", known=False)
    assert [p.pid for p in _lost(tmp_path)] == [lost.pid]


def test_shims_of_other_handlers_are_found(start: Start, tmp_path: Path) -> None:
    """By the name that containerd derives from the runtime's; one that it knows is left alone."""
    start("known", known=True, shim="containerd-shim-kata-v2")
    lost = start("lost", known=False, shim="/opt/kata/bin/containerd-shim-kata-v2")
    assert [p.pid for p in _lost(tmp_path)] == [lost.pid]
    assert Handler("kata", "io.containerd.kata.v2").shim == "containerd-shim-kata-v2"
    assert Handler("sandboxed", "io.containerd.runsc.v1").shim == "containerd-shim-runsc-v1"
    assert Handler("runc").shim == SHIM


def test_a_lost_shim_is_ended_with_its_socket_and_only_once(start: Start, tmp_path: Path) -> None:
    """By its pid and start, so that no other process with that pid is ever hit."""
    lost = start("lost", known=False)
    (found,) = _lost(tmp_path)
    assert not end(Process(found.pid, "0"))
    assert lost.poll() is None
    assert end(found)
    assert lost.wait(timeout=10) == -9
    assert not (tmp_path / "lost.sock").exists()
    assert not end(found)
    assert _lost(tmp_path) == frozenset()
