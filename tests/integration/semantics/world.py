"""One installation for a whole table of cases, all of them at once."""

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tests.harness import GROUP, NAMESPACE, Object, Objects, Site
from tests.integration.semantics.cases import Case, Check, instance
from tests.probe import Probe
from tests.waiting import eventually

SECONDS = 25.0
"""How long a case may take on a machine that is busy with all the others."""

COLLECTION = f"{GROUP}/namespaces/default/containerinstances"


@dataclass(frozen=True)
class Servers:
    """Ports of servers on the node's network."""

    https: int
    grpc: int


class World:
    """The installation, and how its instances are looked at."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.agent = Probe(site.agent)

    def apply(self, cases: Mapping[str, Case]) -> None:
        """Create or change the instances of some cases."""
        self.site.apply(*(instance(name, case, self.site.registry, self.site.node) for name, case in cases.items()))

    def delete(self, *names: str) -> None:
        """Delete instances, and wait until they are gone."""
        self.site.plane.kubectl("delete", "--wait=false", *(f"ci/{name}" for name in names))
        self.site.api.until(COLLECTION, lambda found: not set(names) & set(found), SECONDS)

    def until(self, name: str, true: Check) -> Object:
        """The instance, once something is true of it."""

        def holds(found: Objects) -> bool:
            return name in found and "status" in found[name] and true(found[name])

        try:
            return self.site.api.until(COLLECTION, holds, SECONDS)[name]
        except AssertionError:
            now = self.site.api.get(f"{COLLECTION}/{name}")
            raise AssertionError(json.dumps(now.get("status"), indent=1)) from None

    def holds(self, name: str, case: Case) -> None:
        """The instance comes to be as the case says."""
        self.until(name, case.then)
        self.told(name, case.events)

    def told(self, name: str, beginnings: tuple[str, ...]) -> None:
        """There are Events that begin so."""
        missing = set(beginnings)

        def found(events: Objects) -> bool:
            mine = [e for e in events.values() if e["involvedObject"]["name"] == name]
            texts = [f"{e['reason']}: {e['message']}" for e in mine]
            missing.difference_update({b for b in missing if any(t.startswith(b) for t in texts)})
            return not missing

        if missing:
            self.site.api.until("/api/v1/namespaces/default/events", found, SECONDS)

    def said(self, name: str, container: str = "main", attempt: int = 0) -> list[str]:
        """The lines of a container's log."""
        found = list((self.site.state / "containers").glob(f"default_{name}_*/{container}/{attempt}.log"))
        return found[0].read_text().splitlines() if found else []

    def until_said(self, name: str, line: str, container: str = "main", attempt: int = 0) -> None:
        """Wait for a line in a log, which has no events."""
        said = eventually(lambda: self.said(name, container, attempt), lambda said: line in said, SECONDS)
        assert line in said, f"{name} says {said}, and not {line!r}"

    def pid(self, name: str) -> int:
        """Process id of the instance's only container."""
        (found,) = (pid for key, pid in self.site.containers().items() if key.startswith(f"{name}-main-"))
        return found

    def until_noted(self, name: str, label: str) -> None:
        """Wait until a container has a label, which nobody tells."""
        (key,) = (key for key in self.site.containers() if key.startswith(f"{name}-main-"))

        def labels() -> Object:
            about: Object = json.loads(self.site.containerd.ctr("containers", "info", key, namespace=NAMESPACE).stdout)
            found: Object = about["Labels"]
            return found

        assert label in eventually(labels, lambda found: label in found, SECONDS), f"{name} has no label {label}"

    def probed_anew(self) -> None:
        """Wait until the agent, just started, has made a few probes."""
        made = eventually(
            lambda: self.agent.value("moorage_agent_probes_total", probe="liveness"), lambda made: made >= 5, SECONDS
        )
        assert made >= 5, "the agent makes no probes"

    @contextmanager
    def servers(self) -> Iterator[Servers]:
        """Servers on the node's network, in a thread of their own."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="servers")
        thread.start()

        def run(work: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(work, loop).result(30)

        web = rpc = None
        try:
            web = run(_https(self.site.plane.ca.parent))
            rpc, port = run(_health())
            yield Servers(web.sockets[0].getsockname()[1], port)
        finally:
            if web is not None:
                loop.call_soon_threadsafe(web.close)
            if rpc is not None:
                run(rpc.stop(None))
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _https(folder: Path) -> asyncio.Server:
    """Answers everything with 200, under the certificate of the control plane, which nobody else trusts."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.crt", folder / "server.key")
    return await asyncio.start_server(answer, "0.0.0.0", 0, ssl=tls)


async def _health() -> tuple[grpc.aio.Server, int]:
    """A server of grpc.health.v1 by a library of gRPC: well as a whole, `sick` is not."""

    async def check(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        service = request[2:].decode()
        if service not in {"", "sick"}:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08\x02" if service else b"\x08\x01"

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("0.0.0.0:0")
    await server.start()
    return server, port
