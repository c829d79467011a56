"""Liveness and readiness as named checks, answered from the event loop that does the work.

Liveness says whether a restart would help, and nothing else: an API server or a runtime that is away is no reason, since the
process waits for it as well as its successor would. Readiness says whether the process can do its work now.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

TURN_SECONDS: Final = 2.0
"""A loop that does not come to a question for this long is blocked."""

Check = Callable[[], str]
"""Why something is not as it should be, as a sentence; empty when it is."""


@dataclass(slots=True)
class Health:
    """The checks of one process. Halves add theirs; the same name again replaces a check."""

    live: dict[str, Check] = field(default_factory=dict)
    """Checks that fail only when the process should be restarted."""
    ready: dict[str, Check] = field(default_factory=dict)
    """Checks that fail while the process cannot do its work."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told to a prober."""

    well: bool
    text: str
    """One line a check, as the Kubernetes components write them: `[+]name ok`, `[-]name failed: why`."""


def judge(checks: Mapping[str, Check]) -> Answer:
    """Ask all checks. To be called in the loop whose state they read."""
    found = {name: check() for name, check in checks.items()}
    return _answer(found)


def ask(loop: asyncio.AbstractEventLoop, checks: Mapping[str, Check]) -> Answer:
    """Ask all checks from another thread; a loop that does not come to it in time is itself the failure."""

    async def turn() -> Answer:
        return judge(checks)

    asked = turn()
    try:
        answer = asyncio.run_coroutine_threadsafe(asked, loop)
    except RuntimeError:  # the loop is closed
        asked.close()
        return _answer({"loop": "the event loop has ended"})
    try:
        return answer.result(TURN_SECONDS)
    except TimeoutError:
        answer.cancel()
        return _answer({"loop": f"the event loop has not turned for {TURN_SECONDS:g} s"})


def _answer(found: Mapping[str, str]) -> Answer:
    lines = [f"[-]{name} failed: {why}" if why else f"[+]{name} ok" for name, why in ({"loop": ""} | dict(found)).items()]
    return Answer(not any(found.values()), "\n".join(lines) + "\n")
