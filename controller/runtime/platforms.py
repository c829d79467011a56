"""Platforms: what images are for, and which of them a node can run (OCI image-spec, image-index.md#platform). Pure."""

import platform as machine
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system on a kind of machine, in Go's words. `str` writes it as Docker does: `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


_MACHINES: Final = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
    "loongarch64": ("loong64", ""),
}
"""Names of the kernel (uname(2)) in Go's words."""

NOTHING: Final = Platform("", "")
"""That of what does not say."""

_UNKNOWN: Final = Platform("unknown", "unknown")
"""That of what is for none, as BuildKit marks an attestation."""


def node_platform() -> Platform:
    """The platform that images must be for."""
    name = machine.machine()
    return Platform("linux", *_MACHINES.get(name, (name,)))


def platform_of(document: Mapping[str, Any]) -> Platform:
    """What an image's config, or the `platform` of an index's entry, says; `NOTHING` when it does not."""
    return Platform(*(str(document.get(key) or "") for key in ("os", "architecture", "variant")))


def offered(entry: Mapping[str, Any]) -> Platform:
    """The platform of an entry of an index."""
    return platform_of(entry.get("platform") or {})


def offers(entries: Sequence[Mapping[str, Any]]) -> tuple[Platform, ...]:
    """The platforms of an index, each once; what is for none is left out."""
    return tuple(dict.fromkeys(one for one in map(offered, entries) if one not in {NOTHING, _UNKNOWN}))


def choose(entries: Sequence[Mapping[str, Any]], node: Platform) -> Mapping[str, Any] | None:
    """The entry of an index that fits a node best, as containerd chooses what it unpacks (platforms.Only)."""
    for fitting in _acceptable(node):
        for entry in entries:
            if _normal(offered(entry)) == fitting:
                return entry
    return None


def runs(platform: Platform, node: Platform) -> bool:
    """Whether a node can run it."""
    return _normal(platform) in _acceptable(node)


def _acceptable(node: Platform) -> list[Platform]:
    """What a node can run, the best first."""
    own = _normal(node)
    older = [Platform(node.os, "arm", f"v{number}") for number in (8, 7, 6, 5)]
    if node.architecture == "arm":
        return older[older.index(own) :]
    return [own, *older] if node.architecture == "arm64" else [own]


def _normal(platform: Platform) -> Platform:
    """Variants that mean the same as none given are the same (platforms.Normalize)."""
    architecture, variant = platform.architecture, platform.variant
    if architecture == "arm":
        variant = variant or "v7"
    elif (architecture, variant) in {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}:
        variant = ""
    return Platform(platform.os, architecture, variant)
