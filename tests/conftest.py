"""Real components for the tests that need them; each is started once for all, when the first test asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tools.images import all_images, push
from tools.images.product import __main__ as product
from tools.lab import Containerd, ControlPlane, Registry
from tools.lab.rights import install_rights

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("moorage", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("moorage")  # how long an example takes says more of the machine than of the code


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of our own."""
    parser.addoption("--update-golden", action="store_true", help="renew the golden files, which then are to be read")


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with our kinds, and the chart's roles and policies."""
    state = tmp_path_factory.mktemp("plane")
    with ControlPlane(state / "s", audit=True, crds=[ROOT / "crds"]) as found:
        install_rights(found)
        yield found


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that holds the test images."""
    with Registry(tmp_path_factory.mktemp("registry") / "s") as found:
        push(found.host, all_images())
        yield found


@pytest.fixture(scope="session")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """A containerd."""
    with Containerd(tmp_path_factory.mktemp("containerd") / "s") as found:
        yield found


@pytest.fixture(scope="session")
def product_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Moorage's own image, as an archive in OCI layout; its base comes from the checkout's cache when that has it."""
    archive = tmp_path_factory.mktemp("image") / "moorage.oci.tar"
    assert product.main(["--output", str(archive)]) == 0
    return archive
