"""A one-node installation for each test, on components that it may break: they are these tests' alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Site, started
from tools.lab import Containerd, ControlPlane, Registry
from tools.lab.rights import install_rights

ROOT = Path(__file__).resolve().parents[2]
NODE = "own1"
"""Another name than that of nodes of tests in other folders, which may run at the same time: cgroups are told apart by it."""


@pytest.fixture(scope="session")
def _own_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("own") / "plane", crds=[ROOT / "crds"]) as found:
        install_rights(found)
        yield found


@pytest.fixture
def own_plane(_own_plane: ControlPlane) -> ControlPlane:
    """A control plane that a test may stop; it runs, and tells of no Events of tests before."""
    _own_plane.start_apiserver()
    _own_plane.kubectl("delete", "--raw", "/api/v1/namespaces/default/events")  # one request, and not one for each
    return _own_plane


@pytest.fixture
def own_site(own_plane: ControlPlane, registry: Registry, tmp_path: Path) -> Iterator[Site]:
    """Manager and agent on components that a test may break; at the end everything is deleted, and nothing may be left."""
    with (
        Containerd(tmp_path / "containerd") as containerd,
        started(Site(own_plane, containerd, registry, tmp_path / "site", NODE)) as found,
    ):
        yield found
