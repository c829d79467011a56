"""What tests of the definitions need when objects are to stay for a while."""

from collections.abc import Iterator

import pytest

from tools.lab import ControlPlane


@pytest.fixture
def namespace(plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"crds-{abs(hash(request.node.name)) % 10**8}"
    plane.kubectl("create", "namespace", name)
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")
