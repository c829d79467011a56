from pathlib import Path

import pytest

from tests.unit.cli.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A node with nothing on it but images."""
    return World(tmp_path)
