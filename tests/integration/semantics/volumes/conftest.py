"""One installation for each module, and a folder of the node that its cases may mount."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Site, started
from tests.integration.semantics.volumes.host import host_folder
from tests.integration.semantics.world import World
from tools.lab import Containerd, ControlPlane, Registry


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the node."""
    with host_folder(tmp_path_factory.mktemp("host")) as found:
        yield found


@pytest.fixture(scope="module")
def world(
    request: pytest.FixtureRequest,
    plane: ControlPlane,
    containerd: Containerd,
    registry: Registry,
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """Manager and agent; at the end everything is deleted, and nothing may be left."""
    node = str(request.module.NODE)
    with started(Site(plane, containerd, registry, tmp_path_factory.mktemp("volumes") / "s", node)) as site:
        yield World(site)
