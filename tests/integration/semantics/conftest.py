"""One installation for each topic: its cases run side by side."""

from collections.abc import Iterator

import pytest

from tests.harness import Site, started
from tests.integration.semantics.world import World
from tools.lab import Containerd, ControlPlane, Registry


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest,
    plane: ControlPlane,
    containerd: Containerd,
    registry: Registry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """Manager and agent; at the end everything is deleted, and nothing may be left. A module may name node and options."""
    node, options = getattr(request.module, "NODE", "semantics"), getattr(request.module, "OPTIONS", ())
    site = Site(plane, containerd, registry, tmp_path_factory.mktemp("semantics") / "s", node, options)
    found = World(site)
    with started(site):
        yield found
