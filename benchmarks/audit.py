"""Who asked what of the API server, read from its audit log (kubernetes.io, "Auditing")."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.progress import ToolError

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
READS = frozenset({"get", "list"})

OTHERS = ("kubectl", "kube-", "etcd", "moorage-benchmark")
"""Beginnings of the user agents that are not measured; everybody else who speaks to this API server is Moorage."""

HEARTBEATS = frozenset({"leases", "runtimenodes"})

POLL_SECONDS = 0.1
"""The log is a file that grows; nothing tells when."""


@dataclass(frozen=True)
class Request:
    """An answered request."""

    verb: str
    resource: str
    """With its subresource: `containerinstances/status`."""
    name: str
    agent: str
    """The client's user agent."""
    code: int

    @property
    def ours(self) -> bool:
        """Whether manager or agent sent it, for the sake of an instance."""
        return not self.agent.startswith(OTHERS) and self.resource.partition("/")[0] not in HEARTBEATS

    @property
    def write(self) -> bool:
        """Whether it is a write of manager or agent for the sake of an instance, answered well or not."""
        return self.ours and self.verb in WRITES

    @property
    def read(self) -> bool:
        """Whether it is a get or list of manager or agent."""
        return self.ours and self.verb in READS


def parse(line: str) -> Request | None:
    """A request from a line of the log; None for what is not the end of a request for a resource."""
    event: dict[str, Any] = json.loads(line)
    about = event.get("objectRef")
    if event.get("stage") not in {"ResponseComplete", "Panic"} or not about:
        return None
    resource = "/".join(filter(None, (about.get("resource", ""), about.get("subresource", ""))))
    code = int((event.get("responseStatus") or {}).get("code", 0))
    return Request(event.get("verb", ""), resource, about.get("name", ""), event.get("userAgent", ""), code)


class AuditLog:
    """A log that is being written, read from its end at the time of construction on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._unfinished = b""
        self.requests: list[Request] = []

    def read(self) -> list[Request]:
        """Take in what was added since the last call; returns only that."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            data = self._unfinished + file.read()
            self._position = file.tell()
        *lines, self._unfinished = data.split(b"\n")
        found = [request for line in lines if line and (request := parse(line.decode())) is not None]
        self.requests += found
        return found

    def wait_quiet(self, seconds: float, most: float, busy: Callable[[], bool] = lambda: False) -> None:
        """Wait until neither manager nor agent has written anything for some time.

        Args:
            seconds: how long nothing may be written.
            most: how long it may take.
            busy: a further reason to go on waiting.

        Raises:
            ToolError: when it does not become quiet.
        """
        deadline = time.monotonic() + most
        last = time.monotonic()
        while time.monotonic() < last + seconds:
            time.sleep(POLL_SECONDS)
            if any(request.write for request in self.read()) or busy():
                last = time.monotonic()
            if last > deadline:
                recent = ", ".join(f"{verb} {resource}" for verb, resource in sorted(count_writes(self.requests[-20:])))
                raise ToolError(f"the API server is still being written to after {most:.0f} s (last: {recent or 'nothing'})")


def count_writes(requests: Iterable[Request]) -> Counter[tuple[str, str]]:
    """Writes of manager and agent by verb and resource."""
    return Counter((request.verb, request.resource) for request in requests if request.write)


def failed_writes(requests: Iterable[Request]) -> Counter[tuple[str, str, int]]:
    """Those that were refused, by verb, resource and code."""
    return Counter((r.verb, r.resource, r.code) for r in requests if r.write and r.code >= 400)
