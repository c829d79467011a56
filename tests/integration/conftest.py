"""A one-node installation: a fresh one for each test, or one for a module whose tests find it empty."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Site, started
from tools.lab import Containerd, ControlPlane, Registry

NODE = "node1"


@pytest.fixture
def site(plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path: Path) -> Iterator[Site]:
    """Manager and agent, started; at the end everything is deleted, and nothing may be left."""
    with started(Site(plane, containerd, registry, tmp_path / "s", NODE)) as found:
        yield found


@pytest.fixture(scope="module")
def _kept_site(
    plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Manager and agent for all tests of a module; whatever is left in the end is an error."""
    with started(Site(plane, containerd, registry, tmp_path_factory.mktemp("site") / "s", NODE)) as found:
        yield found


@pytest.fixture
def kept_site(_kept_site: Site) -> Iterator[Site]:
    """The module's installation, empty; it has to be empty again after the test, as a fresh one has.

    It spares 4 s a test. A module takes it as its `site`, unless a test is about an agent that has not worked yet.
    """
    _kept_site.start()  # a test before may have failed to leave it empty, whereupon it was stopped
    yield _kept_site
    _kept_site.clear()
