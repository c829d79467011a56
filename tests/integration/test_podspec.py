"""The table of PodSpec against the API server itself, so that it stays true as Kubernetes moves on."""

from tests.harness import Watcher
from tools.lab import ControlPlane
from tools.podspec.table import sections
from tools.podspec.upstream import core_types, differences


def test_the_table_knows_every_field_of_this_kubernetes(plane: ControlPlane) -> None:
    """A field that the table does not know fails, and so does one that is gone, or is of another type than its model."""
    types = core_types(Watcher(plane).get("/openapi/v3/api/v1"))
    assert len(types["PodSpec"]) > 30
    assert differences(sections(), types) == []
