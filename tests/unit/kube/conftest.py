"""The informer's timers run in a loop whose time passes by itself; the client speaks to a real socket."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from tests.unit.agent.clock import PassingLoop


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """By module."""
    return {"loop": PassingLoop if item.path.name in {"test_informer.py", "test_definitions.py"} else asyncio.SelectorEventLoop}
