"""A one-node installation for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Site, started
from tools.lab import Containerd, ControlPlane, Registry


@pytest.fixture
def site(plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path: Path) -> Iterator[Site]:
    """Manager and agent, started; at the end everything is deleted, and nothing may be left."""
    with started(Site(plane, containerd, registry, tmp_path / "s", "node1")) as found:
        yield found
