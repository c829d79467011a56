"""The runtime behind the port, with every call counted and timed: one place, for whatever runtime.

A call costs two microseconds more by it; a start makes a handful of calls, and takes some tens of milliseconds.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import cache
from time import perf_counter
from typing import Any, Final, cast

from controller.agent import metrics
from controller.runtime.port import Runtime, RuntimeFailure

_CALLS: Final = tuple(
    name
    for name, call in inspect.getmembers(Runtime, inspect.iscoroutinefunction)
    if not name.startswith("_") and name != "close"
)
"""The port's calls; what is no coroutine (the event stream) goes through as it is."""


def measured(runtime: Runtime) -> Runtime:
    """The same runtime, measured."""
    return cast("Runtime", _Measured(runtime))


class _Measured:
    """Has the attributes of the runtime behind it; its calls are wrapped, each once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        for name in _CALLS:
            setattr(self, name, _timed(name, getattr(runtime, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)


def _timed(method: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def timed(*args: Any, **kwargs: Any) -> Any:
        began = perf_counter()
        try:
            answer = await call(*args, **kwargs)
        except RuntimeFailure as failure:
            _counted(method, type(failure).__name__)()
            raise
        else:
            _counted(method, "OK")()
            return answer
        finally:
            _observed(method)(perf_counter() - began)

    return timed


@cache
def _counted(method: str, code: str) -> Callable[[], None]:
    """The counter of these calls; looked up once, since finding it costs as much as counting."""
    return metrics.RUNTIME_CALLS.labels(method, code).inc


@cache
def _observed(method: str) -> Callable[[float], None]:
    return metrics.RUNTIME_SECONDS.labels(method).observe
