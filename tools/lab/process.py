"""Background processes that leave a trace by which they can be found and ended again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.build import BIN
from tools.lab.procfs import ProcessId
from tools.progress import ToolError

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

TAG = "MOORAGE_LAB_STATE"
"""Environment variable that names the state folder a process belongs to; children, shims among them, inherit it."""

MARKER = ".moorage-lab"
"""A file that says that a folder was made by the lab, so that only such folders are ever removed."""

STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
TAIL_LINES = 20
PORTS = range(20000, 32000)
"""Below the kernel's ephemeral range, so that no outgoing connection takes the port of a component that is restarted."""


def make_state(state: Path) -> Path:
    """Make a state folder, marked as the lab's own; returns its absolute path.

    Raises:
        ToolError: when the folder holds something that is not the lab's.
    """
    state = state.resolve()
    if state.is_dir() and not (state / MARKER).exists() and any(state.iterdir()):
        raise ToolError(f"{state} is not empty and not a lab's folder: choose another one")
    state.mkdir(parents=True, exist_ok=True)
    (state / MARKER).touch()
    return state


def lab_environment(state: Path) -> dict[str, str]:
    """The environment of everything that runs for `state`: tagged, and with the pinned tools first on PATH."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return os.environ | {"PATH": path, TAG: str(state)}


def free_port(preferred: int | None = None) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on; the preferred one if it is free."""
    for port in ([] if preferred is None else [preferred]) + random.sample(PORTS, k=200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ended connections do not count
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ToolError(f"no free port between {PORTS.start} and {PORTS.stop}")


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Processes started here, until they have ended and been reaped: they may outlive the objects that started them."""


class Process:
    """A command that runs in the background, in a session of its own.

    Its output is appended to `<state>/logs/<name>.log`; `<state>/run/<name>.pid` holds its pid and its start time. As a
    context manager it is started at the beginning and stopped at the end; after a plain `start()` it outlives its parent.
    """

    def __init__(
        self, name: str, arguments: Sequence[str | Path], state: Path, *, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.state = make_state(state)
        self.arguments = [str(argument) for argument in arguments]
        self.log = self.state / "logs" / f"{name}.log"
        self._env = lab_environment(self.state) | dict(env or {})
        self._pid_file = self.state / "run" / f"{name}.pid"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def id(self) -> ProcessId | None:
        """The running process, whoever started it; None when it does not run."""
        reap()
        found = read_pid_file(self._pid_file)
        return found if found is not None and found.alive else None

    @property
    def pid(self) -> int:
        """The process number.

        Raises:
            ToolError: when it does not run.
        """
        found = self.id
        if found is None:
            raise ToolError(f"{self.name} does not run")
        return found.pid

    @property
    def running(self) -> bool:
        """True while the process runs."""
        return self.id is not None

    def start(self) -> None:
        """Start the command, unless it runs already."""
        if self.running:
            return
        for folder in (self.log.parent, self._pid_file.parent):
            folder.mkdir(exist_ok=True)
        with self.log.open("ab") as output:
            child = subprocess.Popen(
                self.arguments,
                cwd=self.state,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _children[child.pid] = child
        started = ProcessId.of(child.pid)
        if started is not None:
            self._pid_file.write_text(f"{started.pid} {started.started}\n")

    def stop(self, seconds: float = STOP_SECONDS, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal and wait for the end; SIGKILL after `seconds`. Nothing happens when it does not run."""
        found = self.id
        if found is not None and found.signal(number) and not found.wait(seconds):
            found.signal(signal.SIGKILL)
            if not found.wait(STOP_SECONDS):
                raise ToolError(f"{self.name} (pid {found.pid}) survives SIGKILL")
        reap()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the process with SIGKILL and wait for its end."""
        self.stop(number=signal.SIGKILL)

    def tail(self) -> str:
        """The last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-TAIL_LINES:])

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready` says so.

        Raises:
            ToolError: with the tail of the log, when the process ends or `seconds` pass before that.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise ToolError(f"{self.name} ended right after its start; {self.log} ends with:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ToolError(f"{self.name} is not ready after {seconds:.0f} s; {self.log} ends with:\n{self.tail()}")
            time.sleep(POLL_SECONDS)


def reap() -> None:
    """Take the exit statuses of processes that were started here and have ended, so that no zombie stays."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)


def read_pid_file(path: Path) -> ProcessId | None:
    """The process that a pid file names, alive or not; None when there is no such file or it is half written."""
    try:
        pid, started = path.read_text().split()
        return ProcessId(int(pid), int(started))
    except (FileNotFoundError, ValueError):
        return None
