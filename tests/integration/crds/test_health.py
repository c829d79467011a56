"""Probes, lifecycles and last words of containers: what is taken and what is refused."""

import pytest

from tests.integration.crds.cases import CONTAINER, TEMPLATE, Case, check_refused, take, within, workload
from tools.lab import ControlPlane

EXEC = {"exec": {"command": ["true"]}}

OF_A_CONTAINER: dict[str, Case] = {
    "a probe that asks for nothing": (
        {"livenessProbe": {}},
        ".livenessProbe",
        "exactly one of exec, httpGet, tcpSocket and grpc",
    ),
    "a probe that asks twice": (
        {"readinessProbe": EXEC | {"tcpSocket": {"port": 80}}},
        ".readinessProbe",
        "exactly one of exec, httpGet, tcpSocket and grpc",
    ),
    "an empty command": ({"livenessProbe": {"exec": {"command": []}}}, ".livenessProbe.exec.command", "at least 1"),
    "a liveness probe that has to succeed twice": (
        {"livenessProbe": EXEC | {"successThreshold": 2}},
        ".livenessProbe.successThreshold",
        "must be 1",
    ),
    "a startup probe that has to succeed twice": (
        {"startupProbe": EXEC | {"successThreshold": 2}},
        ".startupProbe.successThreshold",
        "must be 1",
    ),
    "a readiness probe with a grace period": (
        {"readinessProbe": EXEC | {"terminationGracePeriodSeconds": 5}},
        ".readinessProbe.terminationGracePeriodSeconds",
        "must not be set",
    ),
    "a grace period of nothing": (
        {"livenessProbe": EXEC | {"terminationGracePeriodSeconds": 0}},
        ".livenessProbe.terminationGracePeriodSeconds",
        "greater than or equal to 1",
    ),
    "no timeout": (
        {"livenessProbe": EXEC | {"timeoutSeconds": 0}},
        ".livenessProbe.timeoutSeconds",
        "greater than or equal to 1",
    ),
    "a probe of port 0": (
        {"livenessProbe": {"httpGet": {"port": 0}}},
        ".livenessProbe.httpGet.port",
        "greater than or equal to 1",
    ),
    "a number as a name": ({"livenessProbe": {"tcpSocket": {"port": "80"}}}, ".livenessProbe.tcpSocket.port", "should match"),
    "a scheme that is none": (
        {"livenessProbe": {"httpGet": {"port": 80, "scheme": "http"}}},
        ".livenessProbe.httpGet.scheme",
        "Unsupported value",
    ),
    "a header that breaks the line": (
        {"livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "A", "value": "b\r\nC: d"}]}}},
        ".livenessProbe.httpGet.httpHeaders[0].value",
        "should match",
    ),
    "a path that breaks the line": (
        {"livenessProbe": {"httpGet": {"port": 80, "path": "/ HTTP/1.1"}}},
        ".livenessProbe.httpGet.path",
        "should match",
    ),
    "a handler by tcpSocket": (
        {"lifecycle": {"preStop": {"tcpSocket": {"port": 80}}}},
        ".lifecycle.preStop.tcpSocket",
        "unknown field",
    ),
    "a handler that does nothing": (
        {"lifecycle": {"postStart": {}}},
        ".lifecycle.postStart",
        "exactly one of exec, httpGet and sleep",
    ),
    "a signal without SIG": ({"lifecycle": {"stopSignal": "TERM"}}, ".lifecycle.stopSignal", "should match"),
    "a signal that is none": ({"lifecycle": {"stopSignal": "SIGRTMIN+16"}}, ".lifecycle.stopSignal", "should match"),
    "a relative file for last words": ({"terminationMessagePath": "log"}, ".terminationMessagePath", "should match"),
}

BAD = within(CONTAINER, OF_A_CONTAINER) | within(
    TEMPLATE,
    {
        "a sleep that is longer than the grace period": (
            {"containers.0.lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
            ".containers",
            "preStop.sleep must not be longer than terminationGracePeriodSeconds",
        ),
    },
)


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_refused(plane: ControlPlane, sentence: str) -> None:
    """At apply, with the path of the field and what is wrong with it."""
    check_refused(plane, BAD[sentence])


GOOD = {
    "every field of probes and of a lifecycle": workload(
        **{
            f"{CONTAINER}.startupProbe": EXEC | {"failureThreshold": 30, "terminationGracePeriodSeconds": 5},
            f"{CONTAINER}.readinessProbe": {
                "httpGet": {
                    "port": "web",
                    "path": "/a?b=c",
                    "scheme": "HTTPS",
                    "httpHeaders": [{"name": "Host", "value": "x"}],
                },
                "initialDelaySeconds": 0,
                "periodSeconds": 1,
                "timeoutSeconds": 5,
                "successThreshold": 3,
            },
            f"{CONTAINER}.livenessProbe": {"grpc": {"port": 65535, "service": "a"}},
            f"{CONTAINER}.lifecycle": {
                "postStart": {"httpGet": {"port": 80}},
                "preStop": {"sleep": {"seconds": 30}},
                "stopSignal": "SIGRTMAX-14",
            },
            f"{CONTAINER}.terminationMessagePath": "/tmp/end",
            f"{CONTAINER}.terminationMessagePolicy": "FallbackToLogsOnError",
        }
    ),
}


@pytest.mark.parametrize("sentence", GOOD)
def test_good_input_is_taken(plane: ControlPlane, sentence: str) -> None:
    """With strict field validation, as kubectl asks for it."""
    take(plane, GOOD[sentence])
