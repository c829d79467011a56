"""Startup, readiness and liveness probes, as Kubernetes promises them, on a real containerd.

Source of the rules, unless a case names another: kubernetes.io, "Configure Liveness, Readiness and Startup Probes"
(docs/tasks/configure-pod-container/) and "Pod Lifecycle" (docs/concepts/workloads/pods/).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.harness import GROUP, ready
from tests.integration.semantics.cases import Case, Check, command, ended, is_ready, main, restarted, shell, unready
from tests.integration.semantics.world import World

YES, NO = command("true"), command("false")
QUICK: dict[str, Any] = {"periodSeconds": 1, "failureThreshold": 1}
FOREVER = {"command": ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"]}

ANSWERS = r"""#!/bin/sh
read method path version
token=
while read name value && [ -n "${name%?}" ]; do
  case $name in X-Token:) token=${value%?} ;; Host:) host=${value%?} ;; esac
done
answer() { printf 'HTTP/1.1 %s\r\nContent-Length: 0\r\n' "$1"; [ "$2" ] && printf '%s\r\n' "$2"; printf '\r\n'; }
case $path in
  /ok*) answer "200 OK" ;;
  /moved) answer "302 Found" "Location: /ok" ;;
  /away) answer "302 Found" "Location: http://elsewhere.invalid/" ;;
  /loop) answer "302 Found" "Location: /loop" ;;
  /token) [ "$token" = ahoy ] && answer "200 OK" || answer "403 Forbidden" ;;
  /host) [ "$host" = www.example ] && answer "200 OK" || answer "421 Misdirected" ;;
  /slow) sleep 5; answer "200 OK" ;;
  *) answer "503 Busy" ;;
esac
"""
SERVER = {
    "command": ["sh", "-c", 'printf "%s" "$ANSWERS" >/tmp/a; chmod +x /tmp/a; exec nc -ll -p 8080 -e /tmp/a'],
    "env": [{"name": "ANSWERS", "value": ANSWERS.replace("$", "$$")}],
    "ports": [{"name": "web", "containerPort": 8080}],
}
"""Answers by HTTP as its path says."""


def get(path: str, **fields: Any) -> dict[str, Any]:
    """A readiness probe that asks the server."""
    return {"readinessProbe": {"httpGet": {"path": path, "port": 8080, **fields}, "periodSeconds": 1}}


def readiness(handler: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A readiness probe."""
    return {"readinessProbe": {**handler, "periodSeconds": 1, **fields}}


CASES = {
    # --- exec
    "exec-yes": Case("exit code 0 is success", readiness(YES), is_ready),
    "exec-no": Case(
        "any other exit code is failure: it runs on, and is not ready",
        readiness(command("sh", "-c", "echo not yet; exit 7"), failureThreshold=1),
        unready("readiness probe failed: not yet"),
        events=("Unhealthy: container main: readiness probe failed: not yet",),
    ),
    "exec-env": Case(
        "a command refers to the container's variables as $(NAME), as its own command does",
        {"env": [{"name": "WHO", "value": "me"}]} | readiness(command("test", "$(WHO)", "=", "me")),
        is_ready,
    ),
    "exec-missing": Case(
        "a command that is not there says nothing: not ready, and a liveness probe restarts nothing (kubelet: probe errored)",
        readiness(command("nosuch")) | {"livenessProbe": command("nosuch") | QUICK},
        unready("has not succeeded yet"),
        events=("Unhealthy: container main: readiness probe could not be made",),
    ),
    "exec-late": Case(
        "timeoutSeconds: a command that takes longer has failed",
        readiness(command("sleep", "60"), timeoutSeconds=1, failureThreshold=1),
        unready("no answer within 1 s"),
    ),
    # --- httpGet
    "http-ok": Case("200 is success", SERVER | get("/ok"), is_ready),
    "http-query": Case("a path may have a query", SERVER | get("/ok?deep=1"), is_ready),
    "http-503": Case("a code of 400 or more is failure", SERVER | get("/"), unready("HTTP probe failed with statuscode: 503")),
    "http-moved": Case("a redirect to the same host is followed", SERVER | get("/moved"), is_ready),
    "http-away": Case(
        "a redirect to another host is not: it counts as success, with a warning",
        SERVER | get("/away"),
        is_ready,
        events=("ProbeWarning: container main: readiness probe",),
    ),
    "http-loop": Case("ten redirects are enough", SERVER | get("/loop"), unready("stopped after 10 redirects")),
    "http-named": Case("a port may be named as in ports", SERVER | get("/ok", port="web"), is_ready),
    "http-unnamed": Case(
        "a name that no port has says nothing", SERVER | get("/ok", port="nobody"), unready("has not succeeded yet")
    ),
    "http-header": Case(
        "httpHeaders are sent", SERVER | get("/token", httpHeaders=[{"name": "X-Token", "value": "ahoy"}]), is_ready
    ),
    "http-host": Case(
        "the header Host names a virtual host",
        SERVER | get("/host", httpHeaders=[{"name": "Host", "value": "www.example"}]),
        is_ready,
    ),
    "http-slow": Case("timeoutSeconds: no answer in time is failure", SERVER | get("/slow"), unready("no answer within 1 s")),
    "http-plain": Case(
        "HTTPS asked of a server without TLS is failure", SERVER | get("/ok", scheme="HTTPS"), unready("readiness probe failed")
    ),
    # --- tcpSocket, grpc
    "tcp-open": Case("a port that can be connected to is success", SERVER | readiness({"tcpSocket": {"port": 8080}}), is_ready),
    "tcp-named": Case("also by name", SERVER | readiness({"tcpSocket": {"port": "web"}}), is_ready),
    "tcp-closed": Case(
        "one that cannot be is failure",
        readiness({"tcpSocket": {"port": 9}}, failureThreshold=1),
        unready("dial tcp 127.0.0.1:9: Connection refused"),
    ),
    "grpc-none": Case(
        "a server that does not speak gRPC is failure", SERVER | readiness({"grpc": {"port": 8080}}), unready("gRPC")
    ),
    # --- thresholds and times
    "success-threshold": Case(
        "successThreshold: so many successes in a row make it ready",
        readiness(command("sh", "-c", "echo >>/tmp/n; [ $(wc -l </tmp/n) -ge 2 ]"), successThreshold=3),
        is_ready,
    ),
    "failure-threshold": Case(
        "failureThreshold: fewer failures in a row restart nothing",
        readiness(command("sh", "-c", "[ $(wc -l </tmp/n) -ge 4 ]"))
        | {"livenessProbe": command("sh", "-c", "echo >>/tmp/n; [ $(wc -l </tmp/n) -ge 3 ]") | QUICK | {"failureThreshold": 3}},
        is_ready,
    ),
    "initial-delay": Case(
        "initialDelaySeconds: no probe before that",
        {"livenessProbe": NO | QUICK | {"initialDelaySeconds": 3600}} | readiness(YES, initialDelaySeconds=1),
        is_ready,
    ),
    # --- liveness
    "liveness-no": Case(
        "a failed liveness probe restarts the container, which is told by Events",
        FOREVER | {"livenessProbe": NO | QUICK},
        restarted(1, exitCode=0),
        events=(
            "Unhealthy: container main: liveness probe failed",
            "Killing: Stopping container main: its liveness probe failed",
        ),
    ),
    "liveness-on-failure": Case(
        "under OnFailure it is restarted too, whatever its exit code then is",
        FOREVER | {"livenessProbe": NO | QUICK},
        restarted(1, exitCode=0),
        {"restartPolicy": "OnFailure"},
    ),
    "liveness-never": Case(
        "under Never it is stopped, and stays so",
        {"livenessProbe": NO | QUICK},
        ended("Failed", exitCode=137),
        {"restartPolicy": "Never"},
    ),
    "liveness-grace": Case(
        "terminationGracePeriodSeconds of the probe is in place of the instance's own (API reference, Probe)",
        {"livenessProbe": NO | QUICK | {"terminationGracePeriodSeconds": 1}},
        restarted(1, exitCode=137),
        {"terminationGracePeriodSeconds": 3600},
    ),
    # --- startup
    "startup-first": Case(
        "no other probe is made before the startup probe has succeeded",
        shell("sleep 2; touch /tmp/up; exec sleep 1000000")
        | {
            "startupProbe": command("cat", "/tmp/up") | QUICK | {"failureThreshold": 30},
            "livenessProbe": command("cat", "/tmp/up") | QUICK,
        }
        | readiness(command("cat", "/tmp/up")),
        is_ready,
    ),
    "startup-no": Case(
        "a startup probe that fails failureThreshold times restarts the container",
        FOREVER | {"startupProbe": NO | QUICK | {"failureThreshold": 2}},
        restarted(1),
        events=(
            "Unhealthy: container main: startup probe failed",
            "Killing: Stopping container main: its startup probe failed",
        ),
    ),
    "startup-waits": Case(
        "until it succeeds, the container is neither started nor ready",
        {"startupProbe": NO | {"failureThreshold": 1000}},
        lambda o: unready("startup probe has not succeeded yet")(o) and not main(o)["started"],
    ),
}


@pytest.fixture(scope="module")
def settled(world: World) -> Iterator[World]:
    """Every case at once."""
    world.apply(CASES)
    yield world
    patient = "liveness-grace"  # whose hour of grace its deletion would wait for
    world.apply({patient: replace(CASES[patient], spec={})})


@pytest.mark.parametrize("name", CASES)
def test_case(settled: World, name: str) -> None:
    """The manifest leads to the state of the world."""
    settled.holds(name, CASES[name])


def test_on_the_nodes_network_the_nodes_address_is_asked(settled: World) -> None:
    """An instance on the node's network has the node's IP, which is probed: HTTPS with a certificate nobody knows, and gRPC.

    kubernetes.io: with scheme HTTPS the certificate is not verified. github.com/grpc/grpc, doc/health-checking.md.
    """
    with settled.servers() as servers:
        handlers: dict[str, tuple[dict[str, Any], Check]] = {
            "https": ({"httpGet": {"port": servers.https, "scheme": "HTTPS"}}, is_ready),
            "grpc": ({"grpc": {"port": servers.grpc}}, is_ready),
            "grpc-service": ({"grpc": {"port": servers.grpc, "service": "sick"}}, unready('(responded with "NOT_SERVING")')),
            "grpc-unknown": ({"grpc": {"port": servers.grpc, "service": "nobody"}}, unready("without a status")),
            "by-host": ({"tcpSocket": {"port": servers.https, "host": "127.0.0.1"}}, is_ready),
        }
        on_node = {"hostNetwork": True}
        cases = {n: Case("", readiness(h, failureThreshold=1), then, on_node) for n, (h, then) in handlers.items()}
        cases["out"] = Case("host is connected to from the node", readiness(handlers["by-host"][0]), is_ready)
        settled.apply(cases)
        for name, case in cases.items():
            settled.holds(name, case)
        settled.delete(*cases)


def test_changes_of_probes_and_agents_restart_nothing(settled: World) -> None:
    """A changed probe is heeded by the container that runs; a new agent knows what has started and what was ready.

    As of a kubelet that is restarted: a container that has started does not start again, and one that was ready stays so until
    its probe says otherwise.
    """
    started = command("sh", "-c", "[ ! -e /tmp/up ] && touch /tmp/up")
    case = Case("", {"startupProbe": started | QUICK} | readiness(YES) | {"livenessProbe": YES | QUICK}, is_ready)
    settled.apply({"lasting": case})
    settled.holds("lasting", case)
    pid = settled.pid("lasting")
    settled.until_noted("lasting", "moorage.dev/readiness")

    settled.apply({"lasting": Case("", case.container | readiness(NO, failureThreshold=1), is_ready)})
    settled.until("lasting", unready("readiness probe failed"))
    settled.apply({"lasting": case})
    settled.until("lasting", is_ready)
    settled.until_noted("lasting", "moorage.dev/readiness")

    before = settled.until("lasting", is_ready)["metadata"]["resourceVersion"]
    settled.site.agent.kill()
    settled.site.agent.start()
    settled.site.api.until(f"{GROUP}/runtimenodes", lambda nodes: ready(nodes[settled.site.node]))
    settled.probed_anew()
    found = settled.until("lasting", is_ready)
    assert (settled.pid("lasting"), found["metadata"]["resourceVersion"]) == (pid, before)
