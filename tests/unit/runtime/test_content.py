"""What images consist of."""

from typing import Any

import pytest

from controller.runtime.containerd.image.content import chain_id
from controller.runtime.containerd.image.registry import default_scheme
from controller.runtime.documents import created_at, image_config
from controller.runtime.platforms import Platform, choose, offered, runs
from controller.runtime.port import ImageConfig


def entry(architecture: str, variant: str = "", os: str = "linux") -> dict[str, Any]:
    """An entry of an index."""
    return {
        "digest": f"{os}/{architecture}/{variant}",
        "platform": {"os": os, "architecture": architecture, "variant": variant},
    }


@pytest.mark.parametrize(
    ("node", "entries", "chosen"),
    [
        (("amd64", ""), [entry("arm64", "v8"), entry("amd64")], "linux/amd64/"),
        (("amd64", ""), [entry("amd64", "v3"), entry("amd64", "v1")], "linux/amd64/v1"),
        (("amd64", ""), [entry("amd64", os="windows")], None),
        (("amd64", ""), [entry("unknown", os="unknown"), {"digest": "x"}], None),
        (("arm64", "v8"), [entry("arm64"), entry("arm", "v7")], "linux/arm64/"),
        (("arm64", "v8"), [entry("arm", "v6"), entry("arm", "v7")], "linux/arm/v7"),
        (("arm", "v6"), [entry("arm", "v7"), entry("arm", "v5")], "linux/arm/v5"),
        (("arm", "v7"), [entry("arm")], "linux/arm/"),
    ],
)
def test_the_entry_for_this_node_is_chosen(node: tuple[str, str], entries: list[dict[str, Any]], chosen: str | None) -> None:
    """The best one that it can run, as containerd chooses what it unpacks."""
    own = Platform("linux", *node)
    found = choose(entries, own)
    assert (found["digest"] if found else None) == chosen
    assert any(runs(offered(one), own) for one in entries) == (chosen is not None)


def test_a_chain_of_layers_has_a_name() -> None:
    """The rule of the OCI image-spec; the second value is the well-known one of its two layers."""
    assert chain_id([]) == ""
    assert chain_id(["sha256:aa"]) == "sha256:aa"
    assert chain_id(["sha256:aa", "sha256:bb"]).startswith("sha256:")
    assert chain_id(["sha256:aa", "sha256:bb"]) != chain_id(["sha256:bb", "sha256:aa"])


def test_a_config_without_anything() -> None:
    """Every field may be absent or null."""
    assert image_config({}) == ImageConfig()
    assert image_config({"config": None}) == ImageConfig()
    assert image_config({"config": {"Cmd": None, "Env": None, "User": None}}) == ImageConfig()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2024-03-01T12:00:00.123456789Z", 1709294400.123456),
        ("2024-03-01T13:00:00+01:00", 1709294400.0),
        ("2024-03-01T12:00:00", 1709294400.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("long ago", None),
        (None, None),
        (7, None),
    ],
)
def test_when_an_image_was_built(text: object, expected: float | None) -> None:
    """As its config has it; Go's zero time, and what is no time, say nothing."""
    assert created_at(text) == expected


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("docker.io", False),
        ("127.evil.test", False),
        ("localhost.evil.test:5000", False),
        ("[::2]:5000", False),
        ("10.0.0.1:5000", False),
    ],
)
def test_only_this_machine_is_spoken_to_without_tls(domain: str, expected: bool) -> None:  # noqa: FBT001 - a table
    """As Docker has it."""
    assert default_scheme(domain) == ("http" if expected else "https")
