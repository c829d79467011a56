"""Single requests to an API server as somebody, answered with what it says: for what is expected to be refused."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 15.0

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Answer:
    """The answer to one request."""

    code: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What it says when it is a refusal."""
        return str(self.body.get("message", ""))

    @property
    def refused(self) -> bool:
        """Whether it is not what was asked for."""
        return self.code >= 400


@dataclass(frozen=True)
class Caller:
    """Somebody whom an API server knows."""

    url: str
    ca: Path
    user: Mapping[str, str]
    """The `user` of a kubeconfig: a token, or a client certificate and its key."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each request: impersonation, for example."""

    def __call__(
        self, method: str, path: str, body: object = None, *, content: str = "application/json", dry: bool = False
    ) -> Answer:
        """Make one request; `dry` asks for all checks and no write."""
        headers = {"Accept": "application/json", "Content-Type": content, **self.headers}
        if "token" in self.user:
            headers["Authorization"] = f"Bearer {self.user['token']}"
        if dry:
            path += ("&" if "?" in path else "?") + "dryRun=All"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS, context=self._tls()) as answer:
                return _answer(answer.status, answer.read(), answer.headers.get_all("Warning"))
        except urllib.error.HTTPError as exc:
            with exc:
                return _answer(exc.code, exc.read(), exc.headers.get_all("Warning"))

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        if "client-certificate" in self.user:
            context.load_cert_chain(self.user["client-certificate"], self.user["client-key"])
        return context


def _answer(code: int, data: bytes, warnings: list[str] | None) -> Answer:
    try:
        body = json.loads(data)
    except ValueError:
        body = {"message": data.decode(errors="replace")}
    return Answer(code, body if isinstance(body, dict) else {"message": str(body)}, tuple(warnings or ()))
