"""The desired instances of this node, kept on disk, so that the node needs no API server to do its work.

Kopf's events only feed this store; supervisors live on it. Each instance is one JSON file (metadata and spec, no status),
readable by root only, written beside and renamed, so that a reader or a crash never meets half a file. A killed agent loses
nothing, since the page cache outlives it; against power loss the files are flushed in the background, within a second or so.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from controller import disk
from controller.agent import metrics
from controller.agent.decide.observation import Desired
from controller.api.instance import ContainerInstance
from controller.api.labels import FINALIZER

log = logging.getLogger(__name__)

Raw = dict[str, Any]

FLUSH_SECONDS: Final = 0.5
"""How long written files are gathered before they are flushed together."""

_MOST_FINISHED: Final = 4096
"""How many finished uids are remembered."""


class Store:
    """Desired instances by uid, in memory and on disk."""

    def __init__(self, folder: Path, changed: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._changed = changed
        self._desired: dict[str, Desired] = {}
        self._text: dict[str, str] = {}
        """Metadata and spec of each as JSON, in which they take a tenth of what they take as dictionaries."""
        self._finished: dict[str, None] = {}
        self._unflushed: set[Path] = set()
        self._flush_wanted = asyncio.Event()

    def load(self) -> None:
        """Read what an earlier agent has kept. A file that cannot be used is told and skipped: the API server still has it."""
        ContainerInstance.model_rebuild()  # its validator is built here, and not when the first instance is waited for
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(self._folder.iterdir()):
            if path.suffix != ".json":
                path.unlink()
                continue
            try:
                kept = json.loads(path.read_bytes())
                desired = Desired(ContainerInstance.model_validate(kept["object"]), gone=bool(kept["gone"]), kept=True)
            except (ValueError, KeyError, TypeError, ValidationError) as exc:
                log.warning("state file %s cannot be used and is left out until the API server answers: %s", path, exc)
                continue
            self._desired[desired.uid], self._text[desired.uid] = desired, _json(kept["object"])

    def __iter__(self) -> Iterator[Desired]:
        """All desired instances."""
        return iter(tuple(self._desired.values()))

    def __contains__(self, uid: str) -> bool:
        """Whether an instance of that uid is wanted here, or still being torn down."""
        return uid in self._desired

    def get(self, uid: str) -> Desired | None:
        """The instance of that uid, or None."""
        return self._desired.get(uid)

    def put(self, obj: Raw) -> None:
        """Take in an object as the API server shows it. Only a change of metadata or spec that matters wakes anybody.

        A uid that is gone never comes back: what is still said of it is late.

        Raises:
            pydantic.ValidationError: when the object is not a ContainerInstance of this version.
        """
        metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
        slim = {"metadata": metadata, "spec": obj["spec"]}
        uid = metadata["uid"]
        text, before = _json(slim), self._text.get(uid)
        if text == before or uid in self._finished or (uid in self._desired and self._desired[uid].gone):
            return
        old: Raw | None = json.loads(before) if before is not None else None
        kept = old is not None and self._desired[uid].kept and old["spec"] == slim["spec"]
        self._desired[uid], self._text[uid] = Desired(ContainerInstance.model_validate(slim), kept=kept), text
        if old is None or _essence(old) != _essence(slim):
            self._keep(uid)
            self._changed(uid)

    def gone(self, uid: str) -> None:
        """The object is no longer in the API: everything of it must go."""
        desired = self._desired.get(uid)
        if desired is not None and not desired.gone:
            self._desired[uid] = Desired(desired.instance, gone=True)
            self._keep(uid)
            self._changed(uid)

    def remove(self, uid: str) -> None:
        """Nothing of it is left on the node: forget it. News of it that are still on their way are late."""
        self._finished[uid] = None
        while len(self._finished) > _MOST_FINISHED:
            del self._finished[next(iter(self._finished))]
        self._desired.pop(uid, None)
        self._text.pop(uid, None)
        path = self._path(uid)
        self._unflushed.discard(path)
        path.unlink(missing_ok=True)

    async def flush_for_ever(self) -> None:
        """Flush written files to disk, in a thread, so that nobody waits for it."""
        while True:
            await self._flush_wanted.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._flush_wanted.clear()
            paths, self._unflushed = self._unflushed, set()
            try:
                await asyncio.to_thread(disk.flush, self._folder, paths)
            except OSError as exc:
                log.error("state files in %s cannot be flushed: %s", self._folder, exc)  # noqa: TRY400 - the disk is no defect

    def _keep(self, uid: str) -> None:
        """Write it down; a disk that is full must not keep the node from its work, and the API server has it, too."""
        try:
            self._write(uid)
        except OSError as exc:
            metrics.STATE_FAILURES.inc()
            log.error("instance %s cannot be kept in %s: %s", uid, self._folder, exc)  # noqa: TRY400 - the disk is no defect

    def _write(self, uid: str) -> None:
        path = self._path(uid)
        disk.replace(path, f'{{"gone":{_json(self._desired[uid].gone)},"object":{self._text[uid]}}}')
        self._unflushed.add(path)
        self._flush_wanted.set()

    def _path(self, uid: str) -> Path:
        return self._folder / f"{uid}.json"


def _json(value: Any) -> str:
    """Equal texts are equal values: the order of keys says nothing."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _essence(raw: Raw) -> tuple[Any, ...]:
    """What of an object the node acts upon; the rest (resourceVersion, labels, owners) is only kept current in memory.

    That the agent's finalizer is on is of it, as long as the object is to stay: when somebody has taken it off, it is put back.
    Labels and annotations are, where a volume tells of them.
    """
    metadata = raw["metadata"]
    deleted = metadata.get("deletionTimestamp")
    held = deleted is not None or FINALIZER in (metadata.get("finalizers") or ())
    volumes = raw["spec"].get("volumes") or ()
    told = any("downwardAPI" in volume or "projected" in volume for volume in volumes)
    words = (metadata.get("labels"), metadata.get("annotations")) if told else ()
    return raw["spec"], metadata.get("generation"), deleted, held, words
