"""The one HTTP endpoint of a process: `/metrics`, `/healthz` and `/readyz` on `--metrics-port`.

It has a thread of its own, so that a blocked event loop is told as such instead of as silence, and so that its metrics can
still be read. Everything that it needs of Python's library is loaded with the Prometheus client anyway.
"""

import asyncio
import logging
import socket
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from controller.telemetry.health import Check, Health, ask

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 10.0
"""A client that says nothing for this long is hung up on."""

_TEXT: Final = "text/plain; charset=utf-8"


class Endpoint(ThreadingHTTPServer):
    """Serves until it is closed."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, health: Health, loop: asyncio.AbstractEventLoop) -> None:
        """Listen on all addresses of the machine: the kubelet probes a pod from outside, and Prometheus scrapes it.

        Args:
            port: TCP port; 0 for any that is free (`port` tells which).
            health: the checks behind `/healthz` and `/readyz`.
            loop: the running loop that they belong to.

        Raises:
            OSError: when the port cannot be listened on.
        """
        # Else each counter and histogram has a second series, of its creation, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.health, self.loop = health, loop
        self.address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        super().__init__(("", port), _Handler)
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="endpoint", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Take IPv4 as well where the socket is one of IPv6, and the port while connections of its last user still wait.

        Those wait for a minute (TIME_WAIT), and an agent that is replaced has the port of the one before.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's
        """A client that hangs up in between is nobody's trouble; all else is a defect."""
        if not isinstance(defect := sys.exception(), OSError):
            log.error("a request for metrics or health could not be answered", exc_info=defect)

    def close(self) -> None:
        """Stop listening, at once."""
        self._closing = True
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread: accepting fails from now on (Linux)
        self._thread.join()
        self.server_close()

    def _serve(self) -> None:
        """Wait for one request after the other; unlike `serve_forever`, which wakes up twice a second, only for these."""
        while not self._closing:
            self.handle_request()


class _Handler(BaseHTTPRequestHandler):
    """One request; the connection ends with it (HTTP/1.0)."""

    server: Endpoint
    timeout = IDLE_SECONDS
    server_version = "moorage"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the three paths."""
        match self.path.partition("?")[0]:
            case "/metrics":
                encode, content = choose_encoder(self.headers.get("Accept", ""))
                self._reply(200, encode(REGISTRY), content)
            case "/healthz":
                self._judged(self.server.health.live)
            case "/readyz":
                self._judged(self.server.health.ready)
            case _:
                self._reply(404, b"not found: there are /metrics, /healthz and /readyz\n", _TEXT)

    def _judged(self, checks: Mapping[str, Check]) -> None:
        answer = ask(self.server.loop, dict(checks))
        self._reply(200 if answer.well else 503, answer.text.encode(), _TEXT)

    def _reply(self, status: int, body: bytes, content: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Probes and scrapes are not worth a line each."""
