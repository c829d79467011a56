"""Kopf's settings: it lists and watches without end, and writes nothing."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import kopf

from controller.kube.pauses import Forever

if TYPE_CHECKING:
    from controller.kube.informer import Watch


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keep no last-handled copy: nothing is compared, and nothing is written."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        """Nothing to store."""


class _NoProgress(kopf.ProgressStorage):
    """Keep no handler progress: there are no handlers that need it."""

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        """Nothing to store."""

    def purge(self, **_: Any) -> None:
        """Nothing to purge."""

    def touch(self, **_: Any) -> None:
        """Nothing to touch."""

    def clear(self, *, essence: Any) -> Any:
        return essence


def settings(watches: "Iterable[Watch]") -> kopf.OperatorSettings:
    """Those of an operator that watches this, for ever, and writes nothing."""
    found = kopf.OperatorSettings()
    selectors = found.watching.field_selectors
    for watch in watches:
        if watch.field_selector:
            resource = watch.resource
            selectors[resource.group, resource.version, resource.plural] = watch.field_selector
    found.watching.connect_timeout = found.networking.connect_timeout = 5
    found.networking.request_timeout = 30
    found.networking.error_backoffs = Forever()
    found.persistence.diffbase_storage, found.persistence.progress_storage = _NoDiffBase(), _NoProgress()
    found.posting.enabled = False
    found.peering.standalone = True
    found.queueing.idle_timeout = 0.5
    found.process.ultimate_exiting_timeout = None
    return found
