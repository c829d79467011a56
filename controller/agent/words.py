"""Termination messages: what a container says of its end, by a file that is mounted into it, or by the end of its log.

Source: kubernetes.io, "Determine the Reason for Pod Failure", for the limits; the file is read from its end, as by the kubelet.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.agent.decide.resolve import MOST_MESSAGE, words_path
from controller.api import labels
from controller.api.instance import ContainerStateTerminated
from controller.runtime.port import ContainerState

FALLBACK: Final = "FallbackToLogsOnError"

MOST_BYTES: Final = 4096
"""Of one container's message."""
MOST_BYTES_OF_ALL: Final = 12 << 10
"""Of all messages of an instance; shared equally."""
MOST_LOG_BYTES: Final = 2048
MOST_LOG_LINES: Final = 80

LOG_SETTLES_SECONDS: Final = 0.05
"""How long after a process's end its last output may still be on its way: the runtime copies it from a pipe, and does not tell
when it has done so."""


def most_bytes(containers: int) -> int:
    """Longest message of one of so many containers."""
    return min(MOST_BYTES, MOST_BYTES_OF_ALL // max(containers, 1))


def read(log_path: str, most: int) -> str:
    """What was written into the file of this run; nothing when it cannot be read."""
    return _end(words_path(log_path), most)


def end_of_log(log_path: str) -> str:
    """The last lines of this run's log."""
    text = _end(log_path, MOST_LOG_BYTES)
    return "".join(text.splitlines(keepends=True)[-MOST_LOG_LINES:])


def settled_in(exited_at: float | None, now: float) -> float:
    """Seconds until the log of a run that ended at that time is whole."""
    return min(max(0.0, (exited_at or 0.0) + LOG_SETTLES_SECONDS - now), LOG_SETTLES_SECONDS)


def before(state: ContainerState, log_path: str, policy: str | None, most: int) -> str:
    """The whole message of the run before, if the label has its beginning alone and the file is still there."""
    with suppress(ValueError):
        last = ContainerStateTerminated.model_validate_json(state.labels[labels.LAST_TERMINATION])
        if len(last.message) < MOST_MESSAGE:
            return ""
        folder, name = os.path.split(log_path)
        path = f"{folder}/{int(name.partition('.')[0]) - 1}.log"
        found = read(path, most)
        return end_of_log(path)[-most:] if not found and last.exit_code != 0 and policy == FALLBACK else found
    return ""


def _end(path: str, most: int) -> str:
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            return file.read(most).decode(errors="replace")
    except OSError:
        return ""
