"""The status contract: the conditions come from one verdict, and keep their times."""

import pytest

from controller.api.conditions import contract, find, is_true, timestamp

NOW = 1_800_000_000.0

CASES = {
    "settled is Ready alone": (True, False, {"Ready": "True"}),
    "in progress is Ready Unknown and Reconciling": (False, False, {"Ready": "Unknown", "Reconciling": "True"}),
    "failed is Ready False and Stalled": (False, True, {"Ready": "False", "Stalled": "True"}),
}


@pytest.mark.parametrize("sentence", CASES)
def test_contract(sentence: str) -> None:
    """Each verdict has its conditions, with one reason and message."""
    ready, stalled, expected = CASES[sentence]
    made = contract(ready=ready, stalled=stalled, reason="Why", message="because", generation=3, now=NOW)
    assert {c.type: c.status for c in made} == expected
    assert {(c.reason, c.message, c.observed_generation) for c in made} == {("Why", "because", 3)}


def test_the_transition_time_moves_with_the_status_only() -> None:
    """Another reason, message or generation is no transition."""
    first = contract(ready=True, stalled=False, reason="A", message="", generation=1, now=NOW)
    later = contract(ready=True, stalled=False, reason="B", message="x", generation=2, now=NOW + 9, old=first)
    assert [c.last_transition_time for c in later] == [timestamp(NOW)]
    down = contract(ready=False, stalled=False, reason="C", message="", generation=2, now=NOW + 9, old=later)
    assert {c.last_transition_time for c in down} == {timestamp(NOW + 9)}


def test_finding() -> None:
    """An absent condition is not true."""
    made = contract(ready=True, stalled=False, reason="A", message="", generation=1, now=NOW)
    assert is_true(made, "Ready")
    assert not is_true(made, "Stalled")
    assert find(made, "Stalled") is None
