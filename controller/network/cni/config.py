"""Network configurations (CNI SPEC 1.1, sections 1 and 3): parsing, choosing, and what each plugin is given. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

NEWEST: Final = "1.1.0"
"""Newest version of the specification that is spoken here."""

SUFFIXES: Final = (".conf", ".conflist", ".json")
"""Files that are looked at, as the kubelet's runtimes do."""

_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_TYPE: Final = re.compile(r"[^/\\\x00]+")
_OLDEST: Final = "0.1.0"
"""What a configuration without `cniVersion` is."""


class InvalidConfiguration(ValueError):  # noqa: N818 - as the runtime port's InvalidConfig
    """A file that is no network configuration; `str()` of it says why."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network configuration, ready to be executed."""

    name: str
    version: str
    """The version to speak with its plugins."""
    plugins: tuple[Mapping[str, Any], ...]
    """Plugin configurations as they are written, in the order of ADD."""
    disable_check: bool = False
    disable_gc: bool = False

    def capabilities(self) -> frozenset[str]:
        """What its plugins, all together, can be given at run time."""
        return frozenset().union(*map(_enabled, self.plugins))

    def at_least(self, version: str) -> bool:
        """Whether its version is that one or newer."""
        return _number(self.version) >= _number(version)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {
            "name": self.name,
            "cniVersion": self.version,
            "plugins": [dict(plugin) for plugin in self.plugins],
            "disableCheck": self.disable_check,
            "disableGC": self.disable_gc,
        }


@dataclass(frozen=True, slots=True)
class Choice:
    """The network of a folder of configurations, or why there is none."""

    network: Network | None = None
    file: str = ""
    """Name of the file that it is from."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Files that come before it and cannot be used, and why."""


def choose(files: Mapping[str, str]) -> Choice:
    """The first valid one by name; `files` are the contents of a folder by name.

    A file that cannot be used is passed over, as the CRI implementations did from dockershim on, so that one broken file does
    not take the network from a node; it is named when none is left.
    """
    refused: dict[str, str] = {}
    for name in sorted(files):
        if not name.endswith(SUFFIXES):
            continue
        try:
            return Choice(parse(name, files[name]), name, refused)
        except InvalidConfiguration as exc:
            refused[name] = str(exc)
    return Choice(refused=refused)


def parse(name: str, text: str) -> Network:
    """A configuration from a file. One that is a single plugin's (`.conf`, `.json`) becomes a list of one.

    Raises:
        InvalidConfiguration: when it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidConfiguration(f"it is no JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise InvalidConfiguration("it is no JSON object")
    if "plugins" not in found and not name.endswith(".conflist"):
        if "type" not in found:
            raise InvalidConfiguration("it has neither `plugins` nor `type`")
        found = {"name": found.get("name"), "cniVersion": found.get("cniVersion", ""), "plugins": [found]}
    return from_json(found)


def from_json(found: Mapping[str, Any]) -> Network:
    """A configuration list from its JSON.

    Raises:
        InvalidConfiguration: when it is none.
    """
    name, plugins = found.get("name"), found.get("plugins")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidConfiguration(
            f"`name` must be letters, digits, `_`, `.` and `-`, beginning with a letter or digit: {name!r}"
        )
    if not isinstance(plugins, list) or not plugins:
        raise InvalidConfiguration("`plugins` lists none; plugins from other files are not looked for")
    for plugin in plugins:
        kind = plugin.get("type") if isinstance(plugin, dict) else None
        if not isinstance(kind, str) or not _TYPE.fullmatch(kind) or not kind.isprintable() or kind in {".", ".."}:
            raise InvalidConfiguration("each of `plugins` needs a `type`, the name of an executable")
    return Network(
        name=name,
        version=_version(found),
        plugins=tuple(plugins),
        disable_check=_flag(found, "disableCheck"),
        disable_gc=_flag(found, "disableGC"),
    )


def request(
    network: Network,
    plugin: Mapping[str, Any],
    *,
    arguments: Mapping[str, Any] | None = None,
    previous: Mapping[str, Any] | None = None,
    valid: Iterable[tuple[str, str]] | None = None,
) -> bytes:
    """What one plugin is given on its standard input (section 3, "Deriving request configuration").

    Args:
        network: the configuration that it is part of.
        plugin: its own part.
        arguments: capability arguments, by capability; the plugin gets those that it declares. None: not about an attachment.
        previous: the result that it is to build upon, or to check or remove.
        valid: for GC, the attachments that exist, as (container id, interface name).
    """
    derived = {key: value for key, value in plugin.items() if key not in {"runtimeConfig", "prevResult", "capabilities"}}
    derived = {key: value for key, value in derived.items() if not key.startswith("cni.dev/")}
    derived |= {"cniVersion": network.version, "name": network.name}
    if arguments is not None and (given := {key: arguments[key] for key in sorted(arguments) if key in _enabled(plugin)}):
        derived["runtimeConfig"] = given
    if previous is not None:
        derived["prevResult"] = previous
    if valid is not None:
        listed = [{"containerID": container, "ifname": interface} for container, interface in valid]
        # The first is what the specification says, the second what libcni wrote before it did, and still writes.
        derived |= {"cni.dev/valid-attachments": listed, "cni.dev/attachments": listed}
    return json.dumps(derived).encode()


def _enabled(plugin: Mapping[str, Any]) -> frozenset[str]:
    declared = plugin.get("capabilities")
    return frozenset(key for key, on in declared.items() if on is True) if isinstance(declared, dict) else frozenset()


def _version(found: Mapping[str, Any]) -> str:
    """The newest that both sides speak (section 1, "Version considerations")."""
    listed = found.get("cniVersions", [])
    written = [*(listed if isinstance(listed, list) else [None]), *([found["cniVersion"]] if found.get("cniVersion") else [])]
    named = [version for version in written if isinstance(version, str) and _VERSION.fullmatch(version)]
    if named != written:
        raise InvalidConfiguration("`cniVersion` and `cniVersions` must be versions such as 1.0.0")
    spoken = [version for version in named if _number(version) <= _number(NEWEST)]
    if named and not spoken:
        raise InvalidConfiguration(f"it asks for CNI version {named[-1]}; the newest that is known here is {NEWEST}")
    return max(spoken, key=_number, default=_OLDEST)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _flag(found: Mapping[str, Any], key: str) -> bool:
    """A boolean, which may also be written as a string, as libcni takes it."""
    value = found.get(key, False)
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise InvalidConfiguration(f"`{key}` must be true or false")
    return value
