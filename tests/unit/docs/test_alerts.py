"""Each alert says what it is about, how bad it is, and where it is explained; and the dashboard is one that Grafana takes."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILES = ROOT / "helm" / "moorage" / "files"
RULES = [rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FILES / "dashboards" / "moorage.json").read_text())
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SECTIONS = re.findall(r"^### (Moorage\w+)$", OPERATIONS, re.MULTILINE)

TEMPLATE = r"{{ (end|\.|(with )?\$labels\.\w+|\$value( \| humanize(Duration|Percentage)?)?) }}"
"""What the annotations use of Prometheus' template language: a mistake in it makes Prometheus refuse the whole file."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_whole(rule: dict[str, Any]) -> None:
    """Name, severity, a sentence and its explanation; a runbook that is there; no word in a template that is not closed."""
    assert re.fullmatch(r"Moorage([A-Z][a-z]+)+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert said["summary"].endswith(".")
    assert said["description"].endswith(".")
    for text in said.values():
        assert all(re.fullmatch(TEMPLATE, part) for part in re.findall(r"{{.*?}}|{{|}}", text)), text
        assert text.count("{{ with ") == text.count("{{ end }}") == text.count("{{ . }}")
        assert "  " not in text
    assert said["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert re.search(rf"^### {rule['alert']}$", OPERATIONS, re.MULTILINE)


def test_no_section_is_about_an_alert_that_there_is_not() -> None:
    """The document has the alerts in the order of the file, and no other."""
    assert [rule["alert"] for rule in RULES] == SECTIONS


def _panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel["panels"] if panel["type"] == "row" else ()


def test_the_dashboard_reads_from_the_data_source_that_is_chosen() -> None:
    """No panel is bound to a data source of the machine that it was made on."""
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert variables["instance"]["datasource"] == chosen
    shown = [panel for panel in _panels() if panel["type"] != "row"]
    assert all(panel["datasource"] == chosen for panel in shown)
    assert all(target["datasource"] == chosen for panel in shown for target in panel["targets"])
    assert all(panel["title"] and panel["description"].endswith(".") for panel in shown)


def test_no_panel_covers_another() -> None:
    """Each has an id and a place of its own, within Grafana's 24 columns."""
    panels = list(_panels())
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(p["x"] >= 0 and p["x"] + p["w"] <= 24 for p in places)
    for a, b in combinations(places, 2):
        apart_x = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart_y = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart_x or apart_y, (a, b)
