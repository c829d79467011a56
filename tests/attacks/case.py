"""One attack: what somebody tries, and what refuses it."""

from dataclasses import dataclass, field
from typing import Any, Final

from tools.lab.caller import MERGE

CORE: Final = "/api/v1"

RBAC: Final = "RBAC"
SCHEMA: Final = "schema"
SERVER: Final = "API server"
AGENT: Final = "agent"
PSS: Final = "policy `moorage-pod-security-enforce`"
OWNER: Final = "policy `moorage-instance-owner`"


def policy(name: str) -> str:
    """A policy about agents, as the table names it."""
    return f"policy `moorage-agent-{name}`"


@dataclass(frozen=True)
class Attack:
    """One request that must be refused."""

    tries: str
    """What is tried, as the end of the sentence `<somebody> tries to ...`."""
    by: str
    """What refuses it."""
    says: str
    """A part of the refusal's message."""
    method: str
    path: str
    body: Any = None
    content: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    depth: str = ""
    """What refuses it when somebody gave the attacker every right in the cluster by mistake; empty: nothing would."""


def merge(path: str, body: Any) -> tuple[str, str, Any, str]:
    """Method, path, body and content type of a merge patch."""
    return "PATCH", path, body, MERGE


def create(path: str, body: Any) -> tuple[str, str, Any]:
    """Method, path and body of a create."""
    return "POST", path, body
