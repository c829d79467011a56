"""What there is on this node: the desired instances on disk, joined with the containers in the runtime.

Only read: no folder is made, no lock is taken, and neither the agent nor the API server is asked, so it holds while both are
away.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from controller.agent.decide.observation import Desired, restart_count
from controller.api import labels
from controller.api.instance import ContainerInstance
from controller.cli.errors import CommandError
from controller.runtime.port import ContainerState

STORE: Final = "instances"
"""Folder of the agent's store below its state folder (`controller/agent/store.py`)."""


@dataclass(frozen=True, slots=True)
class Known:
    """An instance that left a trace on this node: it is wanted, it has containers, or there are logs of it."""

    uid: str
    """Empty for a container that no agent made."""
    namespace: str
    name: str
    desired: Desired | None = None
    """None when the agent does not want it here (any more)."""
    containers: tuple[ContainerState, ...] = ()
    log_dir: Path | None = None

    @property
    def full_name(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def container_names(self) -> tuple[str, ...]:
        """Names of its containers: those of the spec, in their order, its init containers, and what else there is."""
        spec = self.desired.instance.spec if self.desired else None
        names = [c.name for c in spec.containers + spec.init_containers] if spec else []
        names += sorted(container_name(c) for c in self.containers)
        if self.log_dir is not None and self.log_dir.is_dir():
            names += sorted(p.name for p in self.log_dir.iterdir() if p.is_dir())
        return tuple(dict.fromkeys(names))

    def of(self, container: str) -> tuple[ContainerState, ...]:
        """The containers of that name, the newest last."""
        return tuple(sorted((c for c in self.containers if container_name(c) == container), key=restart_count))

    def newest(self, container: str) -> ContainerState | None:
        """The newest container of that name."""
        return next(reversed(self.of(container)), None)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that is known, sorted by name."""

    instances: tuple[Known, ...]
    has_state: bool
    """Whether an agent has ever kept its state where it was looked for; without it nobody can say what is wanted."""


def container_name(container: ContainerState) -> str:
    """Name of a container in its instance's spec; its id when no agent made it."""
    return container.labels.get(labels.CONTAINER) or container.id


def read_state(state_dir: Path) -> dict[str, Desired] | None:
    """The desired instances by uid; None when no agent keeps its state there.

    Raises:
        CommandError: when it may not be read.
    """
    folder = state_dir / STORE
    try:
        if not folder.is_dir():
            return None
        found = [desired for path in sorted(folder.glob("*.json")) if (desired := _read(path)) is not None]
    except PermissionError as exc:
        raise CommandError(f"{exc.filename or folder} may not be read: run it as root") from exc
    return {desired.uid: desired for desired in found}


def take(desired: Mapping[str, Desired] | None, containers: Iterable[ContainerState], log_dir: Path | None = None) -> Inventory:
    """Join what is wanted with what there is. With `log_dir`, instances of which only logs are left are in it, too."""
    mine: dict[str, list[ContainerState]] = {}
    strangers: list[Known] = []
    for container in containers:
        if uid := container.labels.get(labels.INSTANCE_UID):
            mine.setdefault(uid, []).append(container)
        else:
            strangers.append(Known("", "", container.id, containers=(container,)))
    logs = dict(_log_dirs(log_dir)) if log_dir is not None else {}
    wanted = desired or {}
    uids = wanted.keys() | mine.keys() | logs.keys()
    known = [_known(uid, wanted.get(uid), mine.get(uid, []), logs.get(uid)) for uid in uids] + strangers
    return Inventory(tuple(sorted(known, key=lambda k: (k.namespace, k.name, k.uid))), has_state=desired is not None)


def _read(path: Path) -> Desired | None:
    """One file of the store; None when it went away meanwhile or is not understood (the agent says so in its log)."""
    try:
        kept = json.loads(path.read_bytes())
        return Desired(ContainerInstance.model_validate(kept["object"]), gone=bool(kept["gone"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, ValidationError):
        return None


def _log_dirs(log_dir: Path) -> Iterator[tuple[str, tuple[str, str, Path]]]:
    """uid, and namespace, name and folder, of every instance that has logs: `<namespace>_<name>_<uid>`."""
    try:
        folders = sorted(log_dir.iterdir()) if log_dir.is_dir() else []
    except PermissionError as exc:
        raise CommandError(f"{log_dir} may not be read: run it as root") from exc
    for folder in folders:
        namespace, _, rest = folder.name.partition("_")
        name, _, uid = rest.rpartition("_")
        if namespace and name and uid:
            yield uid, (namespace, name, folder)


def _known(uid: str, desired: Desired | None, containers: list[ContainerState], logs: tuple[str, str, Path] | None) -> Known:
    if desired is not None:
        namespace, name = desired.instance.metadata.namespace, desired.instance.metadata.name
    elif containers:
        found = containers[0].labels
        namespace, name = found.get(labels.INSTANCE_NAMESPACE, ""), found.get(labels.INSTANCE_NAME, "")
    else:
        assert logs is not None
        namespace, name, _ = logs
    return Known(uid, namespace, name, desired, tuple(containers), logs[2] if logs else None)
