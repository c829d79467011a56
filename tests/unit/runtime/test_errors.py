"""Texts of containerd, shim, runc and registries become the port's errors."""

import grpc
import grpc.aio
import pytest

from controller.runtime import port
from controller.runtime.containerd.errors import config_failure, start_failure, translate

CODES = grpc.StatusCode
INIT = (
    "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
    "error during container init: "
)


def error(code: grpc.StatusCode, text: str) -> grpc.aio.AioRpcError:
    """An error as gRPC raises it."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=text)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (CODES.NOT_FOUND, 'container "x": not found', port.NotFound),
        (CODES.ALREADY_EXISTS, "exists", port.AlreadyExists),
        (CODES.FAILED_PRECONDITION, "no", port.Conflict),
        (CODES.INVALID_ARGUMENT, "bad", port.InvalidConfig),
        (CODES.UNAVAILABLE, "connection refused", port.Unavailable),
        (CODES.CANCELLED, "", port.Unavailable),
        (CODES.DEADLINE_EXCEEDED, "", port.DeadlineExceeded),
        (CODES.UNIMPLEMENTED, "unknown service", port.Unsupported),
        (CODES.UNKNOWN, "something", port.RuntimeFailure),
        (CODES.UNKNOWN, "failed to delete task: cannot delete a running process", port.Conflict),
        (CODES.UNKNOWN, "cannot delete a paused process", port.Conflict),
        (CODES.UNKNOWN, "cannot start a stopped process", port.Conflict),
        (CODES.UNKNOWN, "cannot pause a paused container", port.Conflict),
        (CODES.UNKNOWN, "cannot resume a running process", port.Conflict),
        (CODES.UNKNOWN, "cannot pause a stopped container", port.NotFound),
        (CODES.UNKNOWN, "cannot resume task in created state", port.NotFound),
        (CODES.UNKNOWN, "cannot exec in a stopped state", port.NotFound),
        (CODES.UNKNOWN, "cannot exec in a paused state", port.Conflict),
        (CODES.FAILED_PRECONDITION, "container x init process is not running", port.NotFound),
    ],
)
def test_a_status_becomes_one_class(code: grpc.StatusCode, text: str, kind: type[port.RuntimeFailure]) -> None:
    """Exactly that class; "absent" and "could not ask" are never confused."""
    failure = translate(error(code, text))
    assert type(failure) is kind
    assert str(failure)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (INIT + 'exec: "run": executable file not found in $PATH', "command 'run' not found in PATH"),
        (INIT + 'exec: "/run": stat /run: no such file or directory', "command '/run' not found"),
        (INIT + 'exec: "/run": permission denied', "permission denied: '/run' is not executable for this user"),
        (INIT + 'exec: "/etc": is a directory', "command '/etc' is a directory"),
        (INIT + "exec /run: exec format error", "command '/run' is not for this node's architecture"),
        (INIT + "mkdir /etc/passwd: not a directory", "working directory '/etc/passwd': not a directory"),
        (
            INIT + "error setting cgroup config for procHooks process: unable to set memory limit to 1048576 "
            "(current usage: 2813952, peak usage: 3026944)",
            "memory limit of 1048576 bytes is too low: 2813952 are in use before the command even runs",
        ),
        (
            "OCI runtime create failed: runc create failed: container init was OOM-killed (memory limit too low?)",
            "the memory limit is too low: the process was killed before it ran",
        ),
        (
            INIT + "failed to fulfil mount request: open /none: no such file or directory",
            "mount of '/none': no such file or directory",
        ),
        (
            INIT + 'error mounting "/etc" to rootfs at "/etc/passwd": mount src=/etc, dst=/etc/passwd, flags=MS_BIND: '
            "not a directory",
            "mount of '/etc' at '/etc/passwd': not a directory",
        ),
        (
            "OCI runtime create failed: runc create failed: invalid netns path: stat /run/netns/x: no such file or directory",
            "network namespace '/run/netns/x': no such file or directory",
        ),
        (INIT + "something quite new", "something quite new"),
        ("something without any wrapping", "something without any wrapping"),
    ],
)
def test_a_failed_start_names_its_cause(text: str, message: str) -> None:
    """Without the names of all the layers that it came through."""
    failure = start_failure(translate(error(CODES.UNKNOWN, text)))
    assert type(failure) is (port.CommandFailure if ": exec" in text else port.StartFailure)
    assert str(failure) == message


@pytest.mark.parametrize("kind", [port.Unavailable, port.DeadlineExceeded, port.NotFound, port.Conflict])
def test_what_says_nothing_of_the_process_stays(kind: type[port.RuntimeFailure]) -> None:
    """An agent must be able to tell "could not start" from "could not ask"."""
    failure = kind("x")
    assert start_failure(failure) is failure
    assert config_failure(failure) is failure


@pytest.mark.parametrize(
    "text",
    [
        "runc update failed: unable to set memory limit to 100 (current usage: 200, peak usage: 300)",
        "runc update failed: rejecting memory limit 100 <= usage 200",
    ],
    ids=["cgroup v1", "cgroup v2"],
)
def test_a_limit_below_what_is_used_is_a_conflict(text: str) -> None:
    """It may be had later."""
    failure = config_failure(port.RuntimeFailure(text))
    assert type(failure) is port.Conflict
    assert str(failure) == "a memory limit of 100 bytes is below what is in use: 200 bytes"


def test_a_refused_limit_is_a_wrong_configuration() -> None:
    """Unless what should be limited does not run."""
    assert type(config_failure(port.RuntimeFailure("runc update failed: invalid argument"))) is port.InvalidConfig
    assert type(config_failure(port.RuntimeFailure("container not running"))) is port.NotFound
