"""How a container's end is told."""

import pytest

from controller.agent.decide.terminated import terminated
from controller.runtime.port import ContainerState, Phase


@pytest.mark.parametrize(
    ("sentence", "code", "oom", "told"),
    [
        ("success", 0, False, (0, None, "Completed")),
        ("failure", 3, False, (3, None, "Error")),
        ("the shell's `not found`", 127, False, (127, None, "Error")),
        ("128 is no signal", 128, False, (128, None, "Error")),
        ("SIGTERM", 143, False, (143, 15, "Error")),
        ("the kernel's out-of-memory killer", 137, True, (137, 9, "OOMKilled")),
        ("out of memory, and the process still ended by itself", 1, True, (1, None, "OOMKilled")),
        ("the last signal", 192, False, (192, 64, "Error")),
        ("beyond the signals", 255, False, (255, None, "Error")),
        ("lost, with a reboot for instance", None, False, (137, None, "ContainerStatusUnknown")),
    ],
)
def test_an_end_is_told_in_kubernetes_words(sentence: str, code: int | None, oom: bool, told: tuple[object, ...]) -> None:  # noqa: FBT001
    """Exit code, signal and reason as people know them from `kubectl describe`."""
    end = terminated(ContainerState("c", Phase.EXITED, {}, started_at=100.0, exited_at=160.9, exit_code=code, oom_killed=oom))
    assert (end.exit_code, end.signal, end.reason) == told, sentence
    assert (end.started_at, end.finished_at) == ("1970-01-01T00:01:40Z", "1970-01-01T00:02:40Z")


def test_times_that_nobody_knows_are_left_out() -> None:
    """No time is better than a wrong one."""
    end = terminated(ContainerState("c", Phase.EXITED, {}))
    assert (end.started_at, end.finished_at) == (None, None)
