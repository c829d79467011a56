"""Objects as a watch shows them, each event with the moment of its arrival.

`kubectl wait` is no stopwatch: over a hundred objects that are ready it alone takes seconds. A streaming GET sees each change
within a millisecond or so.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from tools.progress import ToolError

USER_AGENT = "moorage-benchmark"
SECONDS = 600.0
"""How long a watch may be silent: longer than anything here lasts."""

CHECK_SECONDS = 1.0

Object = dict[str, Any]
Judge = Callable[[Object | None], bool]
"""Whether an object is as expected; None stands for one that does not exist."""


class Expectation:
    """Objects that shall become as expected, and the moment at which the last of them did."""

    def __init__(self, names: Iterable[str], judge: Judge) -> None:
        self._missing = set(names)
        self._judge = judge
        self._met = threading.Event()
        self._at = 0.0
        self._failure: BaseException | None = None
        if not self._missing:
            self._met.set()

    def see(self, name: str, obj: Object | None) -> None:
        """Take in the newest state of an object. What was once as expected and changed again is missing again."""
        if self._met.is_set():
            return
        if self._judge(obj):
            self._missing.discard(name)
        else:
            self._missing.add(name)
        if not self._missing:
            self._at = time.monotonic()
            self._met.set()

    def fail(self, failure: BaseException) -> None:
        """Nothing more will be seen."""
        self._failure = failure
        self._met.set()

    def wait(self, seconds: float, check: Callable[[], None]) -> float:
        """Wait until all are as expected; returns the moment at which they were (`time.monotonic`).

        Args:
            seconds: how long it may take.
            check: called every second; ends the wait by an exception when there is nothing to wait for.

        Raises:
            ToolError: when that takes longer than `seconds`, or the watch broke.
        """
        deadline = time.monotonic() + seconds
        while not self._met.wait(CHECK_SECONDS):
            check()
            if time.monotonic() > deadline:
                shown = ", ".join(sorted(self._missing)[:5])
                raise ToolError(f"after {seconds:.0f} s {len(self._missing)} objects are not as expected: {shown}")
        if self._failure is not None:
            raise ToolError(f"the watch broke: {self._failure!r}") from self._failure
        return self._at


class Watch:
    """One resource in all namespaces, listed once and then watched by a thread, as long as the block lasts."""

    def __init__(self, server: str, token: str, ca: Path, path: str) -> None:
        """Prepare it.

        Args:
            server: URL of the API server.
            token: bearer token.
            ca: certificate of the server's authority.
            path: path of the collection, such as `/apis/moorage.dev/v1alpha1/containerworkloads`.
        """
        self._address = urlsplit(server)
        self._token, self._ca, self._path = token, ca, path
        self._lock = threading.Lock()
        self._objects: dict[str, Object] = {}
        self._names: set[str] = set()
        self._expected: list[tuple[frozenset[str], Expectation]] = []
        self._closing = False

    def __enter__(self) -> Self:
        connection = self._connect()
        listed = json.loads(self._get(connection, {}).read())
        self._objects = {item["metadata"]["name"]: item for item in listed["items"]}
        version = listed["metadata"]["resourceVersion"]
        self._response = self._get(connection, {"watch": "1", "resourceVersion": version})
        self._connection = connection
        self._thread = threading.Thread(target=self._follow, name=f"watch {self._path}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing = True
        if self._connection.sock is not None:
            # Below TLS, where it ends the thread's read without a word of the protocol.
            socket.socket.shutdown(self._connection.sock, socket.SHUT_RDWR)
        self._thread.join()
        self._response.close()
        self._connection.close()

    def objects(self) -> Mapping[str, Object]:
        """What exists now, by name."""
        with self._lock:
            return dict(self._objects)

    def expect(self, names: Iterable[str], judge: Judge) -> Expectation:
        """Begin to expect something of the objects with these names; what is so already counts."""
        wanted = frozenset(names)
        expectation = Expectation(wanted, judge)
        with self._lock:
            self._expected.append((wanted, expectation))
            for name in wanted:
                expectation.see(name, self._objects.get(name))
        return expectation

    def _follow(self) -> None:
        try:
            while line := self._response.readline():
                self._take(json.loads(line))
            raise ConnectionError("the API server ended it")
        except (OSError, ValueError, http.client.HTTPException, ToolError) as error:
            if self._closing:
                return
            with self._lock:
                for _, expectation in self._expected:
                    expectation.fail(error)

    def _take(self, event: Object) -> None:
        if event["type"] == "ERROR":
            raise ToolError(str(event["object"].get("message")))
        obj: Object = event["object"]
        name = obj["metadata"]["name"]
        gone = event["type"] == "DELETED"
        with self._lock:
            if gone:
                self._objects.pop(name, None)
            else:
                self._objects[name] = obj
            for names, expectation in self._expected:
                if name in names:
                    expectation.see(name, None if gone else obj)

    def _connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self._ca))
        host = self._address.hostname or ""
        return http.client.HTTPSConnection(host, self._address.port, timeout=SECONDS, context=context)

    def _get(self, connection: http.client.HTTPSConnection, query: Mapping[str, str]) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": USER_AGENT}
        connection.request("GET", f"{self._path}?{urlencode(query)}", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise ToolError(f"GET {self._path}: {response.status} {response.read()[:300].decode(errors='replace')}")
        return response


def is_ready(obj: Object | None) -> bool:
    """Whether an object's condition Ready is True for its newest generation."""
    if obj is None:
        return False
    for condition in obj.get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            current = condition.get("observedGeneration") == obj["metadata"].get("generation")
            return bool(condition["status"] == "True" and current)
    return False


def is_gone(obj: Object | None) -> bool:
    """Whether an object does not exist."""
    return obj is None


def is_restarted(obj: Object | None) -> bool:
    """Whether an instance is Ready after a restart of its container."""
    return is_ready(obj) and obj is not None and obj["status"]["containers"][0].get("restartCount", 0) > 0
