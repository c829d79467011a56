"""Have labs torn down when their owner dies: `watch(state)` and `release(state)`.

A test run can be ended with SIGKILL at any moment, and then no fixture of it runs any more. So the first lab that is used as a
context manager starts a small process, the watchdog, which reads the names of state folders from a pipe. The kernel closes the
pipe when the owner ends, however it ends; then the watchdog removes what was not released. PR_SET_PDEATHSIG would not do: it
follows the thread that forked, and shims and containers do not inherit it.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from pathlib import Path

from tools.lab.process import ROOT

_lock = threading.Lock()
_watchdog: subprocess.Popen[str] | None = None


def watch(state: Path) -> None:
    """Have `state` removed when this process ends without a `release`."""
    _tell("watch", state)


def release(state: Path) -> None:
    """Take back `watch`."""
    _tell("release", state)


def _tell(word: str, state: Path) -> None:
    global _watchdog  # noqa: PLW0603 -- one watchdog a process, started by the first lab that needs it
    with _lock:
        if _watchdog is None or _watchdog.poll() is not None:
            _watchdog = subprocess.Popen(
                [sys.executable, "-m", "tools.lab.watchdog"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
            atexit.register(_dismiss, _watchdog)
        assert _watchdog.stdin is not None
        print(json.dumps([word, str(state.resolve())]), file=_watchdog.stdin, flush=True)


def _dismiss(watchdog: subprocess.Popen[str]) -> None:
    """Tell the watchdog that its owner ends, and wait until it has removed what was not released."""
    watchdog.communicate()
