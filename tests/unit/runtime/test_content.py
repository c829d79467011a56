"""What images consist of."""

from typing import Any

import pytest

from controller.runtime.containerd.api.transfer_types_pb2 import Progress
from controller.runtime.containerd.api.types_pb2 import Descriptor, Platform
from controller.runtime.containerd.image.content import chain_id, choose, image_config
from controller.runtime.containerd.image.pull import Tally, is_loopback
from controller.runtime.port import ImageConfig, PullProgress


def entry(architecture: str, variant: str = "", os: str = "linux") -> dict[str, Any]:
    """An entry of an index."""
    return {
        "digest": f"{os}/{architecture}/{variant}",
        "platform": {"os": os, "architecture": architecture, "variant": variant},
    }


@pytest.mark.parametrize(
    ("node", "offered", "chosen"),
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
def test_the_entry_for_this_node_is_chosen(node: tuple[str, str], offered: list[dict[str, Any]], chosen: str | None) -> None:
    """The best one that it can run, as containerd chooses what it unpacks."""
    found = choose(offered, Platform(os="linux", architecture=node[0], variant=node[1]))
    assert (found["digest"] if found else None) == chosen


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


def part(digest: str, size: int, event: str, progress: int = 0, kind: str = "layer") -> Progress:
    """A message about a part of an image."""
    return Progress(event=event, progress=progress, desc=Descriptor(digest=digest, size=size, media_type=kind))


def test_progress_is_the_sum_over_all_parts() -> None:
    """The total is not told before a layer is known, and what is there already counts as done."""
    tally = Tally()
    assert tally.add(Progress(event="Resolving from x")) is None
    assert tally.add(part("m", 10, "complete", kind="manifest")) == PullProgress(10, 0)
    assert tally.add(part("a", 100, "waiting")) == PullProgress(10, 110)
    assert tally.add(part("a", 100, "downloading", 40)) == PullProgress(50, 110)
    assert tally.add(part("b", 50, "already exists")) == PullProgress(100, 160)
    assert tally.add(part("a", 100, "extracting", 3)) == PullProgress(160, 160)


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
    assert is_loopback(domain) is expected
