"""Give specs to both sides, wait until they are settled, look at their processes, and delete them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.diffkubelet import compare, look, status, texts
from tools.diffkubelet.differences import DIFFERENCES
from tools.diffkubelet.room import Room
from tools.diffkubelet.specs import NAMESPACE, Spec
from tools.lab.caller import Answer
from tools.progress import ToolError

Object = dict[str, Any]

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
INSTANCES = f"/apis/moorage.dev/v1alpha1/namespaces/{NAMESPACE}/containerinstances"
RUNTIME = {PODS: "k8s.io", INSTANCES: "moorage"}

AT_ONCE = 12
"""Specs that run at the same time, on either side."""
SETTLED_SECONDS = 60.0
GONE_SECONDS = 60.0
POLL_SECONDS = 0.3
"""Between two looks at both collections: two lists of some dozen objects."""

_UNKNOWN = re.compile(r'unknown field "([^"]+)"')


@dataclass(frozen=True)
class Result:
    """What came of one spec."""

    spec: Spec
    verdict: compare.Verdict
    pod: Mapping[str, Any]
    """The kubelet's report."""
    instance: Mapping[str, Any]
    """Moorage's."""


def run(room: Room, specs: Sequence[Spec]) -> Iterator[Result]:
    """Run specs, some at the same time; results in their order.

    Raises:
        ToolError: when a component ends, or something cannot be removed.
    """
    for some in _batches(specs, AT_ONCE):
        room.check()
        try:
            yield from _compared(room, some)
        finally:
            _delete(room)


def _batches(specs: Sequence[Spec], size: int) -> Iterator[Sequence[Spec]]:
    return (specs[start : start + size] for start in range(0, len(specs), size))


def _compared(room: Room, specs: Sequence[Spec]) -> Iterator[Result]:
    pods = {spec.name: room.call("POST", PODS, spec.pod(room.node.name)) for spec in specs}
    instances = {spec.name: room.call("POST", INSTANCES, spec.instance(room.node.name)) for spec in specs}
    wanted = [spec for spec in specs if not absent_fields(instances[spec.name])]
    found = _settled(room, {spec.name: spec.until for spec in wanted})
    for spec in specs:
        if absent := absent_fields(instances[spec.name]):
            yield Result(spec, compare.Verdict({}, (), tuple(absent)), {}, {})
            continue
        pod = _report(room, spec, PODS, pods[spec.name], found)
        instance = _report(room, spec, INSTANCES, instances[spec.name], found)
        yield Result(spec, compare.judge(pod, instance, DIFFERENCES, spec.name), pod, instance)


def absent_fields(answer: Answer) -> list[str]:
    """Fields of which the API server says that the schema does not know them."""
    return sorted(set(_UNKNOWN.findall(answer.message))) if answer.refused else []


def _settled(room: Room, wanted: Mapping[str, str]) -> dict[str, dict[str, Object]]:
    """Both collections by name, once everything in them is settled, or when time is up: then what is not says so itself."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        found = {path: _objects(room, path) for path in RUNTIME}
        objects = (pair for path in found for pair in found[path].items() if pair[0] in wanted)
        if all(status.settled(obj, wanted[name]) for name, obj in objects) or time.monotonic() > deadline:
            return found
        room.check()
        time.sleep(POLL_SECONDS)


def _objects(room: Room, path: str) -> dict[str, Object]:
    answer = room.call("GET", path)
    if answer.refused:
        raise ToolError(f"GET {path}: {answer.message}")
    return {found["metadata"]["name"]: found for found in answer.body["items"]}


def _report(room: Room, spec: Spec, path: str, answer: Answer, found: Mapping[str, Mapping[str, Object]]) -> dict[str, Any]:
    """What one side made of a spec."""
    if answer.refused:
        return {"refused": answer.message}
    obj = found[path].get(spec.name)
    if obj is None:
        return {"gone": True}
    report: dict[str, Any] = {"settled": status.settled(obj, spec.until)}
    report |= status.outline(obj, spec.until, room.node.address)
    if {"ready", "running"} & set(spec.until.split(" or ")):
        running = room.pids(RUNTIME[path])
        ids = {name: key for name, key in status.container_ids(obj).items() if key in running}
        report["process"] = look.processes({name: running[key] for name, key in ids.items()}, room.network)
        report["filter"] = room.filters(RUNTIME[path], ids)
    own = {address: "<ip>" for address in status.addresses(obj) if address != room.node.address}
    own |= {obj["metadata"]["uid"]: "<uid>"}
    cleaned: dict[str, Any] = texts.generic(report, own)
    return cleaned


def _delete(room: Room) -> None:
    """Delete everything on both sides, and wait until it is gone."""
    for path in RUNTIME:
        room.call("DELETE", path)
    deadline = time.monotonic() + GONE_SECONDS
    while left := [f"{path}/{name}" for path in RUNTIME for name in _objects(room, path)]:
        if time.monotonic() > deadline:
            raise ToolError(f"not gone after {GONE_SECONDS:.0f} s: {', '.join(left)}")
        room.check()
        time.sleep(POLL_SECONDS)


def tally(results: Iterable[Result]) -> dict[str, int]:
    """How many specs came out equal, named, absent, DIFFERENT."""
    counts = dict.fromkeys(("equal", "named", "absent", "DIFFERENT"), 0)
    for result in results:
        counts[result.verdict.word] += 1
    return counts
