"""Which Pod Security level holds in which namespace: of each namespace only the two labels that the agent needs.

They are kept on disk beside the desired instances, so that what may run is known when the API server is away at boot. What was
never seen is not known, and nothing is started in such a namespace. What is known from disk alone holds for the specs that were
kept with it: it may have been tightened since, so what the API server has brought later waits until the namespace has come.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from controller.agent.kept import Kept
from controller.api.podsecurity.levels import ENFORCE, ENFORCE_VERSION, LevelVersion, enforced

log = logging.getLogger(__name__)

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
        self._kept, self._default, self._changed = Kept(path), default, changed
        self._labels: dict[str, dict[str, str]] = {}
        self._unconfirmed: set[str] = set()
        """Namespaces known from disk only."""

    def load(self) -> None:
        """Read what an earlier agent has kept. A file that cannot be used is told: the API server still has the labels."""
        try:
            kept = self._kept.load().items()
            self._labels = {str(name): {str(k): str(v) for k, v in labels.items()} for name, labels in kept}
            self._unconfirmed = set(self._labels)
        except (ValueError, AttributeError) as exc:
            log.warning("nothing new is started until the API server answers: %s", exc)

    def level(self, namespace: str, *, kept: bool = True) -> LevelVersion | None:
        """What is enforced there; None when its labels were not seen, or, for a spec that was not `kept`, not yet."""
        labels = self._labels.get(namespace)
        if labels is None or (not kept and namespace in self._unconfirmed):
            return None
        return enforced(labels, self._default)

    def put(self, obj: dict[str, Any]) -> None:
        """Take in a namespace as the API server shows it."""
        metadata = obj["metadata"]
        name, labels = metadata["name"], metadata.get("labels") or {}
        matter = {label: labels[label] for label in _MATTER if label in labels}
        news, confirmed = self._labels.get(name) != matter, name in self._unconfirmed
        self._unconfirmed.discard(name)
        self._labels[name] = matter
        if news:
            self._kept.changed()
        if news or confirmed:
            self._changed(name)

    def gone(self, name: str) -> None:
        """The namespace does not exist any more: a namesake has labels of its own."""
        self._unconfirmed.discard(name)
        if self._labels.pop(name, None) is not None:
            self._kept.changed()

    def complete(self) -> None:
        """All namespaces that exist have been taken in: of those known from disk, the others went while no agent watched."""
        for name in tuple(self._unconfirmed):
            self.gone(name)

    async def keep_for_ever(self) -> None:
        """Write changes to disk."""
        await self._kept.keep_for_ever(lambda: self._labels)
