"""One agent for one state folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AgentError(Exception):
    """The agent cannot start; said to people as it is."""


@contextmanager
def sole_agent(state_dir: Path) -> Iterator[None]:
    """Hold the state folder's lock: two agents on one state would undo each other's work.

    Raises:
        AgentError: when another agent holds it.
    """
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / "agent.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise AgentError(
                f"another agent runs with the state folder {state_dir}: stop it, or give another --state-dir"
            ) from exc
        yield
