"""A GET request as the kubelet's probes make it: no proxy, no verified certificate, redirects to the same host only.

Source: kubernetes.io, "Configure Liveness, Readiness and Startup Probes", and k8s.io/kubernetes/pkg/probe/http.
"""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from controller import __version__
from controller.agent.probes.outcome import Outcome
from controller.network.dial import Dialer

MOST_REDIRECTS: Final = 10
MOST_BODY: Final = 10 << 10
"""Bytes of the answer that are read."""

_MOST_HEADERS: Final = 64 << 10
_PORTS: Final = {"http": 80, "https": 443}


class HttpFailure(Exception):  # noqa: N818 - as the runtime's tree of words for what went wrong
    """What came back is no answer of HTTP; `str()` of it says what is wrong."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    """Path of the network namespace to ask from; empty: the node's own."""
    agent: str = "probe"
    """What asks: `probe` or `lifecycle`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    location: str = ""


async def probe(dialer: Dialer, request: Request) -> Outcome:
    """Ask, and judge the answer: 200 to 399 is success. The caller sets the deadline."""
    url = request.url
    try:
        for _ in range(MOST_REDIRECTS):
            answer = await ask(dialer, request, url)
            if not (answer.location and answer.status in {301, 302, 303, 307, 308}):
                break
            target = urljoin(url, answer.location)
            if urlsplit(target).hostname != urlsplit(request.url).hostname or urlsplit(target).scheme not in _PORTS:
                return Outcome(ok=True, said=f"it redirects to another host, which was not asked: {target}", warning=True)
            url = target
        else:
            return Outcome(ok=False, said=f"GET {request.url}: stopped after {MOST_REDIRECTS} redirects")
    except (OSError, HttpFailure, ValueError) as exc:
        return Outcome(ok=False, said=f"GET {url}: {str(exc) or type(exc).__name__}")
    if 200 <= answer.status < 400:
        return Outcome(ok=True)
    return Outcome(ok=False, said=f"HTTP probe failed with statuscode: {answer.status}")


async def ask(dialer: Dialer, request: Request, url: str) -> Answer:
    """One request on a connection of its own.

    Raises:
        OSError: when there is no connection.
        HttpFailure: when the answer is none.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    link = await dialer.connect(host, parts.port or _PORTS[parts.scheme], request.namespace)
    try:
        secure = _unverified() if parts.scheme == "https" else None
        reader, writer = await asyncio.open_connection(
            sock=link, ssl=secure, server_hostname=host if secure else None, limit=_MOST_HEADERS
        )
    except BaseException:
        link.close()
        raise
    try:
        writer.write(_request(parts, request))
        await writer.drain()
        return await _answer(reader)
    finally:
        writer.transport.abort()  # a close would wait for a server that reads nothing


def _request(parts: SplitResult, request: Request) -> bytes:
    """The request as bytes; a header that is given replaces ours of the same name."""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    given = {name.lower() for name, _ in request.headers}
    own = (
        ("Host", parts.netloc),
        ("User-Agent", f"kube-{request.agent}/moorage-{__version__}"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    )
    headers = [h for h in own if h[0].lower() not in given]
    headers += [h for h in request.headers if h[1] or h[0].lower() not in {"accept", "host"}]
    if not any(name.lower() == "host" for name, _ in headers):
        headers.insert(0, own[0])
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


async def _answer(reader: asyncio.StreamReader) -> Answer:
    """The answer's head; of its body so much is read that the server can send it in peace."""
    while True:
        first, *lines = await _head(reader)
        status = _status(first)
        if status >= 200 or status == 101:
            break
    headers = _headers(lines)
    length = headers.get("content-length", "")
    rest = min(int(length), MOST_BODY) if length.isdecimal() else MOST_BODY
    while rest > 0 and status not in {204, 304} and (data := await reader.read(rest)):
        rest -= len(data)
    return Answer(status, headers.get("location", ""))


async def _head(reader: asyncio.StreamReader) -> list[str]:
    """The lines up to an empty one; a bare line feed ends one, too (RFC 9112, section 2.2)."""
    lines: list[str] = []
    room = _MOST_HEADERS
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as exc:
            said = lines or exc.partial
            raise HttpFailure("the answer is cut short" if said else "the connection was closed without an answer") from exc
        except asyncio.LimitOverrunError as exc:
            raise HttpFailure("malformed HTTP response: there is no end of its line") from exc
        room -= len(line)
        if room < 0:
            raise HttpFailure("the headers of the answer are too long")
        text = line.decode("latin-1").rstrip("\r\n")
        if not text:
            return lines or [""]
        lines.append(text)


def _status(line: str) -> int:
    version, _, rest = line.partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not (code.isdecimal() and len(code) == 3):
        raise HttpFailure(f"malformed HTTP response {line[:64]!r}")
    return int(code)


def _headers(lines: Iterable[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


@cache
def _unverified() -> ssl.SSLContext:
    """Takes every certificate: who answers at the instance's own address is not in doubt."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
