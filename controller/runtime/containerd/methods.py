"""The RPCs in use, each with its types and its deadline."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from controller.runtime.containerd.api import (
    containers_pb2,
    content_pb2,
    events_pb2,
    images_pb2,
    introspection_pb2,
    leases_pb2,
    namespaces_pb2,
    snapshots_pb2,
    streaming_pb2,
    tasks_pb2,
    transfer_pb2,
    types_pb2,
    version_pb2,
)

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)

READ: Final = 10.0
"""Seconds for calls that only look something up."""
WRITE: Final = 30.0
"""Seconds for calls that change containerd's database or signal a process."""
PROCESS: Final = 60.0
"""Seconds for calls that run the OCI runtime: a node that starts 100 containers at once is slow in each of them."""
COLLECT: Final = 300.0
"""Seconds for calls that wait until containerd has collected its garbage: it deletes the files of layers, one by one."""
ENDLESS: Final = 24 * 3600.0
"""Seconds for calls that last as long as what they wait for; their callers watch over them by other means."""


@dataclass(frozen=True, slots=True)
class Unary(Generic[Q, R]):
    """An RPC with one request and one answer."""

    path: str
    request: type[Q]
    answer: type[R]
    seconds: float
    """Deadline, unless the caller sets another."""


@dataclass(frozen=True, slots=True)
class Streamed(Generic[Q, R]):
    """An RPC with one request and a stream of answers."""

    path: str
    request: type[Q]
    answer: type[R]
    seconds: float


@dataclass(frozen=True, slots=True)
class Duplex(Generic[Q, R]):
    """An RPC with a stream in both directions."""

    path: str
    request: type[Q]
    answer: type[R]
    seconds: float


_SERVICES: Final = "/containerd.services."

VERSION: Final = Unary(f"{_SERVICES}version.v1.Version/Version", Empty, version_pb2.VersionResponse, READ)
PLUGINS: Final = Unary(
    f"{_SERVICES}introspection.v1.Introspection/Plugins",
    introspection_pb2.PluginsRequest,
    introspection_pb2.PluginsResponse,
    READ,
)

_NAMESPACES: Final = f"{_SERVICES}namespaces.v1.Namespaces/"
CREATE_NAMESPACE: Final = Unary(
    f"{_NAMESPACES}Create", namespaces_pb2.CreateNamespaceRequest, namespaces_pb2.CreateNamespaceResponse, WRITE
)

_CONTAINERS: Final = f"{_SERVICES}containers.v1.Containers/"
GET_CONTAINER: Final = Unary(f"{_CONTAINERS}Get", containers_pb2.GetContainerRequest, containers_pb2.GetContainerResponse, READ)
LIST_CONTAINERS: Final = Unary(
    f"{_CONTAINERS}List", containers_pb2.ListContainersRequest, containers_pb2.ListContainersResponse, READ
)
STREAM_CONTAINERS: Final = Streamed(
    f"{_CONTAINERS}ListStream", containers_pb2.ListContainersRequest, containers_pb2.ListContainerMessage, WRITE
)
CREATE_CONTAINER: Final = Unary(
    f"{_CONTAINERS}Create", containers_pb2.CreateContainerRequest, containers_pb2.CreateContainerResponse, WRITE
)
UPDATE_CONTAINER: Final = Unary(
    f"{_CONTAINERS}Update", containers_pb2.UpdateContainerRequest, containers_pb2.UpdateContainerResponse, WRITE
)
DELETE_CONTAINER: Final = Unary(f"{_CONTAINERS}Delete", containers_pb2.DeleteContainerRequest, Empty, WRITE)

_TASKS: Final = f"{_SERVICES}tasks.v1.Tasks/"
CREATE_TASK: Final = Unary(f"{_TASKS}Create", tasks_pb2.CreateTaskRequest, tasks_pb2.CreateTaskResponse, PROCESS)
START_TASK: Final = Unary(f"{_TASKS}Start", tasks_pb2.StartRequest, tasks_pb2.StartResponse, PROCESS)
DELETE_TASK: Final = Unary(f"{_TASKS}Delete", tasks_pb2.DeleteTaskRequest, tasks_pb2.DeleteResponse, PROCESS)
DELETE_PROCESS: Final = Unary(f"{_TASKS}DeleteProcess", tasks_pb2.DeleteProcessRequest, tasks_pb2.DeleteResponse, PROCESS)
GET_TASK: Final = Unary(f"{_TASKS}Get", tasks_pb2.GetRequest, tasks_pb2.GetResponse, READ)
LIST_TASKS: Final = Unary(f"{_TASKS}List", tasks_pb2.ListTasksRequest, tasks_pb2.ListTasksResponse, READ)
KILL: Final = Unary(f"{_TASKS}Kill", tasks_pb2.KillRequest, Empty, WRITE)
EXEC: Final = Unary(f"{_TASKS}Exec", tasks_pb2.ExecProcessRequest, Empty, WRITE)
RESIZE: Final = Unary(f"{_TASKS}ResizePty", tasks_pb2.ResizePtyRequest, Empty, WRITE)
CLOSE_IO: Final = Unary(f"{_TASKS}CloseIO", tasks_pb2.CloseIORequest, Empty, WRITE)
PAUSE: Final = Unary(f"{_TASKS}Pause", tasks_pb2.PauseTaskRequest, Empty, PROCESS)
RESUME: Final = Unary(f"{_TASKS}Resume", tasks_pb2.ResumeTaskRequest, Empty, PROCESS)
UPDATE_TASK: Final = Unary(f"{_TASKS}Update", tasks_pb2.UpdateTaskRequest, Empty, PROCESS)
METRICS: Final = Unary(f"{_TASKS}Metrics", tasks_pb2.MetricsRequest, tasks_pb2.MetricsResponse, WRITE)
WAIT: Final = Unary(f"{_TASKS}Wait", tasks_pb2.WaitRequest, tasks_pb2.WaitResponse, WRITE)

_LEASES: Final = f"{_SERVICES}leases.v1.Leases/"
CREATE_LEASE: Final = Unary(f"{_LEASES}Create", leases_pb2.CreateRequest, leases_pb2.CreateResponse, WRITE)
LIST_LEASES: Final = Unary(f"{_LEASES}List", leases_pb2.ListRequest, leases_pb2.ListResponse, READ)
DELETE_LEASE: Final = Unary(f"{_LEASES}Delete", leases_pb2.DeleteRequest, Empty, WRITE)
LIST_LEASED: Final = Unary(f"{_LEASES}ListResources", leases_pb2.ListResourcesRequest, leases_pb2.ListResourcesResponse, READ)

_SNAPSHOTS: Final = f"{_SERVICES}snapshots.v1.Snapshots/"
PREPARE: Final = Unary(
    f"{_SNAPSHOTS}Prepare", snapshots_pb2.PrepareSnapshotRequest, snapshots_pb2.PrepareSnapshotResponse, WRITE
)
VIEW: Final = Unary(f"{_SNAPSHOTS}View", snapshots_pb2.ViewSnapshotRequest, snapshots_pb2.ViewSnapshotResponse, WRITE)
MOUNTS: Final = Unary(f"{_SNAPSHOTS}Mounts", snapshots_pb2.MountsRequest, snapshots_pb2.MountsResponse, READ)
REMOVE_SNAPSHOT: Final = Unary(f"{_SNAPSHOTS}Remove", snapshots_pb2.RemoveSnapshotRequest, Empty, WRITE)
STAT_SNAPSHOT: Final = Unary(f"{_SNAPSHOTS}Stat", snapshots_pb2.StatSnapshotRequest, snapshots_pb2.StatSnapshotResponse, READ)
LIST_SNAPSHOTS: Final = Streamed(
    f"{_SNAPSHOTS}List", snapshots_pb2.ListSnapshotsRequest, snapshots_pb2.ListSnapshotsResponse, WRITE
)

_IMAGES: Final = f"{_SERVICES}images.v1.Images/"
GET_IMAGE: Final = Unary(f"{_IMAGES}Get", images_pb2.GetImageRequest, images_pb2.GetImageResponse, READ)
LIST_IMAGES: Final = Unary(f"{_IMAGES}List", images_pb2.ListImagesRequest, images_pb2.ListImagesResponse, READ)
CREATE_IMAGE: Final = Unary(f"{_IMAGES}Create", images_pb2.CreateImageRequest, images_pb2.CreateImageResponse, WRITE)
UPDATE_IMAGE: Final = Unary(f"{_IMAGES}Update", images_pb2.UpdateImageRequest, images_pb2.UpdateImageResponse, WRITE)
DELETE_IMAGE: Final = Unary(f"{_IMAGES}Delete", images_pb2.DeleteImageRequest, Empty, WRITE)

_CONTENT: Final = f"{_SERVICES}content.v1.Content/"
CONTENT_INFO: Final = Unary(f"{_CONTENT}Info", content_pb2.InfoRequest, content_pb2.InfoResponse, READ)
LIST_CONTENT: Final = Streamed(f"{_CONTENT}List", content_pb2.ListContentRequest, content_pb2.ListContentResponse, READ)
UPDATE_CONTENT: Final = Unary(f"{_CONTENT}Update", content_pb2.UpdateRequest, content_pb2.UpdateResponse, WRITE)
DELETE_CONTENT: Final = Unary(f"{_CONTENT}Delete", content_pb2.DeleteContentRequest, Empty, WRITE)
READ_CONTENT: Final = Streamed(f"{_CONTENT}Read", content_pb2.ReadContentRequest, content_pb2.ReadContentResponse, READ)
LIST_INGESTS: Final = Unary(f"{_CONTENT}ListStatuses", content_pb2.ListStatusesRequest, content_pb2.ListStatusesResponse, READ)
ABORT_INGEST: Final = Unary(f"{_CONTENT}Abort", content_pb2.AbortRequest, Empty, WRITE)

TRANSFER: Final = Unary(f"{_SERVICES}transfer.v1.Transfer/Transfer", transfer_pb2.TransferRequest, Empty, ENDLESS)
STREAM: Final = Duplex(f"{_SERVICES}streaming.v1.Streaming/Stream", Any, Any, ENDLESS)
STREAM_INIT: Final = streaming_pb2.StreamInit

PUBLISH: Final = Unary(f"{_SERVICES}events.v1.Events/Publish", events_pb2.PublishRequest, Empty, READ)
SUBSCRIBE: Final = Streamed(f"{_SERVICES}events.v1.Events/Subscribe", events_pb2.SubscribeRequest, types_pb2.Envelope, ENDLESS)
