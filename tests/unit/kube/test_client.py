"""The calls to the API server, against a socket that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from controller.kube import client as module
from controller.kube.client import Client, failure
from controller.kube.connection import Connection
from controller.kube.errors import (
    ApiAlreadyExists,
    ApiConflict,
    ApiDenied,
    ApiFailure,
    ApiForbidden,
    ApiInvalid,
    ApiNotFound,
    ApiUnavailable,
)
from controller.kube.resources import EVENTS, INSTANCES, LEASES, NODES


def said(message: str) -> bytes:
    """A `Status` of the API server."""
    return json.dumps({"kind": "Status", "message": message}).encode()


@pytest.mark.parametrize(
    ("verb", "status", "body", "kind"),
    [
        ("create", 400, said("bad"), ApiInvalid),
        ("get", 401, said("Unauthorized"), ApiUnavailable),
        ("patch", 403, said("forbidden"), ApiForbidden),
        ("create", 403, said("exceeded quota: q"), ApiForbidden),
        ("create", 403, said("ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no"), ApiDenied),
        ("create", 403, said('admission webhook "w" denied the request: no'), ApiDenied),
        ("get", 404, said("not found"), ApiNotFound),
        ("list", 408, b"", ApiUnavailable),
        ("create", 409, said('containerinstances "a" already exists'), ApiAlreadyExists),
        ("create", 409, said("the object is being deleted"), ApiConflict),
        ("patch", 409, said("the object has been modified"), ApiConflict),
        ("delete", 409, said("the UID in the precondition does not match"), ApiConflict),
        ("list", 410, said("too old"), ApiNotFound),
        ("create", 413, b"", ApiInvalid),
        ("patch", 415, b"", ApiInvalid),
        ("patch", 422, said("spec.x: Invalid value"), ApiInvalid),
        ("get", 429, said("too many requests"), ApiUnavailable),
        ("get", 500, b"<html>", ApiUnavailable),
        ("get", 502, b"\xff", ApiUnavailable),
        ("get", 503, said("etcd is away"), ApiUnavailable),
        ("get", 504, b"[]", ApiUnavailable),
    ],
)
def test_answers_are_translated(verb: str, status: int, body: bytes, kind: type[ApiFailure]) -> None:
    """What trying again may mend, what somebody else did, what will never do; in the API server's own words if it has some."""
    found = failure(verb, INSTANCES, status, body)
    assert type(found) is kind
    assert str(found).startswith(f"{verb} containerinstances: ")
    words = json.loads(body)["message"] if body.startswith(b"{") else f"HTTP {status}"
    assert words in str(found)


class Server:
    """Keeps the requests, and gives the answers that were laid ready."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any, dict[str, str]]] = []
        self.answers: list[web.Response] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        text = await request.text()
        self.requests.append((request.method, request.path_qs, json.loads(text) if text else None, dict(request.headers)))
        await self.goes_on.wait()
        return self.answers.pop(0) if self.answers else web.Response(status=500)


@pytest.fixture(name="server")
async def _server() -> AsyncIterator[tuple[Server, Client]]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    configuration = Configuration()
    configuration.host = f"http://{host}:{port}"
    client = Client(Connection(configuration))
    yield server, client
    server.goes_on.set()
    await client.close()
    await runner.cleanup()


def answer(body: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.json_response(body, status=status)


async def test_each_call_is_what_the_api_server_wants(server: tuple[Server, Client]) -> None:
    """Method, path and body of every verb; a patch is a merge patch; the answer is the object."""
    api, client = server
    api.answers = [answer({"n": n}) for n in range(5)]
    assert await client.create(EVENTS, {"a": 1}, "ns") == {"n": 0}
    assert await client.patch(INSTANCES, "web", {"status": {}}, "ns", "status") == {"n": 1}
    assert await client.get(NODES, "node1") == {"n": 2}
    await client.patch(LEASES, "node1", {"spec": {}}, "moorage-node-lease")
    await client.delete(INSTANCES, "web", "ns", uid="u")
    assert [(method, path, body) for method, path, body, _ in api.requests] == [
        ("POST", "/api/v1/namespaces/ns/events", {"a": 1}),
        ("PATCH", "/apis/moorage.dev/v1alpha1/namespaces/ns/containerinstances/web/status", {"status": {}}),
        ("GET", "/apis/moorage.dev/v1alpha1/runtimenodes/node1", None),
        ("PATCH", "/apis/coordination.k8s.io/v1/namespaces/moorage-node-lease/leases/node1", {"spec": {}}),
        (
            "DELETE",
            "/apis/moorage.dev/v1alpha1/namespaces/ns/containerinstances/web",
            {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": {"uid": "u"}},
        ),
    ]
    assert api.requests[1][3]["Content-Type"] == "application/merge-patch+json"


async def test_lists_are_read_to_their_end(server: tuple[Server, Client]) -> None:
    """Page by page; of a metadata list only metadata is asked for."""
    api, client = server
    one, two = ({"metadata": {"name": name}} for name in ("one", "two"))
    pages = [{"items": [one], "metadata": {"continue": "x/y+z"}}, {"items": [two], "metadata": {}}, {"items": None}]
    api.answers = [answer(p) for p in pages]
    assert await client.list(INSTANCES, field_selector="spec.nodeName=a") == [one, two]
    assert await client.list_metadata(INSTANCES, "ns") == []
    first, second, third = (dict(parse_qsl(request[1].partition("?")[2])) for request in api.requests)
    assert first == {"limit": "500", "fieldSelector": "spec.nodeName=a"}
    assert second == {**first, "continue": "x/y+z"}
    assert third == {"limit": "500"}
    assert "PartialObjectMetadataList" in api.requests[2][3]["Accept"]


async def test_a_refusal_carries_the_servers_sentence(server: tuple[Server, Client]) -> None:
    """So that people read why."""
    api, client = server
    api.answers = [answer({"message": "spec.replicas: must be positive"}, 422)]
    with pytest.raises(ApiInvalid, match="must be positive"):
        await client.create(INSTANCES, {}, "ns")


@pytest.mark.parametrize("body", [b"", b"<html>login</html>", b"\xff\xfe", b"[1]", b"null"])
async def test_an_answer_that_is_no_object_is_no_answer(server: tuple[Server, Client], body: bytes) -> None:
    """A proxy in between that answers 200 with a page of its own: unavailable, and nothing breaks."""
    api, client = server
    api.answers = [web.Response(body=body)]
    with pytest.raises(ApiUnavailable):
        await client.get(NODES, "a")


async def test_every_call_has_a_deadline(server: tuple[Server, Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the request and never answers is unavailable."""
    api, client = server
    api.goes_on.clear()
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.05)
    with pytest.raises(ApiUnavailable, match="does not answer"):
        await client.get(NODES, "a")


async def test_nobody_listens() -> None:
    """Refused is unavailable, with words."""
    configuration = Configuration()
    configuration.host = "http://127.0.0.1:1"
    client = Client(Connection(configuration))
    with pytest.raises(ApiUnavailable, match="the API server does not answer"):
        await client.get(NODES, "a")
    await client.close()


async def test_credentials_that_cannot_be_read_now_are_no_defect(
    server: tuple[Server, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token file that is being replaced: unavailable, so that it is tried again."""
    _, client = server

    async def unreadable() -> dict[str, str]:
        raise FileNotFoundError("/var/run/secrets/token")

    monkeypatch.setattr(client._connection, "authorization", unreadable)
    with pytest.raises(ApiUnavailable, match="token"):
        await client.get(NODES, "a")


async def test_a_cancelled_call_is_cancelled(server: tuple[Server, Client]) -> None:
    """Nobody waits for the server."""
    api, client = server
    api.goes_on.clear()
    call = asyncio.create_task(client.get(NODES, "a"))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
