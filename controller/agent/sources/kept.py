"""Objects that were read, kept in a folder for the next agent: one file each, readable by root only."""

import base64
import binascii
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from controller import disk
from controller.agent import metrics
from controller.agent.sources.port import Found, Kind, Ref

log = logging.getLogger(__name__)


class Kept:
    """The kept objects of one kind."""

    def __init__(self, kind: Kind, folder: Path, prepare: Callable[[], None], emptied: Callable[[], None]) -> None:
        """Prepare.

        Args:
            kind: of the objects.
            folder: where they are kept.
            prepare: called before each write, to see to it that the folder is where it has to be.
            emptied: called when the last one has gone.
        """
        self._kind, self._folder, self._prepare, self._emptied = kind, folder, prepare, emptied
        self._there: set[Ref] = set()

    def load(self) -> dict[Ref, Found]:
        """Read what an earlier agent has kept. What cannot be used is told and removed: it is read anew from the API server."""
        found: dict[Ref, Found] = {}
        for path in self._folder.glob("*.new"):  # a write that was cut off
            path.unlink(missing_ok=True)
        for path in sorted(self._folder.glob("*.json")):
            try:
                kept = json.loads(path.read_bytes())
                ref = Ref(self._kind, str(kept["namespace"]), str(kept["name"]))
                found[ref] = Found(_decoded(kept["data"]), _decoded(kept["binary"]), str(kept.get("uid", "")))
            except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, OSError) as exc:
                log.warning("%s cannot be used and is removed: %s", path, type(exc).__name__)  # its text may hold a value
                path.unlink(missing_ok=True)
        self._there = set(found)
        return found

    def put(self, ref: Ref, found: Found) -> None:
        """Keep one. A folder that takes nothing must not keep the node from its work: the API server has it, too."""
        body = {
            "namespace": ref.namespace,
            "name": ref.name,
            "uid": found.uid,
            "data": _encoded(found.data),
            "binary": _encoded(found.binary),
        }
        try:
            self._prepare()
            disk.replace(self._path(ref), json.dumps(body, separators=(",", ":")))
        except OSError as exc:
            metrics.STATE_FAILURES.inc()
            log.error("%s %s/%s cannot be kept in %s: %s", ref.kind, ref.namespace, ref.name, self._folder, exc)  # noqa: TRY400
        else:
            self._there.add(ref)

    def drop(self, ref: Ref) -> None:
        """Forget one; that it is not there is success."""
        if ref not in self._there:
            return
        self._there.discard(ref)
        self._path(ref).unlink(missing_ok=True)
        if not self._there:
            self._emptied()

    def _path(self, ref: Ref) -> Path:
        """Names of objects may be longer than those of files."""
        return self._folder / f"{hashlib.sha256(f'{ref.namespace}/{ref.name}'.encode()).hexdigest()[:32]}.json"


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def _decoded(data: Mapping[str, str]) -> dict[str, bytes]:
    return {key: base64.b64decode(value, validate=True) for key, value in data.items()}
