"""What plugins answer (CNI SPEC 1.1, section 5): results and errors. Pure."""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

INCOMPATIBLE: Final = 1
"""Error code: the plugin does not speak the version."""

UNKNOWN_CONTAINER: Final = 3
"""Error code: nothing of the container is there, so nothing has to be removed."""

_MOST_SHOWN: Final = 200
"""Characters of an answer that are shown to people."""


class Garbage(ValueError):  # noqa: N818 - said of an answer, in one sentence with it
    """An answer that is none; `str()` of it says what came instead."""


@dataclass(frozen=True, slots=True)
class PluginError:
    """An error as a plugin tells it."""

    code: int = 0
    message: str = ""
    details: str = ""

    def __str__(self) -> str:
        said = ": ".join(part for part in (self.message, self.details) if part)
        return f"{said} (code {self.code})" if self.code else said


def parse_result(text: bytes) -> Mapping[str, Any]:
    """The result of ADD.

    Raises:
        Garbage: when it is none.
    """
    found = _object(text)
    if found is None:
        raise Garbage(f"it answered what is no JSON object: {shown(text)}")
    for key, kinds in (("ips", list), ("interfaces", list), ("routes", list), ("dns", dict)):
        if found.get(key) is not None and not isinstance(found[key], kinds):
            raise Garbage(f"`{key}` of its result is not what the specification says: {shown(text)}")
    try:
        tuple(_addresses(found))
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as exc:
        raise Garbage(f"an address of its result is none: {exc}") from exc
    return found


def parse_error(text: bytes) -> PluginError | None:
    """The error that a plugin wrote; None when what it wrote is none."""
    found = _object(text)
    if found is None or not isinstance(found.get("code"), int):
        return None
    return PluginError(found["code"], str(found.get("msg") or ""), str(found.get("details") or ""))


def addresses(result: Mapping[str, Any], sandbox: str) -> tuple[str, ...]:
    """The instance's addresses: those of interfaces in its namespace, IPv4 first as they come.

    Up to version 0.2.0 a result has `ip4` and `ip6` and no interfaces; an address that names none counts.
    """
    interfaces = result.get("interfaces") or []
    found = []
    for address, index in _addresses(result):
        if index is not None and 0 <= index < len(interfaces) and interfaces[index].get("sandbox") != sandbox:
            continue
        found.append(address)
    return tuple(sorted(dict.fromkeys(found), key=lambda address: ":" in address))


def shown(text: bytes) -> str:
    """What of an answer is shown to people: its beginning, in one line of printable characters."""
    flat = " ".join(text.decode(errors="replace").split())
    plain = "".join(c if c.isprintable() else "?" for c in flat)
    return f"{plain[:_MOST_SHOWN]} ..." if len(plain) > _MOST_SHOWN else plain or "nothing"


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _addresses(result: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    """(address, index of its interface)."""
    old = [{"address": result[key]["ip"]} for key in ("ip4", "ip6") if result.get(key)]
    for entry in (*(result.get("ips") or ()), *old):
        index = entry.get("interface")
        yield str(ipaddress.ip_interface(entry["address"]).ip), index if isinstance(index, int) else None
