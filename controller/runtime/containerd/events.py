"""containerd's event stream in the port's words.

A subscription begins at some moment after the call, which containerd does not tell. So a marker is published through
containerd until it comes back on the stream: from then on nothing is missed, and `SUBSCRIBED` is told. The same marker, now
and then, is the stream's heartbeat: a stream that has gone dead without an end (a hung containerd) is given up, since there
is no other way to see it.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, TypeVar

import grpc.aio
from google.protobuf.any_pb2 import Any

from controller.runtime.containerd import methods
from controller.runtime.containerd.api import events_pb2, happenings_pb2, images_pb2
from controller.runtime.containerd.api.types_pb2 import Envelope
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.records import is_holder, seconds
from controller.runtime.containerd.errors import translate
from controller.runtime.containerd.image.passing import is_passing
from controller.runtime.port import ContainerState, EventKind, RuntimeEvent, RuntimeFailure, Unavailable

_MARKER: Final = "/moorage/marker"
_MARKER_TYPE: Final = "moorage.dev/Marker"
_ENDED: Final = "/moorage/ended"
_ENDED_TYPE: Final = "moorage.dev/Ended"
_TASK_DELETE: Final = "containerd.events.TaskDelete"

_AGAIN: Final = 0.05
"""Seconds after which the first marker is sent once more: it may have come before the subscription began."""

_LATE: Final = 10.0
"""Seconds that a marker may take to come back."""

_REMEMBERED: Final = 256
"""Exits kept to tell a repetition: a shim that ends sends its last events again when it does not know whether they arrived."""

T = TypeVar("T")
Decoder = Callable[[Envelope], RuntimeEvent | None]


async def events(
    channel: Channel, heartbeat: float, task_deleted: Callable[[str], None] = lambda _: None
) -> AsyncGenerator[RuntimeEvent, None]:
    """Subscribe; yields `SUBSCRIBED` first.

    Args:
        channel: the connection.
        heartbeat: seconds between two checks that the stream is alive.
        task_deleted: called with a container's id when its task was deleted, by whomever, before that is told as an event.

    Raises:
        Unavailable: when the stream ended, for whatever reason.
    """
    marker = secrets.token_bytes(16)
    topics = f'namespace=={channel.namespace},topic~="^/(tasks|containers|images|moorage)/"'
    call = channel.subscribe(methods.SUBSCRIBE, events_pb2.SubscribeRequest(filters=[topics]))
    pulse = _Pulse(channel, marker, heartbeat)
    beating = asyncio.create_task(pulse.run(call.cancel))
    subscribed = False
    exits: deque[RuntimeEvent] = deque(maxlen=_REMEMBERED)
    try:
        while isinstance(envelope := await pulse.attend(call.read()), Envelope):
            if envelope.topic == _MARKER:
                if envelope.event.value == marker:
                    pulse.returned.set()
                    if not subscribed:
                        subscribed = True
                        yield RuntimeEvent(EventKind.SUBSCRIBED, at=seconds(envelope.timestamp))
            elif subscribed and (event := _heard(envelope, task_deleted)) is not None and event not in exits:
                if event.kind is EventKind.EXITED:
                    exits.append(event)
                yield event
        raise Unavailable("containerd ended the event stream")
    except grpc.aio.AioRpcError as error:
        raise Unavailable(str(translate(error))) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if pulse.failure is None or (task and task.cancelling()):
            raise
        raise Unavailable(f"containerd's event stream is dead: {pulse.failure}") from pulse.failure
    finally:
        beating.cancel()
        call.cancel()


class _Pulse:
    """Sends the marker, and gives the stream up when it does not come back."""

    def __init__(self, channel: Channel, marker: bytes, heartbeat: float) -> None:
        self._channel = channel
        self._request = events_pb2.PublishRequest(topic=_MARKER, event=Any(type_url=_MARKER_TYPE, value=marker))
        self._heartbeat = heartbeat
        self.returned = asyncio.Event()
        self.failure: Exception | None = None
        self._reading = False

    async def attend(self, reading: Awaitable[T]) -> T:
        """Wait for a message: only then can a marker be missed, not while the consumer is busy with the last one."""
        self._reading = True
        try:
            return await reading
        finally:
            self._reading = False

    async def run(self, give_up: Callable[[], object]) -> None:
        """Send markers until cancelled."""
        try:
            async with asyncio.timeout(_LATE):
                while not (await self._comes_back(_AGAIN) and self.returned.is_set()):
                    pass
            while True:
                await asyncio.sleep(self._heartbeat)
                if not await self._comes_back(_LATE):
                    break
            self.failure = TimeoutError(f"a marker did not come back within {_LATE:.0f} s")
        except (RuntimeFailure, TimeoutError) as failure:
            self.failure = failure
        give_up()

    async def _comes_back(self, within: float) -> bool:
        self.returned.clear()
        await self._channel.call(methods.PUBLISH, self._request, seconds=_LATE)
        try:
            async with asyncio.timeout(within):
                await self.returned.wait()
        except TimeoutError:
            return not self._reading
        return True


def _heard(envelope: Envelope, task_deleted: Callable[[str], None]) -> RuntimeEvent | None:
    if container_id := deleted_task(envelope):
        task_deleted(container_id)
    return decode(envelope)


def decode(envelope: Envelope) -> RuntimeEvent | None:
    """One event, or None for one that tells nothing of a container or image (a further process, say)."""
    decoder = _DECODERS.get(envelope.event.type_url)
    event = decoder(envelope) if decoder else None
    return None if event is not None and is_holder(event.container_id) else event


def _ended(told: happenings_pb2.TaskExit | happenings_pb2.TaskDelete) -> RuntimeEvent:
    return RuntimeEvent(
        EventKind.EXITED,
        told.container_id,
        pid=told.pid,
        exit_code=told.exit_status,
        at=seconds(told.exited_at),
    )


def _exit(envelope: Envelope) -> RuntimeEvent | None:
    told = happenings_pb2.TaskExit.FromString(envelope.event.value)
    if told.id != told.container_id:
        return None
    return _ended(told)


def _start(envelope: Envelope) -> RuntimeEvent:
    told = happenings_pb2.TaskStart.FromString(envelope.event.value)
    return RuntimeEvent(EventKind.STARTED, told.container_id, pid=told.pid, at=seconds(envelope.timestamp))


async def publish_end(channel: Channel, ended: ContainerState, pid: int) -> None:
    """Tell of an end that no shim has told, as an event like those of shims. `pid` is that of the process that it was.

    Raises:
        RuntimeFailure: when that could not be done.
    """
    told = happenings_pb2.TaskDelete(container_id=ended.id, pid=pid)
    if ended.exit_code is not None and ended.exited_at is not None:
        told.exit_status = ended.exit_code
        told.exited_at.FromNanoseconds(round(ended.exited_at * 1e9))
    value = told.SerializeToString()
    request = events_pb2.PublishRequest(topic=_ENDED, event=Any(type_url=_ENDED_TYPE, value=value))
    await channel.call(methods.PUBLISH, request)


def _found(envelope: Envelope) -> RuntimeEvent:
    """An end that we found ourselves; when the task was gone by then, its exit code is not known."""
    told = happenings_pb2.TaskDelete.FromString(envelope.event.value)
    if told.HasField("exited_at"):
        return _ended(told)
    return RuntimeEvent(EventKind.EXITED, told.container_id, pid=told.pid, at=seconds(envelope.timestamp))


def deleted_task(envelope: Envelope) -> str:
    """Id of the container whose task was deleted; empty for every other event, also for the end of a further process."""
    if envelope.event.type_url not in {_TASK_DELETE, _ENDED_TYPE}:
        return ""
    told = happenings_pb2.TaskDelete.FromString(envelope.event.value)
    still_there = envelope.event.type_url == _ENDED_TYPE and told.HasField("exited_at")
    return told.container_id if told.id in {"", told.container_id} and not still_there else ""


def _delete(envelope: Envelope) -> RuntimeEvent | None:
    """A task that is deleted while it runs (`ctr task rm -f`) has no exit event of its own."""
    return _ended(happenings_pb2.TaskDelete.FromString(envelope.event.value)) if deleted_task(envelope) else None


def _of_task(
    kind: EventKind, message: type[happenings_pb2.TaskOOM | happenings_pb2.TaskPaused | happenings_pb2.TaskResumed]
) -> Decoder:
    def decoder(envelope: Envelope) -> RuntimeEvent:
        container_id = message.FromString(envelope.event.value).container_id
        return RuntimeEvent(kind, container_id, at=seconds(envelope.timestamp))

    return decoder


def _of_container(
    kind: EventKind,
    message: type[happenings_pb2.ContainerCreate | happenings_pb2.ContainerUpdate | happenings_pb2.ContainerDelete],
) -> Decoder:
    def decoder(envelope: Envelope) -> RuntimeEvent:
        return RuntimeEvent(kind, message.FromString(envelope.event.value).id, at=seconds(envelope.timestamp))

    return decoder


def _of_image(message: type[images_pb2.ImageCreate | images_pb2.ImageUpdate | images_pb2.ImageDelete]) -> Decoder:
    def decoder(envelope: Envelope) -> RuntimeEvent | None:
        name = message.FromString(envelope.event.value).name
        return None if is_passing(name) else RuntimeEvent(EventKind.IMAGE_CHANGED, image=name, at=seconds(envelope.timestamp))

    return decoder


_DECODERS: Final[dict[str, Decoder]] = {
    "containerd.events.TaskExit": _exit,
    "containerd.events.TaskStart": _start,
    _TASK_DELETE: _delete,
    _ENDED_TYPE: _found,
    "containerd.events.TaskOOM": _of_task(EventKind.OOM, happenings_pb2.TaskOOM),
    "containerd.events.TaskPaused": _of_task(EventKind.PAUSED, happenings_pb2.TaskPaused),
    "containerd.events.TaskResumed": _of_task(EventKind.RESUMED, happenings_pb2.TaskResumed),
    "containerd.events.ContainerCreate": _of_container(EventKind.CREATED, happenings_pb2.ContainerCreate),
    "containerd.events.ContainerUpdate": _of_container(EventKind.CHANGED, happenings_pb2.ContainerUpdate),
    "containerd.events.ContainerDelete": _of_container(EventKind.REMOVED, happenings_pb2.ContainerDelete),
    "containerd.services.images.v1.ImageCreate": _of_image(images_pb2.ImageCreate),
    "containerd.services.images.v1.ImageUpdate": _of_image(images_pb2.ImageUpdate),
    "containerd.services.images.v1.ImageDelete": _of_image(images_pb2.ImageDelete),
}
