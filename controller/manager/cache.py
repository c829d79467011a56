"""What the API holds, in memory: parsed, indexed, and never older than what this manager has itself been told.

Fed by the informer and by the answers to the manager's own writes. Of two versions of an object the one with the higher
resourceVersion stays (comparable as numbers since KEP-5504), so an event that was already under way when a write was answered
does not take the answer back: the next decision never repeats what the last one did.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from controller.api.amounts import NOTHING, Amounts
from controller.api.hostports import HostPort
from controller.api.runtimeclass import RuntimeClass
from controller.manager import metrics
from controller.manager.decide.heartbeats import SILENCE_SECONDS, Heartbeats
from controller.manager.decide.runtimeclass import overhead
from controller.manager.decide.values import Fleet, Instance, Key, Node, Workload, parse_instance, parse_node, parse_workload

Object = Mapping[str, Any]

TOMBSTONES: Final = 10_000
"""Uids of deleted objects that are remembered, so that a late answer does not bring one back."""


def version(obj: Object) -> int:
    """The resourceVersion of an object as a number; 0 when it has none."""
    text = str(obj["metadata"].get("resourceVersion") or "")
    return int(text) if text.isdecimal() else 0


class Versions:
    """Which version of which uid is known, and which uids are gone."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def accept(self, obj: Object) -> bool:
        """Whether this is news of an object that is not gone."""
        uid, new = obj["metadata"]["uid"], version(obj)
        if uid in self._gone or (new and new <= self._known.get(uid, -1)):
            return False
        self._known[uid] = new
        return True

    def drop(self, uid: str) -> None:
        """It is gone."""
        self._known.pop(uid, None)
        self._gone[uid] = None
        while len(self._gone) > TOMBSTONES:
            self._gone.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Places:
    """Where instances of one workload are about to be created."""

    nodes: tuple[str, ...]
    ports: tuple[HostPort, ...]
    """Host ports that each of them takes."""
    asked: Amounts = NOTHING
    """What each of them asks for."""


class Cache:
    """Workloads, instances and nodes."""

    def __init__(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        self.workloads: dict[Key, Workload] = {}
        self.instances: dict[Key, Instance] = {}
        self.nodes: dict[str, Node] = {}
        self.classes: dict[str, RuntimeClass] = {}
        """The cluster's RuntimeClasses."""
        self.heartbeats = Heartbeats(silence_seconds)
        self.room_made: Callable[[Key | None], None] = lambda _: None
        """Called when an instance, a host port or a request of a node has gone, or might: who waits for room is to look again.
        The key is that of a workload that knows already."""
        self._awaited: dict[str, float] = {}
        self._versions = Versions()
        self._owned: dict[str, dict[Key, Instance]] = {}
        self._by_node: dict[str, dict[Key, Instance]] = {}
        self._ports: dict[str, dict[Key, tuple[HostPort, ...]]] = {}
        """By node, of the instances that have any."""
        self._requested: dict[str, Amounts] = {}
        """By node, the sum over its instances."""
        self._classed: dict[Key, Instance] = {}
        """Instances that have a RuntimeClass."""
        self._reserved: list[Places] = []
        self._absent: dict[str, float] = {}

    # --- workloads

    def put_workload(self, obj: Object) -> bool:
        """Take in a workload; False when it is not news. Raises `pydantic.ValidationError`."""
        if not self._versions.accept(obj):
            return False
        workload = parse_workload(obj)
        self.workloads[workload.key] = workload
        return True

    def drop_workload(self, key: Key, uid: str) -> None:
        """A workload is gone."""
        self._versions.drop(uid)
        known = self.workloads.get(key)
        if known is not None and known.uid == uid:
            del self.workloads[key]

    # --- instances

    def put_instance(self, obj: Object) -> Instance | None:
        """Take in an instance; None when it is not news. Raises `pydantic.ValidationError`."""
        if not self._versions.accept(obj):
            return None
        meta = obj["metadata"]
        before = self.instances.get(Key(meta["namespace"], meta["name"]))
        instance = parse_instance(obj, before)
        if before is not None:
            self._unindex(before)
        self._index(instance)
        if before is not None and (
            not set(before.host_ports) <= set(instance.host_ports)
            or before.requested.beyond(instance.requested)
            or (before.runtime_class, before.has_place) != (instance.runtime_class, instance.has_place)
        ):
            self.room_made(None)
        if instance.is_ready and instance.uid in self._awaited:
            metrics.READY_SECONDS.observe(time.monotonic() - self._awaited.pop(instance.uid))
        return instance

    def created(self, obj: Object, began: float) -> None:
        """Take in an instance that this manager has made, and measure how long it takes to be Ready.

        Args:
            obj: the API server's answer; the watch may have been faster, and brought something newer.
            began: when its creation began (monotonic).
        """
        self._awaited[obj["metadata"]["uid"]] = began
        if self.put_instance(obj) is None:
            known = self.instances.get(Key(obj["metadata"]["namespace"], obj["metadata"]["name"]))
            if known is None or known.is_ready:
                del self._awaited[obj["metadata"]["uid"]]

    def drop_instance(self, key: Key, uid: str) -> Instance | None:
        """An instance is gone; what was known of it, if anything was."""
        self._versions.drop(uid)
        self._awaited.pop(uid, None)
        known = self.instances.get(key)
        if known is None or known.uid != uid:
            return None
        self._unindex(known)
        self.room_made(None)
        return known

    def mark_deleting(self, instance: Instance) -> None:
        """Its deletion was accepted; the event that says so is under way."""
        known = self.instances.get(instance.key)
        if known is not None and known.uid == instance.uid and not known.deleting:
            self._unindex(known)
            self._index(replace(known, deleting=True))

    def owned_by(self, uid: str) -> list[Instance]:
        """The instances with that controlling owner."""
        return list(self._owned.get(uid, {}).values())

    def on_node(self, node: str) -> list[Instance]:
        """The instances of a node, whoever made them."""
        return list(self._by_node.get(node, {}).values())

    def taken(self, workload: Workload) -> "Taken":
        """The names in the workload's namespace that belong to somebody else."""
        return Taken(self, workload)

    # --- runtime classes

    def put_class(self, obj: Object) -> bool:
        """Take in a RuntimeClass; False when it is not news. Raises `pydantic.ValidationError`."""
        if not self._versions.accept(obj):
            return False
        found = RuntimeClass.model_validate(obj)
        self.classes[found.metadata.name] = found
        self.room_made(None)  # its overhead may have shrunk
        return True

    def drop_class(self, name: str, uid: str) -> None:
        """A RuntimeClass is gone."""
        self._versions.drop(uid)
        known = self.classes.get(name)
        if known is not None and known.metadata.uid == uid:
            del self.classes[name]
            self.room_made(None)

    # --- nodes

    def put_node(self, obj: Object, now: float) -> bool:
        """Take in a node; False when nothing of it changed that matters here. Raises `pydantic.ValidationError`."""
        if not self._versions.accept(obj):
            return False
        node = parse_node(obj)
        self._absent.pop(node.name, None)
        self.heartbeats.expect(node.name, now)
        if self.nodes.get(node.name) == node:
            return False
        self.nodes[node.name] = node
        return True

    def drop_node(self, name: str, uid: str) -> None:
        """A node is gone. Its Lease may outlive it, and is judged anew when it comes back."""
        self._versions.drop(uid)
        self.nodes.pop(name, None)
        self.heartbeats.forget(name)

    def reserve(self, places: Places) -> None:
        """Count instances that are about to be created, so that concurrent decisions see them."""
        self._reserved.append(places)

    def release(self, places: Places, workload: Key) -> None:
        """Those of that workload are created, or have failed."""
        self._reserved.remove(places)
        if places.nodes and (places.ports or places.asked != NOTHING):
            self.room_made(workload)

    def fleet(self, mono: float, now: float) -> Fleet:
        """All nodes at this moment: `mono` by the clock of the heartbeats, `now` in seconds since the epoch."""
        nodes = self.judged(mono, now)
        load = Counter({name: len(there) for name, there in self._by_node.items()})
        ports = {name: [port for held in there.values() for port in held] for name, there in self._ports.items()}
        requested = dict(self._requested)
        for instance in self._classed.values():
            costs = overhead(instance.runtime_class, self.classes) if instance.has_place else NOTHING
            if costs != NOTHING:
                requested[instance.node] = requested.get(instance.node, NOTHING) + costs
        for places in self._reserved:
            load.update(places.nodes)
            for name in places.nodes if places.asked != NOTHING else ():
                requested[name] = requested.get(name, NOTHING) + places.asked
            for name in places.nodes if places.ports else ():
                ports.setdefault(name, []).extend(places.ports)
        return Fleet(nodes, load, self._absences(mono, now), ports, self.classes, requested)

    def judged(self, mono: float, now: float) -> dict[str, Node]:
        """All nodes with their heartbeats at this moment: the clocks are those of `fleet`."""
        return {name: self._judged(node, mono, now) for name, node in self.nodes.items()}

    def _judged(self, node: Node, mono: float, now: float) -> Node:
        silent = self.heartbeats.silent_for(node.name, mono)
        alive = self.heartbeats.alive(node.name, mono)
        return replace(node, alive=alive, lost_at=None if silent is None else now - silent)

    def _absences(self, mono: float, now: float) -> dict[str, float]:
        missing = self._by_node.keys() - self.nodes.keys()
        for name in self._absent.keys() - missing:
            del self._absent[name]
        for name in missing:
            self._absent.setdefault(name, mono)
        return {name: now - (mono - since) for name, since in self._absent.items()}

    def _index(self, instance: Instance) -> None:
        self.instances[instance.key] = instance
        self._by_node.setdefault(instance.node, {})[instance.key] = instance
        if instance.owner:
            self._owned.setdefault(instance.owner, {})[instance.key] = instance
        if instance.host_ports:
            self._ports.setdefault(instance.node, {})[instance.key] = instance.host_ports
        if instance.runtime_class is not None:
            self._classed[instance.key] = instance
        if instance.requested != NOTHING:
            self._requested[instance.node] = self._requested.get(instance.node, NOTHING) + instance.requested

    def _unindex(self, instance: Instance) -> None:
        del self.instances[instance.key]
        self._classed.pop(instance.key, None)
        if instance.requested != NOTHING:
            left = self._requested.pop(instance.node) - instance.requested
            if left != NOTHING:
                self._requested[instance.node] = left
        indexes: tuple[tuple[dict[str, dict[Key, Any]], str], ...] = (
            (self._by_node, instance.node),
            (self._owned, instance.owner or ""),
            (self._ports, instance.node),
        )
        for index, name in indexes:
            there = index.get(name)
            if there is not None:
                there.pop(instance.key, None)
                if not there:
                    del index[name]


class Taken:
    """Names that belong to somebody else, looked up in the cache when asked."""

    def __init__(self, cache: Cache, workload: Workload) -> None:
        self._cache, self._workload = cache, workload

    def __contains__(self, name: object) -> bool:
        found = self._cache.instances.get(Key(self._workload.key.namespace, str(name)))
        return found is not None and found.owner != self._workload.uid
