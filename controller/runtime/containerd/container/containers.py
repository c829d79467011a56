"""Container records in containerd's database."""

import json
from collections.abc import Mapping, Sequence
from typing import Any as Json
from typing import Final

from google.protobuf.any_pb2 import Any
from google.protobuf.field_mask_pb2 import FieldMask

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import containers_pb2
from controller.runtime.containerd.api.containers_pb2 import Container
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container import records
from controller.runtime.containerd.container.records import Facts
from controller.runtime.containerd.errors import is_too_large
from controller.runtime.port import ContainerConfig, NotFound, RuntimeFailure

SPEC_TYPE: Final = "types.containerd.io/opencontainers/runtime-spec/1/Spec"


class Containers:
    """Records of one namespace."""

    def __init__(self, channel: Channel, snapshotter: str) -> None:
        self._channel = channel
        self._snapshotter = snapshotter

    async def create(self, config: ContainerConfig, facts: Facts, spec: bytes, runtime: Container.Runtime) -> Container:
        """Write the record of a container."""
        record = Container(id=config.id, labels=config.labels, image=config.image, runtime=runtime)
        return await self.put(record, facts, spec)

    async def put(self, record: Container, facts: Facts, spec: bytes) -> Container:
        """Write a record, with what it lacks; its snapshot has the container's own id as its key."""
        record.spec.CopyFrom(Any(type_url=SPEC_TYPE, value=spec))
        record.snapshotter, record.snapshot_key = self._snapshotter, record.id
        record.extensions[records.EXTENSION].CopyFrom(facts.encode())
        request = containers_pb2.CreateContainerRequest(container=record)
        answer = await self._channel.call(methods.CREATE_CONTAINER, request)
        record.created_at.CopyFrom(answer.container.created_at)
        return record

    async def get(self, container_id: str) -> Container:
        """Read one record. Raises `NotFound`."""
        request = containers_pb2.GetContainerRequest(id=container_id)
        return (await self._channel.call(methods.GET_CONTAINER, request)).container

    async def set_labels(self, container_id: str, labels: Mapping[str, str]) -> None:
        """Write some labels, by field mask, so that all others stay. Raises `NotFound`."""
        record = Container(id=container_id, labels=labels)
        await self._update(record, [f"labels.{key}" for key in labels])

    async def mark_started(self, container_id: str, *, started: bool) -> None:
        """Note that the container is about to be started, or was not after all. Raises `NotFound`."""
        record = Container(id=container_id, extensions={records.STARTED: records.started_mark(started=started)})
        await self._update(record, [f"extensions.{records.STARTED}"])

    async def set_annotation(self, record: Container, name: str, value: str) -> None:
        """Write an annotation of a container's spec. Raises `NotFound`."""
        spec = json.loads(record.spec.value)
        spec["annotations"] = {**spec.get("annotations", {}), name: value}
        await self._set_spec(record, spec)

    async def set_pid_namespace(self, record: Container, path: str) -> None:
        """Write which PID namespace the container joins. Raises `NotFound`."""
        spec = json.loads(record.spec.value)
        for namespace in spec["linux"]["namespaces"]:
            if namespace["type"] == "pid":
                namespace["path"] = path
        await self._set_spec(record, spec)

    async def _set_spec(self, record: Container, spec: dict[str, Json]) -> None:
        record.spec.CopyFrom(Any(type_url=SPEC_TYPE, value=json.dumps(spec).encode()))
        await self._update(Container(id=record.id, spec=record.spec), ["spec"])

    async def _update(self, record: Container, paths: Sequence[str]) -> None:
        request = containers_pb2.UpdateContainerRequest(container=record, update_mask=FieldMask(paths=paths))
        await self._channel.call(methods.UPDATE_CONTAINER, request)

    async def delete(self, container_id: str) -> None:
        """Delete a record; absent is success."""
        try:
            await self._channel.call(methods.DELETE_CONTAINER, containers_pb2.DeleteContainerRequest(id=container_id))
        except NotFound:
            return

    async def list(self) -> list[Container]:
        """Read all records: in one message, or one by one where there are so many that they do not fit."""
        request = containers_pb2.ListContainersRequest()
        try:
            return list((await self._channel.call(methods.LIST_CONTAINERS, request)).containers)
        except RuntimeFailure as failure:
            if not is_too_large(failure):
                raise
        return [answer.container async for answer in self._channel.stream(methods.STREAM_CONTAINERS, request)]
