"""The frozen values that every decision of the manager is made from: what the API holds, as far as a decision needs it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from controller.api.amounts import NOTHING, Amounts, instance_requests
from controller.api.conditions import READY, STALLED, Condition, find
from controller.api.hostports import HostPort, host_ports_of
from controller.api.instance import InstanceStatus
from controller.api.labels import ORDINAL
from controller.api.meta import ObjectMeta
from controller.api.node import DISK_PRESSURE, RuntimeNode, Taint
from controller.api.reasons import OUT_OF, Reason
from controller.api.runtimeclass import RuntimeClass
from controller.api.spec import InstanceSpec
from controller.api.workload import ContainerWorkload, WorkloadSpec, WorkloadStatus

WORKLOAD_KIND = ContainerWorkload.KIND


class Key(NamedTuple):
    """A namespaced name."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Workload:
    """A ContainerWorkload."""

    key: Key
    uid: str
    generation: int
    created: float
    deleting: bool
    spec: WorkloadSpec
    status: WorkloadStatus
    told: Mapping[str, Any]
    """The status as the API server has it, fields that were never written being absent."""
    spec_hash: str
    """Hash of `spec.template.spec`: an instance with another one is outdated."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A ContainerInstance."""

    key: Key
    uid: str
    owner: str | None
    """uid of the controlling owner; None for one made by hand."""
    owner_key: Key | None
    """Name of that owner, when it is a ContainerWorkload."""
    node: str
    generation: int
    created: float
    deleting: bool
    finalizers: tuple[str, ...]
    suspend: bool
    spec_hash: str
    ordinal: int | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    observed_generation: int
    phase: str
    restarts: int
    started: float
    """When the youngest of its running containers was started; 0 when none runs."""
    ready: Condition | None
    stalled: Condition | None
    host_ports: tuple[HostPort, ...] = ()
    """Ports of its node that lead to it."""
    asked: Amounts = NOTHING
    """What its containers ask the node for."""
    runtime_class: str | None = None
    """Its RuntimeClass, whose overhead comes to that."""
    pulled: tuple[int, int] | None = None
    """Bytes that are there, and all bytes, of the image that it waits for; None when it waits for none."""

    @property
    def has_place(self) -> bool:
        """Whether it takes anything of its node: no more when it ran to its end, nor when it never fits there."""
        never = self.stalled is not None and self.stalled.reason in OUT_OF.values()
        return not never and self.phase not in {"Succeeded", "Failed"}

    @property
    def requested(self) -> Amounts:
        """What the node has to have for its containers."""
        return self.asked if self.has_place else NOTHING

    @property
    def settled(self) -> bool:
        """Whether its agent speaks of its present spec, be that settled or still in progress.

        The condition says which generation it is about; `status.observedGeneration` only moves when one is settled.
        """
        told = self.ready.observed_generation if self.ready is not None else None
        return (self.observed_generation if told is None else told) == self.generation

    @property
    def succeeded(self) -> bool:
        """Whether it ran to its end with success."""
        return self.settled and self.phase == "Succeeded"

    @property
    def failed(self) -> bool:
        """Whether it ran to its end, or was stopped for good, and not with success."""
        return self.settled and self.phase == "Failed"

    @property
    def evicted(self) -> bool:
        """Whether its agent has stopped it for good because a volume of it has outgrown its limit."""
        return self.settled and self.stalled is not None and self.stalled.reason == Reason.EVICTED

    @property
    def ready_since(self) -> float:
        """Since when it is ready, if it is: an update in place may be so quick that Ready never leaves True."""
        return max(seconds(self.ready.last_transition_time) if self.ready else self.created, self.started)

    @property
    def is_ready(self) -> bool:
        """Whether its agent says, of its present spec, that it is ready (or has done its work)."""
        if self.succeeded:
            return True
        ready = self.ready
        if ready is None or ready.status != "True":
            return False
        return self.settled


@dataclass(frozen=True, slots=True)
class Node:
    """A RuntimeNode and its heartbeat."""

    name: str
    labels: Mapping[str, str]
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    capacity: int = 0
    """Most instances that its agent takes; 0 while it has not said."""
    allocatable: Amounts | None = None
    """What it has for instances; None while its agent has not said."""
    reported: Condition | None = None
    """Its Ready condition, as its agent wrote it."""
    pressed: bool = False
    """Whether its agent says that its disk has too little room for new work."""
    alive: bool = True
    """Whether its heartbeat is fresh."""
    lost_at: float | None = None
    """Time of the last heartbeat, once it is certain that it stopped; None before."""
    uid: str = ""
    """Of its RuntimeNode."""

    @property
    def ready(self) -> bool:
        """Whether it can be given work: its heartbeat is fresh, and its agent does not say that it is not ready."""
        return self.alive and (self.reported is None or self.reported.status != "False")


@dataclass(frozen=True, slots=True)
class Fleet:
    """All nodes, and how many instances of whatever workload each has."""

    nodes: Mapping[str, Node]
    load: Mapping[str, int]
    absent: Mapping[str, float] = field(default_factory=dict)
    """Names of nodes that have instances and no RuntimeNode, and since when that has been seen."""
    ports: Mapping[str, Iterable[HostPort]] = field(default_factory=dict)
    """Ports that lead to instances, by node."""
    classes: Mapping[str, RuntimeClass] = field(default_factory=dict)
    """The cluster's RuntimeClasses, by name."""
    requested: Mapping[str, Amounts] = field(default_factory=dict)
    """What the instances of a node ask for together."""

    def is_ready(self, name: str) -> bool:
        """Whether there is such a node and it is ready."""
        node = self.nodes.get(name)
        return node is not None and node.ready


def seconds(text: str | None) -> float:
    """Seconds since the epoch of a `metav1.Time`; 0 when there is none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def compact(spec: InstanceSpec) -> dict[str, Any]:
    """The wire form without what is at its default, which the API server adds by itself."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def digest(value: Any) -> str:
    """16 hex digits over a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def read_spec(spec: Mapping[str, Any]) -> tuple[str, Amounts]:
    """Hash of an instance spec as stored, and what it asks for.

    The hash of one that does not fit the models is empty (so that it is brought up to date). Fields at their default do not
    count, so a release that knows more fields sees no change in what was written before.
    """
    try:
        model = InstanceSpec.model_validate(spec)
    except ValidationError:
        return "", NOTHING
    return digest(compact(model)), instance_requests(model)


def parse_workload(obj: Mapping[str, Any]) -> Workload:
    """A workload from its API object. Raises `pydantic.ValidationError`."""
    model = ContainerWorkload.model_validate(obj)
    meta = model.metadata
    return Workload(
        key=Key(meta.namespace, meta.name),
        uid=meta.uid,
        generation=meta.generation,
        created=seconds(meta.creation_timestamp),
        deleting=meta.deletion_timestamp is not None,
        spec=model.spec,
        status=model.status,
        told=obj.get("status") or {},
        spec_hash=digest(compact(model.spec.template.spec)),
    )


def parse_instance(obj: Mapping[str, Any], before: Instance | None = None) -> Instance:
    """An instance from its API object; `before` spares hashing a spec that did not change. Raises `ValidationError`."""
    meta = ObjectMeta.model_validate(obj["metadata"])
    status = InstanceStatus.model_validate(obj.get("status") or {})
    owner = next((o for o in meta.owner_references if o.controller), None)
    spec = obj["spec"]
    unchanged = before is not None and before.uid == meta.uid and before.generation == meta.generation
    read = (before.spec_hash, before.asked) if before is not None and unchanged else read_spec(spec)
    ordinal = meta.labels.get(ORDINAL, "")
    return Instance(
        key=Key(meta.namespace, meta.name),
        uid=meta.uid,
        owner=owner.uid if owner else None,
        owner_key=Key(meta.namespace, owner.name) if owner and owner.kind == WORKLOAD_KIND else None,
        node=str(spec.get("nodeName", "")),
        generation=meta.generation,
        created=seconds(meta.creation_timestamp),
        deleting=meta.deletion_timestamp is not None,
        finalizers=meta.finalizers,
        suspend=bool(spec.get("suspend", False)),
        spec_hash=read[0],
        ordinal=int(ordinal) if ordinal.isdecimal() else None,
        labels=meta.labels,
        annotations=meta.annotations,
        observed_generation=status.observed_generation,
        phase=status.phase,
        restarts=status.restarts,
        started=max((seconds(c.state.running.started_at) for c in status.containers if c.state.running), default=0.0),
        ready=find(status.conditions, READY),
        stalled=next((c for c in status.conditions if c.type == STALLED and c.status == "True"), None),
        host_ports=before.host_ports if before is not None and unchanged else host_ports_of(spec),
        asked=read[1],
        runtime_class=spec.get("runtimeClassName"),
        pulled=(status.pull.bytes_done, status.pull.bytes_total) if status.pull is not None else None,
    )


def parse_node(obj: Mapping[str, Any]) -> Node:
    """A node from its API object, its heartbeat not yet known. Raises `pydantic.ValidationError`."""
    model = RuntimeNode.model_validate(obj)
    return Node(
        name=model.metadata.name,
        labels=model.metadata.labels,
        unschedulable=model.spec.unschedulable,
        taints=model.spec.taints,
        capacity=model.status.capacity.instances,
        allocatable=model.status.allocatable.amounts() if model.status.allocatable is not None else None,
        reported=find(model.status.conditions, READY),
        pressed=any(c.type == DISK_PRESSURE and c.status == "True" for c in model.status.conditions),
        uid=model.metadata.uid,
    )
