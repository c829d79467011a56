"""Tokens of ServiceAccounts as tests look at them: the right to ask for them, and what the API server says of one."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness import Object
from tools.lab import ControlPlane
from tools.lab.caller import Caller
from tools.lab.rights import LEVELS, TOKENS_ALLOWED, render

ENABLED = "agent.serviceAccountTokens.enabled=true"
"""The chart's value."""


def apply_rights(plane: ControlPlane, *values: str) -> None:
    """Give the halves the rights that the chart gives with some values."""
    plane.kubectl("apply", "--server-side", "--filename", "-", stdin=render(*LEVELS, *values))


def label(plane: ControlPlane, *, allowed: bool) -> None:
    """Label the namespace `default` for tokens, or not."""
    plane.kubectl("label", "--overwrite", "namespace", "default", f"{TOKENS_ALLOWED}{'=allowed' if allowed else '-'}")


@contextmanager
def allowed(plane: ControlPlane) -> Iterator[None]:
    """Agents may ask for tokens in the namespace `default`, for as long as the block runs."""
    try:
        apply_rights(plane, ENABLED)
        label(plane, allowed=True)
        plane.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
        yield
    finally:
        label(plane, allowed=False)
        apply_rights(plane)


def volume(*more: Object, **fields: Any) -> Object:
    """A projected volume with a token at `token`, and further sources."""
    return {"projected": {"sources": [{"serviceAccountToken": {"path": "token", **fields}}, *more]}}


def review(plane: ControlPlane, token: str, *audiences: str) -> dict[str, Any]:
    """What the API server says of a token (authentication/v1 `TokenReviewStatus`)."""
    admin = Caller(plane.url, plane.ca, {"token": plane.token})
    spec = {"token": token, "audiences": list(audiences)}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    answer = admin("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
    assert answer.code == 201, answer
    found: dict[str, Any] = answer.body["status"]
    return found


def claims(token: str) -> dict[str, Any]:
    """What is in a token (RFC 7519)."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def content(pid: int, path: str = "/t/token") -> str:
    """A file that a process sees."""
    return (Path(f"/proc/{pid}/root") / path.lstrip("/")).read_text()
