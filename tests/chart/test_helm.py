"""The chart in the hands of Helm, on an API server of its own: what an upgrade, a second release and an uninstallation do."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from controller.api.schema import KINDS
from tests.chart.rendering import CHART, LOADER, helm
from tools.lab import ControlPlane

Helm = Callable[..., subprocess.CompletedProcess[str]]
DEFINITION = "moorage.dev_containerworkloads.yaml"


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane on which nothing is installed."""
    with ControlPlane(tmp_path / "plane") as found:
        found.kubectl("create", "namespace", "moorage-system")
        yield found


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The chart of an earlier release, whose definition of workloads does not know `suspend`."""
    chart = tmp_path / "older"
    shutil.copytree(CHART, chart)
    file = chart / "files" / "crds" / DEFINITION
    definition = yaml.load(file.read_text(), LOADER)
    del definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["suspend"]
    file.write_text(json.dumps(definition))
    return chart


def test_definitions_live_by_the_values(own_plane: ControlPlane, older: Path) -> None:
    """An upgrade upgrades them, an uninstallation keeps them by default, and a second release is refused.

    Without its hook, which needs pods; what that does is tested by itself.
    """

    def run(*arguments: str | Path, fails: bool = False) -> str:
        done = helm("--kubeconfig", own_plane.kubeconfig, "--namespace", "moorage-system", *arguments)
        assert (done.returncode != 0) is fails, done.stderr
        return done.stdout + done.stderr

    def knows_suspend() -> bool:
        shown = own_plane.kubectl("get", "crd/containerworkloads.moorage.dev", "--output", "json").stdout
        spec = json.loads(shown)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        return "suspend" in spec["properties"]

    run("install", "moorage", older)
    assert not knows_suspend()
    run("upgrade", "moorage", CHART)
    assert knows_suspend()
    assert "exists and cannot be imported" in run("install", "second", CHART, fails=True)

    assert "[CustomResourceDefinition] containerworkloads.moorage.dev" in run("uninstall", "moorage", "--no-hooks")
    assert len(own_plane.kubectl("get", "crd", "--output", "name").stdout.split()) == len(KINDS)
