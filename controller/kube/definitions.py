"""Are the installed definitions those of this release? Looked at from the start on, and whenever one of them changes.

What differs is told in three ways: in the log and by an Event when it begins, and by a condition while it lasts (`message`).
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from controller import __version__
from controller.api.base import GROUP
from controller.api.drift import Drift, compare, explain
from controller.api.reasons import Reason
from controller.kube import events
from controller.kube.client import Client
from controller.kube.errors import ApiFailure, ApiForbidden, ApiUnavailable
from controller.kube.informer import Watch
from controller.kube.pauses import Forever
from controller.kube.resources import DEFINITIONS, Resource

log = logging.getLogger(__name__)

AFTER_SECONDS: Final = (2.0, 8.0, 20.0)
"""Pauses after a change, each with a look at all definitions, as long as looks find another one changed: one is watched, and
they are renewed one after another, on a busy cluster slowly."""

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stale:
    """A definition that differs from this release's own."""

    name: str
    uid: str
    message: str

    @property
    def reference(self) -> dict[str, str]:
        """The definition, as an Event names it."""
        kind = "CustomResourceDefinition"
        return {"apiVersion": DEFINITIONS.api_version, "kind": kind, "name": self.name, "uid": self.uid}


class DefinitionCheck:
    """Knows which definitions differ from this release's own, and tells when that begins and ends."""

    def __init__(
        self,
        client: Client,
        half: str,
        resources: Sequence[Resource],
        changed: Callable[[], None],
        about: Callable[[Stale], dict[str, str]] = lambda stale: stale.reference,
        host: str = "",
    ) -> None:
        """Prepare it.

        Args:
            client: to read the definitions with.
            half: `agent` or `manager`, for messages.
            resources: whose definitions matter to this half.
            changed: called when `message` has changed.
            about: the object that the Event is about.
            host: the node that this half runs on, for the Event.
        """
        self._client, self._half, self._changed, self._about, self._host = client, half, changed, about, host
        self._names = tuple(_name(resource) for resource in resources)
        self._looked_at: dict[str, tuple[str, int]] = {}
        self._stale: dict[str, Stale] = {}
        self._untold: set[str] = set()
        self._woken = asyncio.Event()
        self._woken.set()

    @property
    def message(self) -> str:
        """What is stale, for a condition; empty while nothing is, or while it is not known."""
        return "; ".join(self._stale[name].message for name in sorted(self._stale))

    def wake(self) -> None:
        """Look again: a definition may have changed."""
        self._woken.set()

    async def run(self) -> None:
        """Look for ever: at the start, and some moments after each `wake`."""
        while True:
            await self._woken.wait()
            for pause in AFTER_SECONDS if self._looked_at else (0.0,):
                self._woken.clear()
                if await self._woken_within(pause) or not await self._look_until_answered():
                    break

    async def _woken_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._woken.wait()
        except TimeoutError:
            return False

    async def _look_until_answered(self) -> bool:
        """Look at all, and tell; whether any was another one than before."""
        before = dict(self._looked_at)
        for pause in Forever():
            try:
                await self._look()
                await self._tell()
                break
            except ApiUnavailable as exc:
                log.debug("definitions: %s", exc)
            await asyncio.sleep(pause)
        return self._looked_at != before

    async def _look(self) -> None:
        before = self.message
        try:
            for name in self._names:
                try:
                    await self._look_at(name)
                except ApiForbidden as exc:
                    log.warning("whether the definition %s is that of this release cannot be told: %s", name, exc)
        finally:  # what was found before the API server went away is told, too
            if self.message != before:
                self._changed()

    async def _look_at(self, name: str) -> None:
        """One definition: only its metadata is fetched when it was looked at before and has not changed since."""
        selector = f"metadata.name={name}"
        listed = await self._client.list_metadata(DEFINITIONS, field_selector=selector)
        if not listed:
            self._conclude(name, None)  # not there at all: the informer says so, and waits for it
            return
        if _version(listed[0]) == self._looked_at.get(name):
            return
        for definition in await self._client.list(DEFINITIONS, field_selector=selector):
            drift = _drift(name, definition)
            if not drift and name in self._stale:
                log.info("the definition %s fits this release again", name)
            told = explain(drift, f"this {self._half} ({__version__})")
            self._conclude(name, Stale(name, definition["metadata"]["uid"], told) if drift else None)
            self._looked_at[name] = _version(definition)

    def _conclude(self, name: str, stale: Stale | None) -> None:
        before = self._stale.get(name)
        if stale == before:
            return
        if stale is None:
            del self._stale[name]
            self._untold.discard(name)
            return
        self._stale[name] = stale
        self._untold.add(name)
        log.error("%s", stale.message)

    async def _tell(self) -> None:
        """An Event for each that was not told yet."""
        for name in sorted(self._untold):
            stale = self._stale[name]
            component = f"moorage-{self._half}"
            try:
                await events.warn(
                    self._client, self._about(stale), Reason.SCHEMA_STALE, stale.message, component, host=self._host
                )
            except ApiUnavailable:
                raise
            except ApiFailure as exc:
                log.warning("no Event tells that the definition %s is stale: %s", name, exc)
            self._untold.discard(name)


def watch(resource: Resource) -> Watch:
    """What to watch to hear of changes of a definition."""
    return Watch(DEFINITIONS, field_selector=f"metadata.name={_name(resource)}")


def _name(resource: Resource) -> str:
    return f"{resource.plural}.{GROUP}"


def _version(definition: Object) -> tuple[str, int]:
    meta = definition["metadata"]
    return str(meta["uid"]), int(meta.get("generation") or 0)


def own_fingerprints(name: str) -> dict[str, str]:
    """This release's fingerprints of one definition: read when it is compared, which is seldom, and not kept."""
    found: dict[str, dict[str, str]] = json.loads(files("controller.api").joinpath("fingerprints.json").read_bytes())
    return found[name]


def _drift(name: str, definition: Object) -> Drift:
    return compare(name, own_fingerprints(name), definition)
