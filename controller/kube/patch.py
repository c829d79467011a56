"""What differs between two objects, as a patch. Pure."""

from collections.abc import Mapping
from typing import Any


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
