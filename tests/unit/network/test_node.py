"""Working among the node's files: whoever waits for that hears how it ended, whatever ended it."""

import threading

import pytest

from controller.network import node


async def nothing() -> None:
    """No work."""


async def test_what_ends_the_thread_is_raised_to_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is."""

    def enter(_: str) -> None:
        raise GeneratorExit("the thread ends")

    monkeypatch.setattr(node, "_enter", enter)
    with pytest.raises(GeneratorExit, match="the thread ends"):
        await node.among_the_files_of("/proc/self", nothing)


async def test_that_no_thread_is_to_be_had_is_a_failure_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no defect of who asked, as after a RuntimeError."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(BlockingIOError, match="mount namespace /proc/self/ns/mnt: can't start new thread"):
        await node.among_the_files_of("/proc/self", nothing)
