"""Which handler each RuntimeClass of the cluster asks for, and what it costs.

They are kept on disk beside the desired instances, so that the node knows them when the API server is away at boot.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from controller.agent.decide.observation import RuntimeChoice
from controller.agent.decide.runtimeclass import choose
from controller.agent.kept import Kept
from controller.api.amounts import NOTHING, Amounts
from controller.api.runtimeclass import RuntimeClass
from controller.runtime.port import ContainerState

log = logging.getLogger(__name__)


class RuntimeClasses:
    """The classes, and the handlers of this node."""

    def __init__(self, path: Path, handlers: Sequence[str], changed: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            path: the file that they are kept in.
            handlers: names of the handlers that the node has.
            changed: called with the name of a class that came, changed or went; empty when all are known.
        """
        self._kept, self._node, self._changed = Kept(path), tuple(handlers), changed
        self._classes: dict[str, RuntimeClass] = {}
        self._unconfirmed: set[str] = set()
        """Classes known from disk only."""
        self._complete = False

    def load(self) -> None:
        """Read what an earlier agent has kept. A file that cannot be used is told: the API server still has the classes."""
        try:
            self._classes = {name: RuntimeClass.model_validate(kept) for name, kept in self._kept.load().items()}
        except ValueError as exc:
            log.warning("%s; instances with a runtimeClassName wait for the API server", exc)
        self._unconfirmed = set(self._classes)

    def choose(self, name: str | None, containers: Iterable[ContainerState]) -> RuntimeChoice:
        """By which handler further containers of an instance run."""
        handlers = {known: found.handler for known, found in self._classes.items()} if name is not None else {}
        return choose(name, containers, handlers, self._node, complete=self._complete)

    def overhead(self, name: str | None) -> Amounts:
        """What an instance of this class takes beside what its containers ask for; nothing while it is not known."""
        found = self._classes.get(name) if name is not None else None
        return NOTHING if found is None else found.costs()

    def put(self, obj: dict[str, Any]) -> None:
        """Take in a class as the API server shows it."""
        name, found = obj["metadata"]["name"], _essence(obj)
        self._unconfirmed.discard(name)
        if self._classes.get(name) != found:
            self._classes[name] = found
            self._kept.changed()
            self._changed(name)

    def gone(self, name: str) -> None:
        """There is no such class any more."""
        self._unconfirmed.discard(name)
        if self._classes.pop(name, None) is not None:
            self._kept.changed()
            self._changed(name)

    def complete(self) -> None:
        """All classes that exist have been taken in: of those known from disk, the others went while no agent watched."""
        for name in tuple(self._unconfirmed):
            self.gone(name)
        if not self._complete:
            self._complete = True
            self._changed("")

    async def keep_for_ever(self) -> None:
        """Write changes to disk."""
        await self._kept.keep_for_ever(lambda: {name: _kept(found) for name, found in self._classes.items()})


def _essence(obj: dict[str, Any]) -> RuntimeClass:
    """What of a class matters on a node; where it is scheduled is the manager's business."""
    return RuntimeClass.model_validate({"handler": obj["handler"], "overhead": obj.get("overhead") or {}})


def _kept(found: RuntimeClass) -> dict[str, Any]:
    return found.model_dump(mode="json", by_alias=True, include={"handler", "overhead"}, exclude_defaults=True)
