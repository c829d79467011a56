"""Which Pod Security level holds in which namespace: of each namespace only the two labels that the agent needs.

They are kept on disk beside the desired instances, so that what may run is known when the API server is away at boot. What was
never seen is not known, and nothing is started in such a namespace.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from controller import disk
from controller.api.podsecurity.levels import ENFORCE, ENFORCE_VERSION, LevelVersion, enforced

log = logging.getLogger(__name__)

KEEP_SECONDS: Final = 0.5
"""Pause between two writes; what changes meanwhile is written together."""

_MATTER: Final = (ENFORCE, ENFORCE_VERSION)


class Levels:
    """The level that is enforced in each namespace."""

    def __init__(self, path: Path, default: LevelVersion, changed: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            path: the file that they are kept in.
            default: what holds in a namespace without labels.
            changed: called with the name of a namespace whose level is known now, or has changed.
        """
        self._path, self._default, self._changed = path, default, changed
        self._labels: dict[str, dict[str, str]] = {}
        self._unconfirmed: set[str] = set()
        """Namespaces known from disk only."""
        self._dirty = asyncio.Event()

    def load(self) -> None:
        """Read what an earlier agent has kept. A file that cannot be used is told: the API server still has the labels."""
        try:
            kept = json.loads(self._path.read_bytes())
            self._labels = {str(name): {str(k): str(v) for k, v in labels.items()} for name, labels in kept.items()}
            self._unconfirmed = set(self._labels)
        except FileNotFoundError:
            return
        except (ValueError, AttributeError, OSError) as exc:
            log.warning("%s cannot be used; nothing new is started until the API server answers: %s", self._path, exc)

    def level(self, namespace: str) -> LevelVersion | None:
        """What is enforced there; None when its labels were never seen."""
        labels = self._labels.get(namespace)
        return None if labels is None else enforced(labels, self._default)

    def put(self, obj: dict[str, Any]) -> None:
        """Take in a namespace as the API server shows it."""
        metadata = obj["metadata"]
        name, labels = metadata["name"], metadata.get("labels") or {}
        matter = {label: labels[label] for label in _MATTER if label in labels}
        self._unconfirmed.discard(name)
        if self._labels.get(name) == matter:
            return
        self._labels[name] = matter
        self._dirty.set()
        self._changed(name)

    def gone(self, name: str) -> None:
        """The namespace does not exist any more: a namesake has labels of its own."""
        self._unconfirmed.discard(name)
        if self._labels.pop(name, None) is not None:
            self._dirty.set()

    def complete(self) -> None:
        """All namespaces that exist have been taken in: of those known from disk, the others went while no agent watched."""
        for name in tuple(self._unconfirmed):
            self.gone(name)

    async def keep_for_ever(self) -> None:
        """Write changes to disk: the first at once, those that follow it together; flushed in a thread: nobody waits for it."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                disk.replace(self._path, json.dumps(self._labels, separators=(",", ":")))
                await asyncio.sleep(KEEP_SECONDS)
                await asyncio.to_thread(disk.flush, self._path.parent, [self._path])
            except OSError as exc:
                log.error("labels of namespaces cannot be kept in %s: %s", self._path, exc)  # noqa: TRY400 - the disk is no defect
