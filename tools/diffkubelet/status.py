"""The status of a Pod and of a ContainerInstance in one shape, and when it is settled enough to be compared. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]

UNTIL = ("ready", "running", "ended", "restarted")
"""When a spec is looked at.

ready: every container is ready, or has ended as it should. running: every container runs, ready or not. ended: all have ended
for good. restarted: some container was restarted. `waiting REASON`: some container waits for this reason. Of several, with `or`
between them, one has to hold.
"""

LISTS = (("initContainerStatuses", "initContainers"), ("containerStatuses", "containers"))
"""Where the status of containers is, of a Pod and of a ContainerInstance."""


def containers(obj: Object) -> dict[str, Object]:
    """Status of each container by name, of either kind; those that run once before the others come first."""
    status = obj.get("status") or {}
    return {found["name"]: found for names in LISTS for name in names for found in status.get(name) or ()}


def runs_once(obj: Object) -> set[str]:
    """Names of the containers that are to end before the others begin."""
    return {c["name"] for c in obj["spec"].get("initContainers") or () if c.get("restartPolicy") != "Always"}


def settled(obj: Object, until: str) -> bool:
    """Whether an object has come to where it is to be looked at."""
    return any(_settled(obj, one) for one in until.split(" or "))


def moments(until: str) -> list[str]:
    """The moments in it that there are not."""
    return [one for one in until.split(" or ") if one not in UNTIL and not one.startswith("waiting ")]


def _settled(obj: Object, until: str) -> bool:
    found, once = containers(obj), runs_once(obj)
    wanted = {c["name"] for key in ("initContainers", "containers") for c in obj["spec"].get(key) or ()}
    if until == "ended":
        return obj.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    if until == "restarted":
        return any(c.get("restartCount", 0) > 0 and (c.get("lastState") or {}).get("terminated") for c in found.values())
    if until.startswith("waiting "):
        reason = until.removeprefix("waiting ")
        return any((c.get("state") or {}).get("waiting", {}).get("reason") == reason for c in found.values())
    key = "ready" if until == "ready" else "running"
    return found.keys() >= wanted and all(name in once or _is(c, key) for name, c in found.items())


def _is(container: Object, key: str) -> bool:
    running = "running" in (container.get("state") or {})
    return running and (key == "running" or bool(container.get("ready")))


def container_ids(obj: Object) -> dict[str, str]:
    """Id in the runtime of each container that runs, by name."""
    found = {}
    for name, status in containers(obj).items():
        if "running" in (status.get("state") or {}):
            found[name] = str(status.get("containerID", "")).partition("://")[2]
    return found


def addresses(obj: Object) -> list[str]:
    """Addresses of a Pod or an instance."""
    status = obj.get("status") or {}
    given = status.get("ips") or [found["ip"] for found in status.get("podIPs") or ()]
    return [str(address) for address in given]


def outline(obj: Object, until: str, node_address: str) -> dict[str, Any]:
    """What is compared of a status."""
    status = obj.get("status") or {}
    ip = addresses(obj)[:1]
    return {
        "phase": status.get("phase", ""),
        "ip": "none" if not ip else "the node's" if ip == [node_address] else "its own",
        "status": {name: dict(_container(found, until)) for name, found in containers(obj).items()},
    }


def _container(status: Object, until: str) -> Iterator[tuple[str, Any]]:
    looping = "restarted" in until or "waiting " in until
    times = status.get("restartCount", 0)
    yield "restartCount", min(times, 1) if looping else times  # how often so far is a matter of pauses
    yield "lastState", dict(_state(status.get("lastState") or {}))
    if until != "restarted":  # it may just wait, or run again
        yield "state", dict(_state(status.get("state") or {}))
        yield "ready", bool(status.get("ready"))
        yield "started", bool(status.get("started"))


def _state(state: Object) -> Iterator[tuple[str, Any]]:
    if "running" in state:
        yield "is", "running"
    elif (waiting := state.get("waiting")) is not None:
        yield from (("is", "waiting"), ("reason", waiting.get("reason", "")))
    elif (end := state.get("terminated")) is not None:
        yield from (("is", "terminated"), ("reason", end.get("reason", "")), ("exitCode", end.get("exitCode")))
        yield from ((key, end[key]) for key in ("signal", "message") if end.get(key))
