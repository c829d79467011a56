"""Registries that ask who one is: by user and password (htpasswd), and by tokens of a server of their own."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web

from controller.runtime.port import Credential

USER: Final = "harbourmaster"
PASSWORD: Final = "harbour-9f2e61c7"
OTHER_USER: Final = "jetty"
OTHER_PASSWORD: Final = "jetty-51d0be83"

USERS: Final = {
    USER: "$2b$04$abcdefghijklmnopqrstuueWZ7MrJroJTKFALSF9HMwdOuCq8rLT.",
    OTHER_USER: "$2b$04$zbcdefghijklmnopqrstuublhJeOYZcvEpvZxGmT3oIl.uZaBaPIe",
}
"""Who may log in at a `Registry`, with the hashes of the passwords above."""

GOOD: Final = Credential(USER, PASSWORD)
OTHER: Final = Credential(OTHER_USER, OTHER_PASSWORD)
WRONG: Final = Credential(USER, "wrong-80aa41")


def docker_config(registry: str, credential: Credential) -> str:
    """A config.json with credentials for one registry, or a part of one."""
    auth = base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()
    return json.dumps({"auths": {registry: {"auth": auth}}})


@dataclass
class TokenRegistry:
    """A registry that wants a token of its own server for everything, before a real one that wants none.

    Tokens are by user and password (GET, and POST of OAuth 2.0), or by an identity token (a refresh token).
    """

    upstream: str
    """Address and port of the real one."""
    host: str = ""
    """Address and port, once it runs."""
    public: bool = False
    """Tokens are for everybody, as Docker Hub gives them for public images."""
    identity_token: str = field(default_factory=lambda: secrets.token_hex(8))
    tokens: set[str] = field(default_factory=set)
    """That are good."""
    asked: list[str] = field(default_factory=list)
    """How each token was asked for."""
    served: list[str] = field(default_factory=list)
    """Method and path of each request that was let through."""

    def token(self) -> str:
        """A new one."""
        made = secrets.token_hex(16)
        self.tokens.add(made)
        return made

    async def _by_get(self, request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        self.asked.append("basic" if authorization else "anonymous")
        known = {f"Basic {base64.b64encode(f'{u}:{p}'.encode()).decode()}" for u, p in _PASSWORDS.items()}
        if authorization not in known and (authorization or not self.public):
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)
        return web.json_response({"token": self.token()})

    async def _by_post(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(str(form.get("grant_type")))
        if form.get("grant_type") == "refresh_token":
            good = form.get("refresh_token") == self.identity_token
        else:
            good = _PASSWORDS.get(str(form.get("username"))) == form.get("password")
        if not good:
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)
        return web.json_response({"access_token": self.token()})

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            scope = f"repository:{'/'.join(request.path.split('/')[2:-2])}:pull"
            challenge = f'Bearer realm="http://{self.host}/token",service="lab",scope="{scope}"'
            return web.json_response({"errors": []}, status=401, headers={"WWW-Authenticate": challenge})
        self.served.append(f"{request.method} {request.path}")
        headers = {k: v for k, v in request.headers.items() if k.lower() in {"accept", "range"}}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, f"http://{self.upstream}{request.path_qs}", headers=headers) as answer,
        ):
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in {"connection", "transfer-encoding"}}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


_PASSWORDS: Final = {USER: PASSWORD, OTHER_USER: OTHER_PASSWORD}


@asynccontextmanager
async def token_registry(upstream: str) -> AsyncIterator[TokenRegistry]:
    """Run one, on 127.0.0.1, in this loop."""
    found = TokenRegistry(upstream)
    app = web.Application()
    app.router.add_get("/token", found._by_get)
    app.router.add_post("/token", found._by_post)
    app.router.add_route("*", "/v2/{rest:.*}", found._pass)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        found.host = f"127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()
