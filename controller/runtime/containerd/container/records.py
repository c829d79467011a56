"""Container records: what is kept in containerd with each container, and what its state means to the port."""

import json
from dataclasses import asdict, dataclass
from typing import Final

from google.protobuf.any_pb2 import Any
from google.protobuf.timestamp_pb2 import Timestamp

from controller.runtime.containerd.api.containers_pb2 import Container
from controller.runtime.containerd.api.process_pb2 import (
    CREATED,
    PAUSED,
    PAUSING,
    RUNNING,
    STOPPED,
    Process,
)
from controller.runtime.containerd.container import evidence
from controller.runtime.port import ContainerState, Phase

EXTENSION: Final = "moorage.dev/container"
"""Key of the extension that holds `Facts`; labels are the caller's own."""

STARTED: Final = "moorage.dev/started"
"""Key of an extension that tells of a container without a log file whether it was about to be started."""

HOLDER: Final = ".pause"
"""Ends the id of every holder of shared process ids (holders.py), and of nothing else: ids from outside have no dot."""

_TYPE: Final = "moorage.dev/v1/json"

_PHASES: Final = {
    CREATED: Phase.CREATED,
    RUNNING: Phase.RUNNING,
    PAUSING: Phase.PAUSED,
    PAUSED: Phase.PAUSED,
    STOPPED: Phase.EXITED,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What cannot be read from the rest of a container's record. Never changed after its creation."""

    image_digest: str = ""
    parent: str = ""
    """Name of the snapshot that its own is made from."""
    log_path: str = ""
    tty: bool = False
    stdin: bool = False
    """Its standard input is a pipe that stays open."""
    cgroup: str = ""
    boot_id: str = ""
    shares: str = ""
    """Group whose process ids it shares; empty when it has its own, or the node's."""

    def encode(self) -> Any:
        """As an extension of the record."""
        return Any(type_url=_TYPE, value=json.dumps(asdict(self)).encode())


def decode_facts(record: Container) -> Facts:
    """The facts of a record; those of a container that somebody else made are empty."""
    if EXTENSION not in record.extensions:
        return Facts()
    values = json.loads(record.extensions[EXTENSION].value)
    return Facts(**{name: value for name, value in values.items() if name in Facts.__slots__})


def is_holder(container_id: str) -> bool:
    """Whether this is a container that nobody outside of this adapter knows of."""
    return container_id.endswith(HOLDER)


def started_mark(*, started: bool) -> Any:
    """The value of the extension `STARTED`."""
    return Any(type_url=_TYPE, value=json.dumps(started).encode())


def was_started(record: Container, facts: Facts) -> bool:
    """Whether a container that has no task may once have had one.

    A start is noted beside the log file, and the note stays when task and node are gone; a container without a log file is
    marked by the extension `STARTED` before its first start. A task does not outlive a boot, so after one the record is taken
    as that of a container that ran: at worst a container that was never started is made anew.
    """
    if facts.boot_id != evidence.boot_id():
        return True
    if facts.log_path:
        return evidence.was_started(facts.log_path)
    return STARTED in record.extensions and json.loads(record.extensions[STARTED].value) is True


def seconds(stamp: Timestamp) -> float:
    """A time as seconds since the epoch."""
    return stamp.seconds + stamp.nanos / 1e9


def running_state(record: Container, facts: Facts, pid: int) -> ContainerState:
    """The state of a container that runs."""
    return _state(record, facts, Phase.RUNNING, pid=pid, started_at=evidence.started_at(facts.log_path, pid))


def created_state(record: Container, facts: Facts) -> ContainerState:
    """The state of a container whose process was not started."""
    return _state(record, facts, Phase.CREATED)


def lost_state(record: Container, facts: Facts) -> ContainerState:
    """The state of a container that was started, and of whose end nothing is known."""
    return _state(record, facts, Phase.EXITED, started_at=evidence.started_at(facts.log_path, 0))


def unknown_state(record: Container, facts: Facts) -> ContainerState:
    """The state of a container that the runtime could not ask."""
    return _state(record, facts, Phase.UNKNOWN)


def task_state(record: Container, facts: Facts, process: Process) -> ContainerState:
    """The state of a container that has a task."""
    phase = _PHASES.get(process.status, Phase.UNKNOWN)
    if phase is Phase.CREATED or phase is Phase.UNKNOWN:
        return _state(record, facts, phase)
    if phase is not Phase.EXITED:
        return _state(record, facts, phase, pid=process.pid, started_at=evidence.started_at(facts.log_path, process.pid))
    return _state(
        record,
        facts,
        phase,
        started_at=evidence.started_at(facts.log_path, 0),
        exited_at=seconds(process.exited_at),
        exit_code=process.exit_status,
        oom_killed=process.exit_status != 0 and evidence.oom_killed(facts.cgroup),
    )


def _state(
    record: Container,
    facts: Facts,
    phase: Phase,
    *,
    pid: int = 0,
    started_at: float | None = None,
    exited_at: float | None = None,
    exit_code: int | None = None,
    oom_killed: bool = False,
) -> ContainerState:
    return ContainerState(
        id=record.id,
        phase=phase,
        labels=dict(record.labels),
        image=record.image,
        image_digest=facts.image_digest,
        pid=pid,
        created_at=seconds(record.created_at),
        started_at=started_at,
        exited_at=exited_at,
        exit_code=exit_code,
        oom_killed=oom_killed,
    )
