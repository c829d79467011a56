"""What the node is to have of images, and what it has had: kept on disk, so that pins hold while the API server is away."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.agent.kept import Kept
from controller.api.nodeimages import NodeImage, NodeImages

log = logging.getLogger(__name__)

FILE: Final = "nodeimages.json"
"""Below the state folder."""

Whose = tuple[str, str]
"""Namespace and name of a ContainerImage."""

Which = tuple[str, str, str]
"""A push: namespace and name of the ContainerImage, and where to."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that is done."""

    of: tuple[str, str]
    """The revision that it was of, and the digest of what was pushed."""
    digest: str
    """In the registry."""
    since: str
    """When, RFC 3339."""


class Wanted:
    """Entries of the node's NodeImages."""

    def __init__(self, path: Path) -> None:
        self._path, self._kept = path, Kept(path)
        self._had: dict[Whose, str] = {}
        self._pushed: dict[Which, Pushed] = {}
        self.entries: tuple[NodeImage, ...] = ()
        self.generation = 0
        """Of the NodeImages that they are from; 0 while the API server has not said anything to this agent."""
        self.known = False
        """Whether it is known what is wanted: from the API server, or from an earlier agent."""

    def load(self) -> None:
        """Read what an earlier agent has kept. A file that cannot be used is told: the API server still has the entries."""
        try:
            kept = self._kept.load()
            entries = tuple(NodeImage.model_validate(entry) for entry in kept.get("images", ()))
            had = {(str(namespace), str(name)): str(revision) for namespace, name, revision in kept.get("had", ())}
            pushed = {
                (str(namespace), str(name), str(target)): Pushed((str(revision), str(source)), str(digest), str(since))
                for namespace, name, target, revision, source, digest, since in kept.get("pushed", ())
            }
        except (ValueError, TypeError) as exc:
            log.warning("%s: which images are pinned is known when the API server answers: %s", self._path, exc)
            return
        self.entries, self._had, self._pushed, self.known = entries, had, pushed, bool(kept)

    def put(self, obj: dict[str, Any]) -> None:
        """Take in the NodeImages as the API server shows it. Raises `pydantic.ValidationError`."""
        found = NodeImages.model_validate(obj)
        first, self.known, self.generation = not self.known, True, found.metadata.generation
        if found.spec.images != self.entries or first:
            self.entries = found.spec.images
            theirs = {(entry.namespace, entry.name) for entry in self.entries}
            self._had = {whose: revision for whose, revision in self._had.items() if whose in theirs}
            asked = {(entry.namespace, entry.name, push.image) for entry in self.entries for push in entry.push}
            self._pushed = {which: done for which, done in self._pushed.items() if which in asked}
            self._kept.changed()

    def had(self, entry: NodeImage) -> bool:
        """Whether the node has had it in this revision."""
        return self._had.get((entry.namespace, entry.name)) == entry.revision

    def has(self, entry: NodeImage) -> None:
        """It has it now."""
        if not self.had(entry):
            self._had[entry.namespace, entry.name] = entry.revision
            self._kept.changed()

    def pushed(self, which: Which) -> Pushed | None:
        """What was pushed there last, for as long as the node is asked to."""
        return self._pushed.get(which)

    def has_pushed(self, which: Which, done: Pushed) -> None:
        """It is pushed now."""
        self._pushed[which] = done
        self._kept.changed()

    async def keep_for_ever(self) -> None:
        """Write changes to disk."""
        await self._kept.keep_for_ever(self._table)

    def _table(self) -> dict[str, Any]:
        return {
            "images": [entry.to_json() for entry in self.entries],
            "had": [[*whose, revision] for whose, revision in self._had.items()],
            "pushed": [[*which, *done.of, done.digest, done.since] for which, done in self._pushed.items()],
        }
