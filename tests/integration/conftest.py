"""A one-node installation for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Site
from tools.lab import Containerd, ControlPlane, Registry


@pytest.fixture
def site(plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path: Path) -> Iterator[Site]:
    """Manager and agent, started; at the end everything is deleted, and nothing may be left."""
    found = Site(plane, containerd, registry, tmp_path / "s", "node1")
    try:
        found.start()
        yield found
    finally:
        found.stop()
