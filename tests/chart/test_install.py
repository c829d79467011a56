"""What the chart renders, before a real API server."""

from collections.abc import Iterator

import pytest
import yaml

from tests.chart.rendering import SETS, Object, render
from tests.conftest import ROOT
from tools.lab import ControlPlane

FOREIGN = frozenset({"ServiceMonitor", "PrometheusRule"})
"""Kinds whose definitions the lab's API server does not have."""


@pytest.fixture(scope="module")
def prepared(plane: ControlPlane) -> Iterator[ControlPlane]:
    """A control plane with the namespace of the release, as `helm install --create-namespace` makes it."""
    made = plane.kubectl("create", "namespace", "moorage-system", check=False)
    yield plane
    if made.returncode == 0:
        plane.kubectl("delete", "namespace", "moorage-system", "--wait=false")


@pytest.mark.parametrize("values", SETS.values(), ids=SETS)
def test_the_api_server_takes_what_is_rendered(values: Object, prepared: ControlPlane) -> None:
    """Every object passes validation and admission, without a warning, with each set of values."""
    text = yaml.safe_dump_all(o for o in render(values) if o["kind"] not in FOREIGN)
    options = ("--server-side", "--force-conflicts", "--dry-run=server", "--field-manager=test", "--filename", "-")
    done = prepared.kubectl("apply", *options, stdin=text)
    assert "Warning" not in done.stderr, done.stderr


def test_the_api_server_takes_the_plain_manifests(prepared: ControlPlane) -> None:
    """As people apply them, the plain way too: an annotation of the whole object must not become too large."""
    done = prepared.kubectl("apply", "--dry-run=server", "--filename", ROOT / "manifests" / "install.yaml", check=False)
    assert done.returncode == 0, done.stderr
