"""Argo CD's health script, run by a real Lua interpreter over objects as they were recorded on real components."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.schema import KINDS
from tests.verdicts import AGREES, HEALTH, Argo

MOMENTS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "moments.json").read_text())
"""Objects, each with the verdict of kstatus. tests/integration/test_gitops.py records them, and holds them against kstatus."""


def _ready(obj: dict[str, Any]) -> dict[str, Any]:
    return next((c for c in obj["status"].get("conditions", []) if c["type"] == "Ready"), {})


@pytest.mark.parametrize(
    "moment", MOMENTS, ids=lambda m: f"{m['object']['kind']}-{m['kstatus']}-{_ready(m['object']).get('reason')}"
)
def test_health_is_what_kstatus_says(moment: dict[str, Any]) -> None:
    """Current is Healthy, or Suspended when asked for; Failed is Degraded; all else Progressing, as docs/gitops.md has it."""
    obj = moment["object"]
    status, _ = Argo().health(obj)
    assert status in AGREES[moment["kstatus"]]
    assert (status == "Suspended") == (moment["kstatus"] == "Current" and bool(obj["spec"].get("suspend")))


@pytest.mark.parametrize(
    "moment", MOMENTS, ids=lambda m: f"{m['object']['kind']}-{m['kstatus']}-{_ready(m['object']).get('reason')}"
)
def test_the_message_says_why(moment: dict[str, Any]) -> None:
    """Reason and message of Ready, when that speaks of the present generation; else what is waited for."""
    obj, ready = moment["object"], _ready(moment["object"])
    _, message = Argo().health(obj)
    if "deletionTimestamp" in obj["metadata"]:
        assert message == "being deleted"
    elif ready.get("observedGeneration") == obj["metadata"]["generation"]:
        assert message == (f"{ready['reason']}: {ready['message']}" if ready["message"] else ready["reason"])
    else:
        assert message == f"waiting for generation {obj['metadata']['generation']} to be taken up"


@pytest.mark.parametrize(
    "obj", [{"metadata": {"generation": 1}}, {"metadata": {"generation": 1}, "status": {"observedGeneration": 1}}]
)
def test_an_object_without_a_report_is_progressing(obj: dict[str, Any]) -> None:
    """No status and no conditions are no reason for an error, nor for Healthy."""
    assert Argo().health(obj)[0] == "Progressing"


def test_the_config_map_holds_the_script_for_each_kind() -> None:
    """manifests/argocd/argocd-cm.yaml carries the very text of health.lua, under Argo CD's key for each of our kinds."""
    found = yaml.safe_load((HEALTH.parent / "argocd-cm.yaml").read_text())["data"]
    assert found == {f"resource.customizations.health.moorage.dev_{kind.KIND}": HEALTH.read_text() for kind in KINDS}
