"""What all components of the lab have in common."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.lab import guardian
from tools.lab.process import Process, free_port, make_state, reap
from tools.lab.teardown import down
from tools.progress import ToolError

PROBE_SECONDS = 2.0


class Component(ABC):
    """A real component with a state folder of its own.

    As a context manager it is started at the beginning, and at the end nothing of it is left but its logs, also when its owner
    is killed meanwhile. After a plain `start()` it keeps running, until `close()`, or `down` from another process.
    """

    def __init__(self, state: Path) -> None:
        self.state = make_state(state)

    def __enter__(self) -> Self:
        guardian.watch(self.state)
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it is ready; what runs already stays as it is.

        Raises:
            ToolError: with the tail of the log, when it does not become ready.
        """

    @property
    @abstractmethod
    def processes(self) -> Sequence[Process]:
        """The processes that it consists of, in the order in which they are started."""

    @property
    def running(self) -> bool:
        """True while all of its processes run."""
        return all(process.running for process in self.processes)

    def close(self) -> None:
        """End it at once and remove all that belongs to it, except its logs.

        Raises:
            ToolError: when something cannot be removed, with a line for each.
        """
        left = down(self.state, keep_logs=True)
        reap()
        guardian.release(self.state)
        if left:
            raise ToolError(f"left behind by {self.state}:\n" + "\n".join(left.describe()))

    def port(self, name: str, preferred: int | None = None) -> int:
        """The port called `name`: chosen when it is first asked for (`preferred` if it is free), the same ever after."""
        file = self.state / "ports.json"
        ports: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        if name not in ports:
            ports[name] = free_port(preferred)
            file.write_text(json.dumps(ports))
        return ports[name]


def answers(url: str, token: str | None = None) -> bool:
    """True when a GET of `url` is answered with 200; the certificate of a probed component of ours is not checked."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS, context=_unverified()) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
