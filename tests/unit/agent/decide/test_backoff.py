"""When a container that ended is started again."""

import pytest

from controller.agent.decide import backoff
from controller.api.spec import Backoff
from controller.runtime.port import ContainerState, Phase

TEN_TO_SIXTY = Backoff(initial_seconds=10, max_seconds=60, reset_after_seconds=600)


@pytest.mark.parametrize(
    ("ends", "seconds"),
    [(0, 0), (1, 10), (2, 20), (3, 40), (4, 60), (5, 60), (10_000_000, 60)],
)
def test_the_first_restart_is_at_once_and_the_pauses_then_double_up_to_the_most(ends: int, seconds: float) -> None:
    """No pause, then `initialSeconds`, doubling, never above `maxSeconds`, however often it ended."""
    assert backoff.delay(ends, TEN_TO_SIXTY) == seconds


@pytest.mark.parametrize(
    ("sentence", "started", "exited", "counted"),
    [
        ("a short run continues the row", 100.0, 110.0, 3),
        ("a run just below resetAfterSeconds continues the row", 100.0, 699.0, 3),
        ("a run of resetAfterSeconds clears the row", 100.0, 700.0, 0),
        ("a run whose end nobody saw continues the row", 100.0, None, 3),
        ("one that was never seen to start is counted from its making", None, 650.0, 0),
    ],
)
def test_a_long_run_clears_the_history(sentence: str, started: float | None, exited: float | None, counted: int) -> None:
    """`resetAfterSeconds` is measured on the run itself."""
    ended = ContainerState("c", Phase.EXITED, {}, created_at=50.0, started_at=started, exited_at=exited, exit_code=1)
    assert backoff.ends_in_a_row(ended, 3, TEN_TO_SIXTY) == counted, sentence


def test_the_pause_counts_from_the_end() -> None:
    """The time that has passed since the end is part of the pause, also when the agent was away for it."""
    ended = ContainerState("c", Phase.EXITED, {}, created_at=1.0, started_at=90.0, exited_at=100.0, exit_code=1)
    assert backoff.restart_due(ended, 2, TEN_TO_SIXTY) == 120.0
