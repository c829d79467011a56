"""The manager's metrics. Calls to the API server and watches are counted where they are made (kube/metrics.py)."""

import time
from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

from controller.api.conditions import READY as READY_TYPE
from controller.api.conditions import Condition, find
from controller.api.image import ImageNodes
from controller.api.reasons import Reason
from controller.telemetry.readings import Labels, Reading, number

if TYPE_CHECKING:
    from controller.manager.cache import Cache
    from controller.manager.decide.values import Key
    from controller.manager.images.room import ImageRoom
    from controller.manager.queue import WorkQueue

# --- the work

RECONCILES: Final = Counter("moorage_manager_reconciles_total", "Reconciles by what was reconciled.", ["kind"])
FAILURES: Final = Counter("moorage_manager_reconcile_failures_total", "Reconciles that failed and are repeated.", ["kind"])
WRITES: Final = Counter("moorage_manager_writes_total", "Writes to the API server that took effect.", ["what"])
SECONDS: Final = Histogram(
    "moorage_manager_reconcile_seconds",
    "Duration of a reconcile, its API calls included.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
WAITING: Final = Reading("moorage_manager_queue_depth", "Keys that wait for a reconcile.")
LONGEST_WAIT: Final = Reading("moorage_manager_queue_longest_wait_seconds", "How long the first key in the queue has waited.")
LONGEST_WORK: Final = Reading(
    "moorage_manager_reconcile_longest_running_seconds", "How long the longest of the reconciles that are under way has taken."
)
LEADER: Final = Gauge("moorage_manager_leader", "1 while this manager works: it leads, or is the only one by its settings.")

# --- what the fleet is like, as the API server tells it

READY_SECONDS: Final = Histogram(
    "moorage_manager_instance_ready_seconds",
    "From the creation of an instance by this manager until it is seen to be Ready for the first time.",
    buckets=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
)
WORKLOADS: Final = Reading("moorage_workloads", "Workloads by status and reason of their Ready condition.", ["ready", "reason"])
INSTANCES: Final = Reading("moorage_instances", "Instances by phase and reason of their Ready condition.", ["phase", "reason"])
DESIRED: Final = Reading("moorage_instances_desired", "Instances that all workloads together want now.")
READY: Final = Reading("moorage_instances_ready", "Instances that are Ready with their present spec.")
IMAGES: Final = Reading(
    "moorage_container_images", "ContainerImages by status and reason of their Ready condition.", ["ready", "reason"]
)
IMAGE_NODES: Final = Reading(
    "moorage_container_image_nodes",
    "Nodes over all ContainerImages, by how far they are: wanted are all of them, ready, pulling, failed and removed some.",
    ["state"],
)
RUNTIME_NODES: Final = Reading("moorage_nodes", "Nodes by whether they can be given work.", ["ready"])

_KNOWN: Final = frozenset(Reason)
_PHASES: Final = frozenset({"Pending", "Running", "Succeeded", "Failed", "Unknown"})
_OTHER: Final = "Other"
"""In place of a word that is not ours: what agents write must not be able to make label values without end."""


def follow(cache: "Cache", queue: "WorkQueue[Key]", images: "ImageRoom") -> None:
    """Read the gauges from here, from now on: this manager works."""
    LEADER.set(1)
    queues = (queue, images.queue)
    WAITING.read(number(lambda: sum(map(len, queues))))
    LONGEST_WAIT.read(number(lambda: max(q.longest_wait() for q in queues)))
    LONGEST_WORK.read(number(lambda: max(q.longest_work() for q in queues)))
    IMAGES.read(lambda: _images(images))
    IMAGE_NODES.read(lambda: _image_nodes(images))
    WORKLOADS.read(lambda: _workloads(cache))
    INSTANCES.read(lambda: _instances(cache))
    DESIRED.read(number(lambda: sum(w.status.desired_replicas for w in tuple(cache.workloads.values()))))
    READY.read(number(lambda: sum(i.is_ready for i in tuple(cache.instances.values()))))
    RUNTIME_NODES.read(lambda: _nodes(cache))


def unfollow() -> None:
    """This manager works no more: what it knew is not told any longer."""
    LEADER.set(0)
    of_work = (WAITING, LONGEST_WAIT, LONGEST_WORK)
    for reading in (*of_work, WORKLOADS, INSTANCES, DESIRED, READY, RUNTIME_NODES, IMAGES, IMAGE_NODES):
        reading.read(None)


def _workloads(cache: "Cache") -> Mapping[Labels, float]:
    return dict(Tally(_ready(find(w.status.conditions, READY_TYPE)) for w in tuple(cache.workloads.values())))


def _instances(cache: "Cache") -> Mapping[Labels, float]:
    found = tuple(cache.instances.values())
    return dict(Tally((i.phase if i.phase in _PHASES else _OTHER, *_ready(i.ready)[1:]) for i in found))


def _images(room: "ImageRoom") -> Mapping[Labels, float]:
    known = tuple(room.cache.images.values())
    return dict(Tally(_ready(find(image.status.conditions, READY_TYPE)) for image in known))


def _image_nodes(room: "ImageRoom") -> Mapping[Labels, float]:
    """All states are always there, so that an alert sees the first node that fails."""
    counts = [image.status.nodes for image in tuple(room.cache.images.values())]
    return {(state,): float(sum(getattr(nodes, state) for nodes in counts)) for state in ImageNodes.model_fields}


def _ready(ready: Condition | None) -> Labels:
    if ready is None:
        return "Unknown", Reason.PENDING
    return ready.status, ready.reason if ready.reason in _KNOWN else _OTHER


def _nodes(cache: "Cache") -> Mapping[Labels, float]:
    """Both values are always there, so that an alert sees the first node that is lost."""
    mono = time.monotonic()
    nodes = tuple(cache.nodes.values())
    ready = sum(replace(node, alive=cache.heartbeats.alive(node.name, mono)).ready for node in nodes)
    return {("true",): ready, ("false",): len(nodes) - ready}
