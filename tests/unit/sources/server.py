"""A socket that answers as an API server does that is asked for single objects, of a namespace or of the cluster."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client import Configuration

from controller.kube.connection import Connection

Object = dict[str, Any]
Key = tuple[str, str, str]


@dataclass
class Server:
    """Objects by plural, namespace and name; every request of what is not one of them is counted by its path."""

    objects: dict[Key, Object] = field(default_factory=dict)
    version: int = 1
    down: bool = False
    """Answers with 503."""
    forbidden: bool = False
    installed: bool = True
    """Whether it knows the kinds that it is asked for."""
    expired: bool = False
    """Says of the next watch that its version is too old."""
    requests: list[str] = field(default_factory=list)
    watches: list[tuple[Key, "asyncio.Queue[Object | None]"]] = field(default_factory=list)
    connection: Connection = field(init=False)

    def put(self, plural: str, name: str, namespace: str = "default", **body: Any) -> None:
        """Create or change an object."""
        self.version += 1
        key = (plural, namespace, name)
        kind = "MODIFIED" if key in self.objects else "ADDED"
        meta = {"name": name, "namespace": namespace, "resourceVersion": str(self.version), "uid": name}
        self.objects[key] = {"metadata": meta, **body}
        self._tell(key, kind, self.objects[key])

    def delete(self, plural: str, name: str, namespace: str = "default") -> None:
        """Delete it."""
        self.version += 1
        key = (plural, namespace, name)
        gone = self.objects.pop(key)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(key, "DELETED", gone)

    def hang_up(self) -> None:
        """End every watch."""
        for _, queue in self.watches:
            queue.put_nowait(None)

    def _tell(self, key: Key, kind: str, obj: Object) -> None:
        for watched, queue in self.watches:
            if watched == key:
                queue.put_nowait({"type": kind, "object": obj})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """List or watch one."""
        self.requests.append(request.path_qs)
        if self.down:
            return web.json_response({"message": "etcd is away"}, status=503)
        if self.forbidden:
            return web.json_response({"message": 'User "a" cannot list resource'}, status=403)
        if not self.installed:
            return web.Response(text="404 page not found", status=404)
        _, field_name, name = request.query["fieldSelector"].rpartition("metadata.name=")
        assert field_name, "all of a kind are asked for"
        key = (request.match_info["plural"], request.match_info.get("namespace", ""), name)
        if "watch" not in request.query:
            items = [self.objects[key]] if key in self.objects else []
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})
        return await self._watch(request, key)

    async def _watch(self, request: web.Request, key: Key) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if self.expired:
            self.expired = False
            await response.write(json.dumps({"type": "ERROR", "object": {"code": 410, "message": "too old"}}).encode() + b"\n")
            return response
        queue: asyncio.Queue[Object | None] = asyncio.Queue()
        entry = (key, queue)
        self.watches.append(entry)
        try:
            while (event := await queue.get()) is not None:
                data = json.dumps(event).encode() + b"\n"
                for at in range(0, len(data), 100_000):  # a long line comes in pieces
                    await response.write(data[at : at + 100_000])
        finally:
            self.watches.remove(entry)
        return response


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server, while the block lasts."""
    server = Server()
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/{namespace}/{plural}", server.answer)
    app.router.add_get("/apis/{group}/{version}/{plural}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        configuration = Configuration()
        configuration.host = f"http://{host}:{port}"
        server.connection = Connection(configuration)
        yield server
    finally:
        await runner.cleanup()
