"""Which handler each RuntimeClass of the cluster asks for.

They are kept on disk beside the desired instances, so that the node knows them when the API server is away at boot.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from controller.agent.decide.observation import RuntimeChoice
from controller.agent.decide.runtimeclass import choose
from controller.agent.kept import Kept
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
        self._handlers: dict[str, str] = {}
        self._unconfirmed: set[str] = set()
        """Classes known from disk only."""
        self._complete = False

    def load(self) -> None:
        """Read what an earlier agent has kept. A file that cannot be used is told: the API server still has the classes."""
        try:
            self._handlers = {str(name): str(handler) for name, handler in self._kept.load().items()}
        except ValueError as exc:
            log.warning("%s; instances with a runtimeClassName wait for the API server", exc)
        self._unconfirmed = set(self._handlers)

    def choose(self, name: str | None, containers: Iterable[ContainerState]) -> RuntimeChoice:
        """By which handler further containers of an instance run."""
        return choose(name, containers, self._handlers, self._node, complete=self._complete)

    def put(self, obj: dict[str, Any]) -> None:
        """Take in a class as the API server shows it."""
        name, handler = obj["metadata"]["name"], str(obj["handler"])
        self._unconfirmed.discard(name)
        if self._handlers.get(name) != handler:
            self._handlers[name] = handler
            self._kept.changed()
            self._changed(name)

    def gone(self, name: str) -> None:
        """There is no such class any more."""
        self._unconfirmed.discard(name)
        if self._handlers.pop(name, None) is not None:
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
        await self._kept.keep_for_ever(lambda: self._handlers)
