"""The agent's metrics. Calls to the API server and watches are counted where they are made (kube/metrics.py).

Latencies are histograms whose buckets cover what each is expected to take, from well to bad. Gauges are read from the
agent's own state when somebody scrapes; nothing is asked of the runtime for it.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

from controller.telemetry.readings import Labels, Reading, number

if TYPE_CHECKING:
    from collections.abc import Sized

    from controller.agent.images.collector import ImageCollector
    from controller.agent.node import NodeJudge
    from controller.agent.nodeimages.keeper import ImageKeeper
    from controller.agent.report.writer import StatusWriter
    from controller.agent.slots import Slots
    from controller.agent.sources.port import Sources
    from controller.agent.tokens.port import Tokens
    from controller.agent.view import NodeView

# --- containers and instances

START_SECONDS: Final = Histogram(
    "moorage_agent_container_start_seconds",
    "From beginning to make a container until its process runs; neither image pull nor waiting for a turn is in it.",
    buckets=(0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0),
)
RESTART_SECONDS: Final = Histogram(
    "moorage_agent_container_restart_seconds",
    "From the end of a container, or the end of its back-off, until the one in its place runs.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0),
)
RESTARTS: Final = Counter(
    "moorage_agent_container_restarts_total",
    "Containers started in the place of an earlier one, by how that ended; Updating: its spec was changed.",
    ["reason"],
)
FAILURES: Final = Counter(
    "moorage_agent_container_failures_total", "Tries to make or start a container that failed.", ["reason"]
)
READY_SECONDS: Final = Histogram(
    "moorage_agent_instance_ready_seconds",
    "From the moment that the agent knows of a new instance until it is Ready; image pulls are in it.",
    buckets=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
)
DELETE_SECONDS: Final = Histogram(
    "moorage_agent_instance_delete_seconds",
    "From the moment that the agent knows of an instance's deletion until nothing of it is left; grace periods are in it.",
    buckets=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0),
)
CONTAINERS: Final = Reading("moorage_agent_containers", "Containers on the node by phase.", ["phase"])
INSTANCES: Final = Reading("moorage_agent_instances", "Instances of the node by the phase that is told of them.", ["phase"])
LEFTOVERS: Final = Counter("moorage_leftovers_total", "Things found on the node that no instance wants, and removed.", ["kind"])

for _kind in ("container", "files", "log", "network", "runtime", "volumes"):
    LEFTOVERS.labels(_kind)  # there from the start, so that the first one is a rise

PROBES: Final = Counter(
    "moorage_agent_probes_total",
    "Probes of containers that were made, by what came of it; unknown: it could not be made.",
    ["probe", "result"],
)
PROBE_WAIT_SECONDS: Final = Histogram(
    "moorage_agent_probe_wait_seconds",
    "How long a probe that was due waited for its turn.",
    buckets=(0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0),
)

# --- images

PULL_SECONDS: Final = Histogram(
    "moorage_agent_image_pull_seconds",
    "Duration of an image pull that succeeded, unpacking included.",
    buckets=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
)
PULLS: Final = Counter("moorage_agent_image_pulls_total", "Image pulls by how they ended; Pulled: with success.", ["reason"])
IMAGES_DAMAGED: Final = Counter(
    "moorage_agent_images_damaged_total", "Images on the node that were found damaged, taken out of use and are fetched again."
)
CREDENTIAL_PROVIDER_SECONDS: Final = Histogram(
    "moorage_agent_credential_provider_seconds",
    "Duration of a call of a credential provider plugin.",
    ["provider"],
    buckets=(0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0),
)
CREDENTIAL_PROVIDER_FAILURES: Final = Counter(
    "moorage_agent_credential_provider_failures_total",
    "Calls of a credential provider plugin that gave nothing usable.",
    ["provider"],
)
IMAGE_ACCESS: Final = Counter(
    "moorage_agent_image_access_checks_total",
    "Questions to a registry whether an image that is on the node may be used, by the answer.",
    ["answer"],
)
IMAGES: Final = Reading("moorage_agent_images", "Images on the node, counted once a minute.")
IMAGE_BYTES: Final = Reading("moorage_agent_images_bytes", "Size of the content of all images on the node.")
WANTED_IMAGES: Final = Reading(
    "moorage_agent_wanted_images",
    "ContainerImages that name this node: wanted are all of them, ready, pulling, failed and removed some.",
    ["state"],
)

IMAGE_GC_REMOVED: Final = Counter(
    "moorage_agent_image_gc_removed_total",
    "Images removed for room on the disk: unused, or incomplete; and unfinished pulls.",
    ["kind"],
)
IMAGE_GC_FREED: Final = Counter("moorage_agent_image_gc_freed_bytes_total", "Bytes that were free after that, and not before.")
IMAGE_GC_FAILURES: Final = Counter(
    "moorage_agent_image_gc_failures_total", "Times that an image could not be removed, or that all of them freed too little."
)
DISK_USED: Final = Reading("moorage_agent_image_filesystem_used_ratio", "Use of the disk of images, from 0 to 1 for full.")
DISK_PRESSURE: Final = Reading("moorage_agent_disk_pressure", "1 while the disk of images has too little room for new work.")

for _kind in ("incomplete", "unused", "unfinished"):
    IMAGE_GC_REMOVED.labels(_kind)

# --- the agent at work

SUPERVISORS: Final = Reading("moorage_agent_supervisors", "Instances that are looked after.")
SLOTS: Final = Reading("moorage_agent_slots", "How many containers may be made, started or removed at the same time.")
SLOTS_IN_USE: Final = Reading("moorage_agent_slots_in_use", "How many are being made, started or removed.")
SLOTS_WAITING: Final = Reading("moorage_agent_slots_waiting", "Instances that wait for a slot, by what for.", ["priority"])
STATE_FAILURES: Final = Counter("moorage_agent_state_write_failures_total", "Desired instances that could not be kept on disk.")

OBJECT_WATCHES: Final = Reading(
    "moorage_agent_object_watches", "ConfigMaps and Secrets that instances of the node name, each with a watch.", ["kind"]
)
TOKENS: Final = Reading(
    "moorage_agent_service_account_tokens",
    "Tokens that instances of the node mount: fresh; late: good, but a new one was not to be had; missing.",
    ["state"],
)

# --- the runtime

RUNTIME_CALLS: Final = Counter(
    "moorage_runtime_calls_total",
    "Calls to the container runtime by how they ended: OK, or the kind of failure.",
    ["method", "code"],
)
RUNTIME_SECONDS: Final = Histogram(
    "moorage_runtime_call_seconds",
    "Duration of a call to the container runtime.",
    ["method"],
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
RUNTIME_UP: Final = Reading("moorage_agent_runtime_up", "1 while the runtime answers and its event stream is well.")
RUNTIME_EVENTS: Final = Counter("moorage_agent_runtime_events_total", "Events that the runtime has sent.")
RUNTIME_EVENT_AT: Final = Reading("moorage_agent_runtime_last_event_timestamp_seconds", "When the runtime last sent an event.")
RUNTIME_LIST_AT: Final = Reading(
    "moorage_agent_runtime_last_list_timestamp_seconds", "When all containers of the node were last listed."
)

# --- what is told to the API server

STATUS_WRITES: Final = Counter(
    "moorage_agent_status_writes_total", "Statuses of instances, and of the node's images, written by the agent."
)
STATUS_REFUSALS: Final = Counter("moorage_agent_status_refusals_total", "Statuses that the API server would not take.")
STATUS_PENDING: Final = Reading("moorage_agent_status_pending", "Instances whose newest status is not written yet.")
STATUS_OLDEST: Final = Reading(
    "moorage_agent_status_oldest_pending_seconds", "How long the oldest status that is not written has waited."
)
HEARTBEAT_AT: Final = Gauge(
    "moorage_agent_heartbeat_timestamp_seconds", "When the API server last took a renewal of the node's Lease; 0: never."
)

_FOLLOWED: Final = (
    *(SUPERVISORS, SLOTS, SLOTS_IN_USE, SLOTS_WAITING, CONTAINERS, INSTANCES, IMAGES, IMAGE_BYTES),
    *(OBJECT_WATCHES, TOKENS, WANTED_IMAGES, DISK_USED, DISK_PRESSURE),
    *(RUNTIME_UP, RUNTIME_EVENT_AT, RUNTIME_LIST_AT, STATUS_PENDING, STATUS_OLDEST),
)


def follow(
    *,
    supervisors: "Sized",
    slots: "Slots",
    view: "NodeView",
    writer: "StatusWriter",
    judge: "NodeJudge",
    sources: "Sources",
    tokens: "Tokens",
    keeper: "ImageKeeper",
    collector: "ImageCollector",
) -> None:
    """Read the gauges from here, from now on."""
    OBJECT_WATCHES.read(sources.watches)
    TOKENS.read(tokens.counts)
    WANTED_IMAGES.read(keeper.states)
    DISK_USED.read(number(lambda: collector.used))
    DISK_PRESSURE.read(number(lambda: bool(collector.pressure)))
    SUPERVISORS.read(number(lambda: len(supervisors)))
    SLOTS.read(number(lambda: slots.count))
    SLOTS_IN_USE.read(number(lambda: slots.in_use))
    SLOTS_WAITING.read(lambda: {(p.name.lower(),): n for p, n in slots.waiting().items()})
    CONTAINERS.read(lambda: _tally(str(c.phase) for c in view.all()))
    INSTANCES.read(lambda: _tally(writer.phases()))
    RUNTIME_UP.read(number(lambda: not view.error))
    RUNTIME_EVENT_AT.read(number(lambda: view.event_at))
    RUNTIME_LIST_AT.read(number(lambda: view.listed_at))
    STATUS_PENDING.read(number(lambda: len(writer.waits())))
    STATUS_OLDEST.read(number(lambda: max(writer.waits(), default=0.0)))
    IMAGES.read(number(lambda: judge.images.count))
    IMAGE_BYTES.read(number(lambda: judge.images.bytes))


def unfollow() -> None:
    """This agent has ended: what it knew is not told any longer."""
    for reading in _FOLLOWED:
        reading.read(None)


def _tally(words: Iterable[str]) -> Mapping[Labels, float]:
    return {(word,): count for word, count in Tally(words).items()}
