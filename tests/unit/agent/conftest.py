"""Asynchronous tests of the agent run in a loop whose time passes by itself."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.unit.agent import clock


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], clock.PassingLoop]]:
    """Every test below this folder."""
    return {"passing": clock.PassingLoop}


@pytest.fixture(autouse=True)
def _time_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is the loop's."""
    monkeypatch.setattr(time, "time", clock.now)
