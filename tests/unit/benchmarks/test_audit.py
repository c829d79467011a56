"""Writes to the API server are counted right from its audit log."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.audit import AuditLog, count_writes, failed_writes, parse
from tools.progress import ToolError


def event(verb: str, resource: str, agent: str = "moorage", **more: Any) -> str:
    """A line of the log."""
    resource, _, subresource = resource.partition("/")
    about = {"resource": resource, "name": "x"} | ({"subresource": subresource} if subresource else {})
    code = more.pop("code", 200)
    return json.dumps(
        {"stage": "ResponseComplete", "verb": verb, "objectRef": about, "userAgent": agent, "responseStatus": {"code": code}}
        | more
    )


COUNTED = {
    "a creation by the manager": (event("create", "containerinstances"), True),
    "a status of the agent": (event("patch", "containerinstances/status"), True),
    "an event": (event("create", "events"), True),
    "a write that was refused": (event("create", "containerinstances", code=409), True),
    "a write by whatever library": (event("patch", "containerinstances", "python-requests/2"), True),
    "the user's own creation": (event("create", "containerworkloads", "kubectl/v1.36.3 (linux/amd64)"), False),
    "the garbage collector's deletion": (event("delete", "containerinstances", "kube-controller-manager/v1.36.3"), False),
    "a heartbeat": (event("patch", "leases"), False),
    "the node's status": (event("patch", "runtimenodes/status"), False),
    "a read": (event("list", "containerinstances"), False),
}


@pytest.mark.parametrize("name", COUNTED)
def test_only_writes_for_the_sake_of_instances_count(name: str) -> None:
    """Writes by manager and agent count, whatever came of them; heartbeats and other clients do not."""
    line, counts = COUNTED[name]
    request = parse(line)
    assert request is not None
    assert request.write is counts


def test_a_request_is_counted_once() -> None:
    """A watch is logged at its beginning and at its end; only the end of a request is taken."""
    assert parse(event("watch", "containerinstances", stage="ResponseStarted")) is None


def test_only_what_was_added_is_read(tmp_path: Path) -> None:
    """What stands in the log already, and a line that is not finished yet, are left out."""
    path = tmp_path / "audit.log"
    path.write_text(event("create", "events") + "\n")
    log = AuditLog(path)
    finished, unfinished = event("create", "containerinstances"), event("patch", "containerinstances/status", code=409)
    with path.open("a") as file:
        file.write(finished + "\n" + unfinished[:20])
    assert [request.resource for request in log.read()] == ["containerinstances"]
    with path.open("a") as file:
        file.write(unfinished[20:] + "\n")
    assert [request.resource for request in log.read()] == ["containerinstances/status"]
    assert count_writes(log.requests) == {("create", "containerinstances"): 1, ("patch", "containerinstances/status"): 1}
    assert failed_writes(log.requests) == {("patch", "containerinstances/status", 409): 1}


def test_quiet_means_that_nothing_is_written(tmp_path: Path) -> None:
    """Waiting for quiet ends once nothing is written, and with an error while something else keeps it busy."""
    path = tmp_path / "audit.log"
    path.touch()
    log = AuditLog(path)
    log.wait_quiet(0.1, most=10)
    with pytest.raises(ToolError, match="still being written to"):
        log.wait_quiet(0.1, most=0.2, busy=lambda: True)
