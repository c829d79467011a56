"""Changes of objects, as merge patches (RFC 7386). Pure."""

from collections.abc import Mapping
from typing import Any

from controller.api.labels import FINALIZER


def delta(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7386) that turns `old` into `new`; empty when they are equal."""
    change: dict[str, Any] = {}
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            change[key] = delta(before, after)
        else:
            change[key] = after
    return change


def without_finalizer(instance: Mapping[str, Any]) -> dict[str, Any] | None:
    """The merge patch that takes the agent's finalizer off exactly this version of an instance; None when it is not on."""
    meta = instance["metadata"]
    finalizers = meta.get("finalizers") or []
    if FINALIZER not in finalizers:
        return None
    rest = [f for f in finalizers if f != FINALIZER]
    return {"metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "finalizers": rest or None}}
