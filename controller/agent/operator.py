"""Kopf wiring of the agent, thin.

Instances, namespaces' labels and RuntimeClasses are taken in, the RuntimeNode goes to the heartbeat.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from controller.agent.cleanup import Cleanup
from controller.agent.levels import Levels
from controller.agent.report.heartbeat import Heartbeat
from controller.agent.report.writer import StatusWriter
from controller.agent.runtimeclasses import RuntimeClasses
from controller.agent.store import Store
from controller.kube import definitions
from controller.kube.client import Client
from controller.kube.connection import Connection
from controller.kube.informer import Informer, Watch
from controller.kube.resources import INSTANCES, NAMESPACES, NODES, RUNTIME_CLASSES

log = logging.getLogger(__name__)


class AgentOperator:
    """Feeds the agent from the API server."""

    def __init__(
        self,
        node: str,
        store: Store,
        levels: Levels,
        classes: RuntimeClasses,
        writer: StatusWriter,
        heartbeat: Heartbeat,
        cleanup: Cleanup,
        definition_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._writer, self._heartbeat, self._cleanup = store, writer, heartbeat, cleanup
        self._definition_changed = definition_changed
        self._definition = definitions.watch(INSTANCES)
        self._levels, self._labels = levels, Watch(NAMESPACES)
        self._classes, self._runtimes = classes, Watch(RUNTIME_CLASSES)
        self._instances = Watch(INSTANCES, field_selector=f"spec.nodeName={node}")
        self._node = Watch(NODES, field_selector=f"metadata.name={node}")
        self._from_disk: frozenset[str] = frozenset()
        self._brought: dict[Watch, set[str]] = {self._labels: set(), self._runtimes: set()}
        """Uids of the namespaces and classes that were brought."""

    def known_from_disk(self, uids: Iterable[str]) -> None:
        """These instances are known from before the start; whether they still exist, the first sync tells."""
        self._from_disk = frozenset(uids)

    def informer(self, connection: Connection, client: Client) -> Informer:
        """The informer that feeds it."""
        watches = (self._labels, self._runtimes, self._instances, self._node, self._definition)
        return Informer(connection, client, watches, self.deliver, self.synced)

    def deliver(self, watch: Watch, kind: str, obj: dict[str, Any]) -> None:
        """Take in one change."""
        if watch == self._labels:
            self._taken_in(watch, kind, obj, self._levels)
        elif watch == self._runtimes:
            self._taken_in(watch, kind, obj, self._classes)
        elif watch == self._node:
            if kind == "DELETED":
                self._heartbeat.lost()
            else:
                self._heartbeat.seen(obj)
        elif watch == self._definition:
            self._definition_changed()
        elif kind == "DELETED":
            self._store.gone(obj["metadata"]["uid"])
        else:
            self.seen(obj)

    def _taken_in(self, watch: Watch, kind: str, obj: dict[str, Any], table: Levels | RuntimeClasses) -> None:
        if kind == "DELETED":
            self._brought[watch].discard(obj["metadata"]["uid"])
            table.gone(obj["metadata"]["name"])
        else:
            self._brought[watch].add(obj["metadata"]["uid"])
            table.put(obj)

    def seen(self, obj: dict[str, Any]) -> None:
        """Take in one instance as the API server shows it."""
        meta = obj["metadata"]
        try:
            self._store.put(obj)
            if meta["uid"] in self._store:
                self._writer.known(meta["uid"], meta["namespace"], meta["name"], obj.get("status") or {})
        except ValidationError as exc:
            log.warning("instance %s/%s is not understood and left as it is: %s", meta["namespace"], meta["name"], exc)

    def answered(self, obj: dict[str, Any]) -> None:
        """Take in the answer to a call of our own, unless the watch, which is in order, has brought something newer."""
        known = self._store.get(obj["metadata"]["uid"])
        if known is None or obj["metadata"].get("generation", 0) >= known.instance.metadata.generation:
            self.seen(obj)

    def synced(self, watch: Watch, exists: frozenset[str]) -> None:
        """The API server has said what exists: what the store has from earlier and is not among it is gone."""
        if watch == self._definition:
            self._definition_changed()  # Kopf watches one; another may have changed alone
        for mine, table in ((self._labels, self._levels), (self._runtimes, self._classes)):
            if watch == mine and exists <= self._brought[watch]:
                table.complete()
        if watch != self._instances:
            return
        for uid in self._from_disk - exists:
            self._store.gone(uid)
        self._cleanup.confirm(exists)
