"""An API server that gives out tokens of ServiceAccounts, in memory; by the clock of whoever asks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.agent.tokens.port import TokenRef
from controller.kube.errors import ApiFailure, ApiNotFound
from controller.kube.resources import SERVICE_ACCOUNTS, Resource


def token_ref(uid: str = "one", account: str = "default", audience: str = "", seconds: int = 3600) -> TokenRef:
    """A token of an instance in the namespace `default`."""
    return TokenRef(uid, "default", account, audience, seconds)


def token_volume(*more: dict[str, Any], name: str = "token", **fields: Any) -> dict[str, Any]:
    """A volume that holds a token, and other tokens."""
    sources = [{"serviceAccountToken": {"path": "token", **fields}}, *({"serviceAccountToken": m} for m in more)]
    return {"name": name, "projected": {"sources": sources}}


@dataclass
class TokenServer:
    """What `Client.create` answers to a TokenRequest: `token-1`, `token-2`, ..."""

    nodes: Sequence[str] = ("node1",)
    """The Nodes that there are."""
    accounts: set[str] = field(default_factory=lambda: {"default"})
    most: int = 1 << 32
    """Seconds that a token is good at most."""
    refusal: ApiFailure | None = None
    """What requests are answered with."""
    slow: float = 0.0
    """Seconds that an answer takes."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The `spec` of every request, with `account` and `namespace`."""
    given: int = 0
    under_way: int = 0
    busiest: int = 0

    async def create(
        self, resource: Resource, body: dict[str, Any], namespace: str = "", name: str = "", subresource: str = ""
    ) -> dict[str, Any]:
        """Give one out."""
        assert (resource, subresource, body["kind"]) == (SERVICE_ACCOUNTS, "token", "TokenRequest")
        spec = body["spec"]
        self.asked.append(spec | {"account": name, "namespace": namespace})
        self.under_way += 1
        self.busiest = max(self.busiest, self.under_way)
        try:
            await asyncio.sleep(self.slow)
        finally:
            self.under_way -= 1
        if self.refusal is not None:
            raise self.refusal
        if name not in self.accounts:
            raise ApiNotFound(f'create serviceaccounts: serviceaccounts "{name}" not found')
        bound = spec.get("boundObjectRef")
        if bound is not None and bound["name"] not in self.nodes:
            raise ApiNotFound(f'create serviceaccounts: nodes "{bound["name"]}" not found')
        self.given += 1
        life = min(spec["expirationSeconds"], self.most)
        return {"spec": spec | {"expirationSeconds": life}, "status": {"token": f"token-{self.given}"}}
