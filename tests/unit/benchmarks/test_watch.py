"""When objects count as ready, gone or restarted, and when an expectation is met."""

from typing import Any

import pytest

from benchmarks.watch import Expectation, is_gone, is_ready, is_restarted
from tools.progress import ToolError


def instance(ready: str = "True", *, restarts: int = 0, seen: int = 3) -> dict[str, Any]:
    """An instance of generation 3."""
    conditions = [{"type": "Stalled", "status": "False"}, {"type": "Ready", "status": ready, "observedGeneration": seen}]
    status = {"conditions": conditions, "containers": [{"restartCount": restarts}]}
    return {"metadata": {"name": "a", "generation": 3}, "status": status}


def alive() -> None:
    """Nothing has ended."""


def test_ready_is_of_the_newest_generation() -> None:
    """A condition that was set for an older generation says nothing about this one."""
    assert is_ready(instance())
    assert not is_ready(instance(seen=2))
    assert not is_ready(instance("Unknown"))
    assert not is_ready({"metadata": {"name": "a"}})
    assert not is_ready(None)


def test_restarted_is_ready_again_and_counted() -> None:
    """A Ready that stems from before the kill does not count."""
    assert is_restarted(instance(restarts=1))
    assert not is_restarted(instance(restarts=0))
    assert not is_restarted(instance("Unknown", restarts=1))


def test_all_have_to_be_as_expected_at_the_same_time() -> None:
    """One that was ready and is not any more is waited for again."""
    expectation = Expectation(["a", "b"], is_ready)
    expectation.see("a", instance())
    expectation.see("a", instance("Unknown"))
    expectation.see("b", instance())
    with pytest.raises(ToolError, match="1 objects are not as expected: a"):
        expectation.wait(0.01, alive)
    expectation.see("a", instance())
    assert expectation.wait(1, alive) > 0


def test_an_expectation_ends_when_nothing_more_will_be_seen() -> None:
    """A broken watch, or a process that ended, is an error at once and not after the time is over."""
    broken = Expectation(["a"], is_gone)
    broken.fail(ConnectionError("reset"))
    with pytest.raises(ToolError, match="reset"):
        broken.wait(60, alive)

    def ended() -> None:
        raise ToolError("the agent has ended")

    with pytest.raises(ToolError, match="the agent has ended"):
        Expectation(["a"], is_gone).wait(60, ended)
