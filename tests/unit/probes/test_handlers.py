"""Probes and handlers by network and by command, against servers of this test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from controller.agent.decide.observation import NodeFacts
from controller.agent.probes import grpc as health
from controller.agent.probes import http
from controller.agent.probes.handlers import Handlers, Subject, port_number, subject
from controller.agent.probes.outcome import NoOutcome, Outcome
from controller.api.probes import LifecycleHandler, Probe
from controller.api.spec import Container
from controller.network import namespace
from controller.network.dial import Dialer
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from controller.runtime.port import ContainerConfig
from tests.threads import namespaces
from tests.unit.agent.values import desired

Reply = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
WEB = Container.model_validate({"name": "web", "image": "i", "ports": [{"containerPort": 80, "name": "http"}]})


@asynccontextmanager
async def serving(reply: Reply) -> AsyncIterator[int]:
    """A server that answers the head of each request; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reply(await reader.readuntil(b"\r\n\r\n"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def late(probe: Awaitable[Outcome], seconds: float) -> float:
    """Cancel a probe that is not answered, as its deadline does; how many seconds that took in all."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10), asyncio.timeout(seconds):
            await probe
    return loop.time() - began


@pytest.fixture
def dialer() -> Any:
    """What connects."""
    found = Dialer()
    yield found
    found.close()


def sent(*parts: bytes) -> Reply:
    """Answers with these bytes, whatever is asked."""

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return reply


ANSWERS: dict[str, tuple[bytes, bool, str]] = {
    "200": (b"HTTP/1.1 200 OK\r\n\r\nhello", True, ""),
    "204 and the connection stays open": (b"HTTP/1.1 204 No Content\r\n\r\n", True, ""),
    "399": (b"HTTP/1.0 399 Odd\r\n\r\n", True, ""),
    "400": (b"HTTP/1.1 400 Bad\r\n\r\n", False, "HTTP probe failed with statuscode: 400"),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", True, ""),
    "an interim answer": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 500 No\r\n\r\n", False, "statuscode: 500"),
    "another protocol": (b"SSH-2.0-x\r\n\r\n", False, "malformed HTTP response 'SSH-2.0-x'"),
    "nothing": (b"", False, "the connection was closed without an answer"),
    "half an answer": (b"HTTP/1.1 200 OK\r\nA", False, "the answer is cut short"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000, False, "headers of the answer are too long"),
    "a longer body than is read": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100000, True, ""),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_answers_by_http(case: str, dialer: Dialer) -> None:
    """200 to 399 is success, whatever else comes is failure, and says what it is."""
    answer, ok, told = ANSWERS[case]
    async with asyncio.timeout(10), serving(sent(answer)) as port:
        outcome = await http.probe(dialer, http.Request(f"http://127.0.0.1:{port}/"))
    assert outcome.ok == ok
    assert told in outcome.said


async def test_the_request(dialer: Dialer) -> None:
    """As a kubelet's: one GET, its own headers where none are given, and none of those that are given as empty."""
    heads: list[bytes] = []

    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serving(reply) as port:
        await http.probe(dialer, http.Request(f"http://127.0.0.1:{port}/a?b=c"))
        given = (("host", "www.example"), ("User-Agent", "me"), ("Accept", ""), ("X", "1"), ("X", "2"))
        await http.probe(dialer, http.Request(f"http://127.0.0.1:{port}", given))
    plain, own = (head.decode().split("\r\n") for head in heads)
    assert plain[0] == "GET /a?b=c HTTP/1.1"
    assert {f"Host: 127.0.0.1:{port}", "Accept: */*", "Connection: close"} <= set(plain)
    assert any(line.startswith("User-Agent: kube-probe/") for line in plain)
    assert own == ["GET / HTTP/1.1", "Connection: close", "host: www.example", "User-Agent: me", "X: 1", "X: 2", "", ""]


@pytest.mark.parametrize(
    ("location", "asked", "warned"),
    [("/there", 2, False), ("there", 2, False), ("http://elsewhere.invalid/", 1, True), ("ftp://127.0.0.1/", 1, True)],
)
async def test_redirects(location: str, asked: int, warned: bool, dialer: Dialer) -> None:  # noqa: FBT001 - a table
    """Those to the same host are followed; others are not, and count as success, with a warning."""
    heads: list[bytes] = []

    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        first = len(heads) == 1
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode() if first else b"HTTP/1.1 200 OK\r\n\r\n")

    async with serving(reply) as port:
        outcome = await http.probe(dialer, http.Request(f"http://127.0.0.1:{port}/"))
    assert (outcome.ok, outcome.warning, len(heads)) == (True, warned, asked)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("", Outcome(ok=True)),
        ("sick", Outcome(ok=False, said='service unhealthy (responded with "NOT_SERVING")')),
        ("nobody", None),
        ("n" * 300, None),
    ],
)
async def test_grpc_against_a_library_of_it(service: str, expected: Outcome | None, dialer: Dialer) -> None:
    """SERVING is success; another status, an error and a service that is not known are failures."""

    async def check(request: bytes, context: Any) -> bytes:
        asked = request[2 + (len(service) > 127) :].decode()
        assert asked == service
        if asked in {"", "sick"}:
            return b"\x08\x02" if asked else b"\x08\x01"
        await context.abort(grpc.StatusCode.NOT_FOUND, "unknown")
        raise AssertionError

    server = grpc.aio.server()
    calls: dict[str, Any] = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", calls),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        outcome = await health.probe(dialer, "127.0.0.1", port, service)
    finally:
        await server.stop(None)
    assert outcome == expected or (expected is None and not outcome.ok and "without a status" in outcome.said)


async def test_grpc_of_a_server_of_something_else(dialer: Dialer) -> None:
    """What answers by HTTP/1.1, or closes the connection, is a failure and no defect."""
    for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b""):
        async with asyncio.timeout(10), serving(sent(answer)) as port:
            outcome = await health.probe(dialer, "127.0.0.1", port, "")
        assert not outcome.ok
        assert "gRPC health check" in outcome.said


async def test_a_server_that_never_reads_holds_nobody_up(dialer: Dialer) -> None:
    """What it was to be sent is dropped at the deadline: a connection is not closed in its own time."""
    wide = tuple((f"X-{number}", "x" * 2**20) for number in range(16))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        request = http.Request(f"http://127.0.0.1:{deaf.getsockname()[1]}/", wide)
        assert await late(http.probe(dialer, request), 0.2) < 2


async def test_a_grpc_server_that_only_asks_is_answered_no_faster_than_it_reads(dialer: Dialer) -> None:
    """Answers to its pings are not gathered in memory without end, and the deadline holds."""
    ping = (16384).to_bytes(3) + b"\x06\x00" + bytes(4) + bytes(16384)
    sent_all = asyncio.Event()

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined] # asyncio.StreamWriter does not tell that it reads, too
        for _number in range(4096):  # more than the kernel takes in on the way
            writer.write(ping)
            await writer.drain()
        sent_all.set()

    async with serving(reply) as port:
        assert await late(health.probe(dialer, "127.0.0.1", port, ""), 0.5) < 2
    assert not sent_all.is_set()


async def test_a_grpc_answer_without_end_is_none(dialer: Dialer) -> None:
    """A status takes a few bytes: what is longer than one frame is not read on."""
    part = (16000).to_bytes(3) + b"\x00\x00" + (1).to_bytes(4) + bytes(16000)

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(part)
            await writer.drain()

    async with asyncio.timeout(5), serving(reply) as port:
        outcome = await health.probe(dialer, "127.0.0.1", port, "")
    assert not outcome.ok
    assert "the answer cannot be read" in outcome.said


async def test_a_connection_from_inside_a_network_namespace(dialer: Dialer, tmp_path: Path) -> None:
    """The socket is in the namespace of the path, and the thread that made it is not: the namespace ends with its mount."""
    path = str(tmp_path / "ns")
    namespace.create(path)
    try:
        async with serving(sent(b"")) as port:
            with pytest.raises(ConnectionRefusedError, match="Connection refused"):
                await dialer.connect("127.0.0.1", port, path)
            (await dialer.connect("127.0.0.1", port)).close()
        assert f"net:[{Path(path).stat().st_ino}]" not in namespaces("net")
    finally:
        namespace.remove(path)
    with pytest.raises(FileNotFoundError):
        await dialer.connect("127.0.0.1", 1, path)


async def container() -> tuple[MemoryNode, Handlers, Subject]:
    """A simulated container that runs."""
    node = MemoryNode([MemoryImage("registry.test/app:1")])
    runtime = MemoryRuntime(node)
    image = await runtime.pull("registry.test/app:1")
    await runtime.create(ContainerConfig("c", image.name, ("app",), {}))
    await runtime.start("c")
    spec = Container.model_validate({"name": "web", "image": "i", "env": [{"name": "N", "value": "3"}]})
    return node, Handlers(runtime, Dialer()), Subject(spec, "c", "127.0.0.1")


def runs(*command: str, **fields: Any) -> Probe:
    """A probe by command."""
    return Probe.model_validate({"exec": {"command": list(command)}, **fields})


async def test_commands() -> None:
    """Exit code 0 is success, another a failure with what was said; what cannot be run says nothing; late is failure."""
    node, handlers, on = await container()
    try:
        assert (await handlers.probe(runs("true"), on)).ok
        assert await handlers.probe(runs("exit", "$(N)"), on) == Outcome(ok=False, said="the command ended with exit code 3")
        assert await handlers.probe(runs("sh", "-c", "echo bad; exit 1"), on) == Outcome(ok=False, said="bad")
        assert await handlers.probe(runs("sleep", "60"), on) == Outcome(ok=False, said="no answer within 1 s")
        with pytest.raises(NoOutcome):
            await handlers.probe(runs("nosuch"), on)
        node.crash("c")
        with pytest.raises(NoOutcome):
            await handlers.probe(runs("true"), on)
    finally:
        handlers.dialer.close()


async def test_a_hook_keeps_what_a_command_says_to_itself() -> None:
    """Events may be read by more people than logs."""
    _, handlers, on = await container()
    hook = LifecycleHandler.model_validate({"exec": {"command": ["sh", "-c", "echo secret; exit 1"]}})
    outcome = await handlers.hook(hook, on)
    handlers.dialer.close()
    assert not outcome.ok
    assert "secret" not in outcome.said


def test_ports_by_name() -> None:
    """A name is looked up among the container's own ports; a text of digits is a name, too."""
    assert port_number("http", WEB) == port_number(80, WEB) == 80
    for name in ("https", "80"):
        with pytest.raises(NoOutcome, match="no port with the name"):
            port_number(name, WEB)


def test_where_an_instance_is_probed() -> None:
    """The node's address on the node's network, its own where it is attached, loopback inside where nothing leads in."""
    node = NodeFacts("n", address="192.0.2.7", netns_dir="/ns")
    on_node, alone = desired().instance, desired(hostNetwork=False, network="None").instance
    found = subject(on_node, WEB, "c", node, ())
    assert (found.address, found.namespace) == ("192.0.2.7", "")
    found = subject(desired(hostNetwork=False).instance, WEB, "c", node, ("10.1.2.3", "fd00::3"))
    assert (found.address, found.namespace) == ("10.1.2.3", "")
    found = subject(alone, WEB, "c", node, ())
    assert (found.address, found.namespace) == ("127.0.0.1", f"/ns/{alone.metadata.uid}")
