"""One row for each container of this node, and how it is told to people and to machines. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from controller.agent.decide.hashing import made_from
from controller.agent.decide.observation import restart_count
from controller.api import labels
from controller.api.conditions import timestamp
from controller.api.people import duration_text
from controller.api.spec import Container
from controller.cli.inventory import Inventory, Known
from controller.runtime.port import ContainerState, Phase

WAITING: Final = "waiting"
"""Phase of what is wanted and has no container; the others are the runtime port's."""

_DOCKER_HUB: Final = ("docker.io/library/", "docker.io/")
_SHORT_DIGEST: Final = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One container, or one that is wanted and not there. Times are seconds since the epoch."""

    namespace: str
    instance: str
    uid: str
    container: str
    phase: str
    image: str
    node: str = ""
    notes: tuple[str, ...] = ()
    """What else is to be known: terminating, suspended, updating, replaced, unwanted."""
    wanted: bool | None = None
    """Whether an instance of this node has it in its spec; None when nobody can say."""
    restarts: int = 0
    age_from: float | None = None
    state: ContainerState | None = None

    @property
    def exit_code(self) -> int | None:
        """Exit code, once it ended and if that is known."""
        return self.state.exit_code if self.state else None


def rows(inventory: Inventory) -> list[Row]:
    """Everything that is wanted or there."""
    return [row for known in inventory.instances for row in _of(known, has_state=inventory.has_state)]


def columns(row: Row, now: float, *, wide: bool) -> dict[str, str]:
    """The cells of a row by the name of their column."""
    state = row.state
    cells = {
        "NAMESPACE": row.namespace or "-",
        "INSTANCE": row.instance,
        "CONTAINER": row.container,
        "STATUS": status(row, now),
        "RESTARTS": str(row.restarts),
        "IMAGE": short_image(row.image),
        "PID": str(state.pid) if state and state.pid else "-",
        "AGE": duration_text(now - row.age_from) if row.age_from else "-",
    }
    if wide:
        cells |= {
            "NODE": row.node or "-",
            "CONTAINER-ID": state.id if state else "-",
            "DIGEST": state.image_digest if state and state.image_digest else "-",
            "UID": row.uid or "-",
            "LOG": state.labels.get(labels.LOG_PATH, "-") if state else "-",
        }
    return cells


def status(row: Row, now: float) -> str:
    """`Running 5m`, `Exited (1) 3s ago`, `Waiting (suspended)`, ..."""
    notes = f" ({', '.join(row.notes)})" if row.notes else ""
    return told(row.state, now) + notes


def told(state: ContainerState | None, now: float) -> str:
    """What a container does, in a few words; None: there is none yet."""
    if state is None:
        return "Waiting"
    match state.phase:
        case Phase.RUNNING | Phase.PAUSED:
            since = f" {duration_text(now - state.started_at)}" if state.started_at else ""
            return state.phase.capitalize() + since
        case Phase.EXITED:
            code = "?" if state.exit_code is None else str(state.exit_code)
            how = f"{code}, OOM" if state.oom_killed else code
            return f"Exited ({how})" + (f" {duration_text(now - state.exited_at)} ago" if state.exited_at else "")
        case _:
            return state.phase.capitalize()


def short_image(image: str) -> str:
    """An image as people write it: without Docker Hub's prefix, and with 12 digits of its digest."""
    name, at, digest = image.partition("@")
    for prefix in _DOCKER_HUB:
        name = name.removeprefix(prefix)
    return name + at + (digest.partition(":")[2][:_SHORT_DIGEST] if at else "")


def as_json(row: Row) -> dict[str, Any]:
    """A row for machines; what is not known is null."""
    state = row.state
    return {
        "namespace": row.namespace,
        "instance": row.instance,
        "uid": row.uid,
        "node": row.node or None,
        "container": row.container,
        "phase": row.phase,
        "ready": row.phase in {Phase.RUNNING, Phase.PAUSED},
        "wanted": row.wanted,
        "notes": list(row.notes),
        "restarts": row.restarts,
        "image": row.image,
        "imageDigest": (state.image_digest or None) if state else None,
        "containerID": state.id if state else None,
        "pid": (state.pid or None) if state else None,
        "exitCode": row.exit_code,
        "oomKilled": state.oom_killed if state else False,
        "createdAt": _time(state.created_at if state else None),
        "startedAt": _time(state.started_at if state else None),
        "exitedAt": _time(state.exited_at if state else None),
        "logPath": state.labels.get(labels.LOG_PATH) if state else None,
    }


def _of(known: Known, *, has_state: bool) -> Iterator[Row]:
    """The rows of one instance: its spec's containers first, then what else there is of it."""
    wanted = {c.name: c for c in known.desired.instance.spec.all_containers} if known.desired else {}
    for name in known.container_names():
        there = known.of(name)
        for state in there:
            newest = state is there[-1]
            yield _present(known, wanted.get(name), name, state, newest=newest, has_state=has_state)
        if not there and name in wanted:
            yield _absent(known, wanted[name])


def _present(
    known: Known, container: Container | None, name: str, state: ContainerState, *, newest: bool, has_state: bool
) -> Row:
    notes = list(_notes(known, container))
    if container is None and has_state:
        notes.append("unwanted")
    if not newest:
        notes.append("replaced")
    elif container is not None and known.desired is not None and not notes:
        changed = not made_from(state, container, known.desired.instance.spec)
        notes += ["updating"] if changed else []
    return Row(
        namespace=known.namespace,
        instance=known.name if known.uid else "-",
        uid=known.uid,
        container=name,
        phase=state.phase,
        image=state.image,
        node=_node(known),
        notes=tuple(notes),
        wanted=container is not None and newest if has_state else None,
        restarts=restart_count(state),
        age_from=_created(known) or state.created_at or None,
        state=state,
    )


def _absent(known: Known, container: Container) -> Row:
    return Row(
        namespace=known.namespace,
        instance=known.name,
        uid=known.uid,
        container=container.name,
        phase=WAITING,
        image=container.image,
        node=_node(known),
        notes=tuple(_notes(known, container)),
        wanted=True,
        age_from=_created(known),
    )


def _notes(known: Known, container: Container | None) -> Iterator[str]:
    yield from _instance_notes(known)
    if container is not None and container.suspend and not (known.desired and known.desired.instance.spec.suspend):
        yield "suspended"


def _instance_notes(known: Known) -> Iterator[str]:
    if known.desired is not None and known.desired.deleting:
        yield "terminating"
    elif known.desired is not None and known.desired.instance.spec.suspend:
        yield "suspended"


def _created(known: Known) -> float | None:
    stamp = known.desired.instance.metadata.creation_timestamp if known.desired else None
    return datetime.fromisoformat(stamp).timestamp() if stamp else None


def _node(known: Known) -> str:
    return known.desired.instance.spec.node_name if known.desired else ""


def _time(seconds: float | None) -> str | None:
    return timestamp(seconds) if seconds else None
