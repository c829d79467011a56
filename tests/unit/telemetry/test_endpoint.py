"""The endpoint answers from a thread of its own about a loop that works, is blocked, or has ended."""

import asyncio
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.telemetry import endpoint as served
from controller.telemetry import health as module
from controller.telemetry.endpoint import Endpoint
from controller.telemetry.health import Health


@contextmanager
def _working_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that turns in a thread, as the process's own does beside the endpoint's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _served(health: Health) -> Iterator[Endpoint]:
    with _working_loop() as loop:
        endpoint = Endpoint(0, health, loop)
        try:
            yield endpoint
        finally:
            endpoint.close()


def _get(endpoint: Endpoint, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{host}:{endpoint.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_what_is_well_is_told_with_200() -> None:
    """Every check has its line, and the loop is always among them."""
    with _served(Health(live={"watch": lambda: ""}, ready={"caches": lambda: ""})) as endpoint:
        assert _get(endpoint, "/healthz") == (200, "[+]loop ok\n[+]watch ok\n")
        assert _get(endpoint, "/readyz") == (200, "[+]loop ok\n[+]caches ok\n")


def test_what_is_not_well_is_told_with_503_and_why() -> None:
    """One failing check makes the whole answer fail; the others are told as well. Readiness does not touch liveness."""
    checks = {"agent": lambda: "", "runtime": lambda: "containerd is not available"}
    with _served(Health(ready=checks)) as endpoint:
        told = "[+]loop ok\n[+]agent ok\n[-]runtime failed: containerd is not available\n"
        assert _get(endpoint, "/readyz?verbose") == (503, told)
        assert _get(endpoint, "/healthz") == (200, "[+]loop ok\n")


def test_a_check_is_asked_anew_each_time_and_in_the_loop() -> None:
    """The answer is that of this moment, read in the thread that owns the state."""
    threads: list[threading.Thread] = []

    def caches() -> str:
        threads.append(threading.current_thread())
        return f"asked {len(threads)}"

    with _served(Health(ready={"caches": caches})) as endpoint:
        assert "asked 1" in _get(endpoint, "/readyz")[1]
        assert "asked 2" in _get(endpoint, "/readyz")[1]
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_a_blocked_loop_is_told_and_its_metrics_can_still_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that does not turn fails both; once it turns again both are well."""
    monkeypatch.setattr(module, "TURN_SECONDS", 0.1)
    free = threading.Event()
    with _served(Health()) as endpoint:
        endpoint.loop.call_soon_threadsafe(free.wait)
        try:
            for path in ("/healthz", "/readyz"):
                assert _get(endpoint, path) == (503, "[-]loop failed: the event loop has not turned for 0.1 s\n")
            assert "process_cpu_seconds_total" in _get(endpoint, "/metrics")[1]
        finally:
            free.set()
        monkeypatch.setattr(module, "TURN_SECONDS", 5.0)
        assert _get(endpoint, "/healthz")[0] == 200


def test_an_ended_loop_is_told() -> None:
    """While the process ends, a probe gets an answer instead of an exception."""
    with _working_loop() as loop:
        endpoint = Endpoint(0, Health(), loop)
    try:
        assert _get(endpoint, "/healthz") == (503, "[-]loop failed: the event loop has ended\n")
    finally:
        endpoint.close()


def test_closing_is_at_once_and_frees_the_port() -> None:
    """The end of the process does not wait for a pause to be over, and no thread is left."""
    with _working_loop() as loop:
        endpoint = Endpoint(0, Health(), loop)
        before = time.monotonic()
        endpoint.close()
        assert time.monotonic() - before < 0.2
        assert "endpoint" not in {thread.name for thread in threading.enumerate()}
        Endpoint(endpoint.port, Health(), loop).close()


def test_other_paths_are_not_there() -> None:
    """Who looks elsewhere is told where to look."""
    with _served(Health()) as endpoint:
        status, text = _get(endpoint, "/")
    assert status == 404
    assert all(path in text for path in ("/metrics", "/healthz", "/readyz"))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this machine")
def test_both_families_are_answered() -> None:
    """A pod's address may be of either family."""
    with _served(Health()) as endpoint:
        assert _get(endpoint, "/healthz", "127.0.0.1")[0] == 200
        assert _get(endpoint, "/healthz", "[::1]")[0] == 200


def test_the_port_is_free_for_the_next_right_after() -> None:
    """A process that takes the place of another has its port at once, though connections of the other still wait."""
    with _working_loop() as loop:
        endpoint = Endpoint(0, Health(), loop)
        port = endpoint.port
        assert _get(endpoint, "/healthz")[0] == 200
        endpoint.close()
        Endpoint(port, Health(), loop).close()


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    """Prometheus negotiates the format by its Accept header."""
    with _served(Health()) as endpoint:
        url = f"http://127.0.0.1:{endpoint.port}/metrics"
        request = urllib.request.Request(url, headers={"Accept": "application/openmetrics-text;version=1.0.0"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            assert answer.read().endswith(b"# EOF\n")


def test_a_client_that_hangs_up_disturbs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """A port scan leaves no traceback in the log, and the next probe is answered."""
    with _served(Health()) as endpoint:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", endpoint.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert _get(endpoint, "/healthz")[0] == 200
    assert capsys.readouterr().err == ""


def test_a_defect_is_told_in_the_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A scrape that fails by our own fault leaves a reason behind."""

    def broken(_accept: str) -> None:
        raise LookupError("of the encoder")

    monkeypatch.setattr(served, "choose_encoder", broken)
    with _served(Health()) as endpoint:
        with pytest.raises(ConnectionError):
            urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics", timeout=10)
        assert _get(endpoint, "/healthz")[0] == 200
    (told,) = caplog.records
    assert told.exc_info is not None
    assert "of the encoder" in str(told.exc_info[1])
