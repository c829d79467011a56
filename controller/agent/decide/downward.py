"""What a container can be told of its instance: the downward API. Pure.

Source: kubernetes.io, "Downward API" (docs/concepts/workloads/pods/downward-api/).
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from controller.agent.decide.given import Given
from controller.api import quantity
from controller.api.environment import ResourceFieldSelector
from controller.runtime.port import InvalidConfig

_SINGLE: Final = re.compile(r"metadata\.(?P<of>labels|annotations)\['(?P<key>.+)'\]")
_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


_FIELDS: Final[Mapping[str, Callable[[Given], str]]] = {
    "metadata.name": lambda given: given.instance.metadata.name,
    "metadata.namespace": lambda given: given.instance.metadata.namespace,
    "metadata.uid": lambda given: given.instance.metadata.uid,
    "metadata.labels": lambda given: _lines(given.instance.metadata.labels),
    "metadata.annotations": lambda given: _lines(given.instance.metadata.annotations),
    "spec.nodeName": lambda given: given.instance.spec.node_name,
    "status.hostIP": lambda given: given.node.address,
    "status.hostIPs": lambda given: given.node.address,
    "status.podIP": lambda given: next(iter(given.addresses), ""),
    "status.podIPs": lambda given: ",".join(given.addresses),
}


def field_of(path: str, given: Given) -> str:
    """The value of a field of the instance; empty where there is none, as of a label that it does not carry.

    Raises:
        InvalidConfig: when there is no such field.
    """
    meta = given.instance.metadata
    if (take := _FIELDS.get(path)) is not None:
        return take(given)
    if (single := _SINGLE.fullmatch(path)) is not None:
        return (meta.labels if single["of"] == "labels" else meta.annotations).get(single["key"], "")
    raise InvalidConfig(f"unsupported fieldPath: {path}")


def _lines(values: Mapping[str, str]) -> str:
    """All of a map as a file has them: a line each, by key, the value quoted as Go quotes it (strconv, `Quote`)."""
    return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(values.items()))


def _quoted(text: str) -> str:
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char == " " or char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def resource(ref: ResourceFieldSelector, asking: str, given: Given) -> str:
    """What a container may use or asks for, in units of the divisor and rounded up.

    Args:
        ref: what is asked for.
        asking: name of the container that asks; it is meant where no other is named.
        given: the instance and its node.

    Raises:
        InvalidConfig: when the instance has no such container.
    """
    of = ref.container_name or asking
    found = next((c for c in given.instance.spec.all_containers if c.name == of), None)
    if found is None:
        raise InvalidConfig(f"container {of} not found")
    limits, requests = found.resources.limits, found.resources.requests
    match ref.resource:
        case "limits.cpu":
            amount = quantity.millis(limits.cpu or 0) or given.node.allocatable.cpu_millis
        case "limits.memory":
            amount = quantity.whole(limits.memory or 0) or given.node.allocatable.memory_bytes
        case "requests.cpu":
            amount = quantity.millis(_first(requests.cpu, limits.cpu))
        case "requests.memory":
            amount = quantity.whole(_first(requests.memory, limits.memory))
    divisor = ref.divisor or "1"
    unit = quantity.millis(divisor) or 1000 if ref.resource.endswith(".cpu") else quantity.whole(divisor) or 1
    return str(-(-amount // unit))


def _first(request: str | None, limit: str | None) -> str:
    """What is not asked for is what it is limited to."""
    return request if request is not None else limit or "0"
