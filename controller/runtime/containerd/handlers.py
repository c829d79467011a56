"""Runtime handlers: the names by which containers ask for one of containerd's runtimes, and what each stands for.

containerd's own configuration of handlers belongs to its CRI plugin, and cannot be asked for; so the agent is told. Options
have the names that they have there (containerd, docs/cri/config.md, "Runtime classes").
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.any_pb2 import Any

from controller.runtime.containerd.api import runc_options_pb2, shim_options_pb2
from controller.runtime.containerd.api.containers_pb2 import Container
from controller.runtime.port import InvalidConfig

RUNC: Final = "io.containerd.runc.v2"
"""containerd's name for runc and its shim."""

DEFAULT: Final = "runc"
"""Name of the handler that runs what asks for none."""

MOST_HANDLERS: Final = 64

_NAME: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""What a RuntimeClass takes for a handler: a DNS label (node.k8s.io/v1)."""
_TYPE: Final = r"[a-z0-9]+(\.[a-z0-9-]+)*\.v[0-9]+"
"""containerd's name of a runtime; its last two words name the shim: io.containerd.kata.v2 is containerd-shim-kata-v2."""

_RUNC_TEXTS: Final = {"BinaryName": "binary_name", "Root": "root"}
_RUNC_SWITCHES: Final = {"NoPivotRoot": "no_pivot_root", "NoNewKeyring": "no_new_keyring"}
_CONFIG_PATH: Final = "ConfigPath"


@dataclass(frozen=True, slots=True)
class Handler:
    """What a name stands for."""

    name: str
    type: str = RUNC
    options: tuple[tuple[str, str], ...] = ()

    @property
    def shim(self) -> str:
        """Name of the program that containerd starts for it: containerd-shim-runc-v2."""
        return "containerd-shim-" + "-".join(self.type.rsplit(".", 2)[-2:])

    def runtime(self) -> Container.Runtime:
        """As containerd keeps it with a container."""
        if not self.options:
            return Container.Runtime(name=self.type)
        given = dict(self.options)
        if self.type == RUNC:
            texts = {field: given[key] for key, field in _RUNC_TEXTS.items() if key in given}
            switches = {field: given[key] == "true" for key, field in _RUNC_SWITCHES.items() if key in given}
            value = runc_options_pb2.Options(**texts, **switches)  # type: ignore[arg-type]  # by name
            options = Any(type_url="containerd.runc.v1.Options", value=value.SerializeToString())
        else:
            other = shim_options_pb2.Options(config_path=given[_CONFIG_PATH])
            options = Any(type_url="runtimeoptions.v1.Options", value=other.SerializeToString())
        return Container.Runtime(name=self.type, options=options)


def parse_handler(text: str) -> Handler:
    """Read `NAME=TYPE[,OPTION=VALUE...]`.

    Raises:
        ValueError: in words that say what is wrong with it.
    """
    head, *rest = text.split(",")
    name, equals, kind = head.partition("=")
    if not equals or not re.fullmatch(_NAME, name):
        raise ValueError(f"{text!r}: begins with NAME=TYPE, where NAME is a DNS label")
    if name == DEFAULT:
        raise ValueError(f"{text!r}: {DEFAULT} is the default handler; choose another name")
    if not re.fullmatch(_TYPE, kind):
        raise ValueError(f"{text!r}: {kind!r} is no runtime of containerd, such as {RUNC}")
    options = [_option(text, kind, entry) for entry in rest]
    if len(dict(options)) < len(options):
        raise ValueError(f"{text!r}: an option is given twice")
    return Handler(name, kind, tuple(options))


def _option(text: str, kind: str, entry: str) -> tuple[str, str]:
    key, _, value = entry.partition("=")
    known = [*_RUNC_TEXTS, *_RUNC_SWITCHES] if kind == RUNC else [_CONFIG_PATH]
    if key not in known:
        raise ValueError(f"{text!r}: {kind} has no option {key!r}; it has {', '.join(known)}")
    if key in _RUNC_SWITCHES and value not in {"true", "false"}:
        raise ValueError(f"{text!r}: {key} is true or false")
    if not value:
        raise ValueError(f"{text!r}: {key} needs a value")
    return key, value


def table(handlers: Iterable[Handler] = ()) -> Mapping[str, Handler]:
    """All handlers of a node by name, the default one first.

    Raises:
        ValueError: when there are two of one name, or too many.
    """
    found = {DEFAULT: Handler(DEFAULT)}
    for handler in handlers:
        if handler.name in found:
            raise ValueError(f"{handler.name!r} is given twice")
        found[handler.name] = handler
    if len(found) > MOST_HANDLERS:
        raise ValueError(f"a node has at most {MOST_HANDLERS} handlers")
    return found


def find(handlers: Mapping[str, Handler], name: str) -> Handler:
    """The handler that a container asks for; with an empty name the default one.

    Raises:
        InvalidConfig: when the node has none of that name.
    """
    try:
        return handlers[name or DEFAULT]
    except KeyError:
        has = ", ".join(handlers)
        raise InvalidConfig(f"the node has no runtime handler {name!r} (it has {has})") from None
