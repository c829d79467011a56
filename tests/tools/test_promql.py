"""The expressions of alerts and dashboard, read by Prometheus' own parser and held against the code."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.registry import labels, ours, series
from tools.build import BIN

FILES = Path(__file__).parents[2] / "helm" / "moorage" / "files"

OF_THE_SCRAPE = {"instance", "job", "node"}
"""Labels that a scrape adds: the first two always, the third by the chart's ServiceMonitors."""

OF_THE_PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
"""Series of the Prometheus client itself (prometheus_client, ProcessCollector)."""

VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}
"""What Grafana puts in their place."""


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _panels() -> dict[str, str]:
    board = json.loads((FILES / "dashboards" / "moorage.json").read_text())
    found = {f"{p['title']} {t['refId']}": t["expr"] for p in board["panels"] for t in p.get("targets", ())}
    found |= {
        f"variable {v['name']}": re.sub(r"^label_values\((.*), (\w+)\)$", r"count by (\2) (\1)", v["query"]["query"])
        for v in board["templating"]["list"]
        if v["type"] == "query"
    }
    for variable, value in VARIABLES.items():
        found = {where: expression.replace(variable, value) for where, expression in found.items()}
    return found


EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in _rules()} | _panels()


def _judged(expressions: list[str]) -> list[dict[str, Any]]:
    command = [BIN / "promql"]
    done = subprocess.run(command, input=json.dumps(expressions), capture_output=True, text=True, check=True, timeout=30)
    return [json.loads(line) for line in done.stdout.splitlines()]


@cache
def _verdicts() -> dict[str, dict[str, Any]]:
    return dict(zip(EXPRESSIONS, _judged(list(EXPRESSIONS.values())), strict=True))


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_an_expression_reads_what_there_is(where: str) -> None:
    """It parses, and names no series that the code does not have, and no label that none of these has."""
    verdict = _verdicts()[where]
    assert "error" not in verdict, verdict["error"]
    read = set(verdict["metrics"])
    assert read
    assert read - OF_THE_PROCESS <= series()
    owners = {name for name in ours() for s in read if s.removesuffix("_bucket").removesuffix("_count") == name}
    known = {label for name in owners for label in labels()[name]} | OF_THE_SCRAPE | {"le"}
    assert set(verdict.get("labels", ())) <= known


@pytest.mark.parametrize("alert", _rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_speaks_of_labels_that_it_has(alert: dict[str, Any]) -> None:
    """What an aggregation drops would be an empty word in the message."""
    used = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
    expression = alert["expr"]
    grouped = re.search(r"\b(?:sum|max|min|count) by \(([^)]*)\)", expression)
    if grouped is not None:
        kept = {label.strip() for label in grouped.group(1).split(",")}
    elif re.search(r"\b(?:sum|max|min|count|absent) ?\(", expression):
        kept = set()
    else:
        names = [name for name in ours() if re.search(rf"\b{name}\b", expression)]
        kept = {label for name in names for label in labels()[name]} | OF_THE_SCRAPE
    assert used <= kept


def test_label_values_in_expressions_are_those_of_the_code() -> None:
    """A misspelt reason would make an alert that never fires."""
    from controller.api.reasons import Reason
    from controller.runtime import port

    text = "\n".join(EXPRESSIONS.values())
    reasons = {word for value in re.findall(r'reason[!=~]+"([^"]+)"', text) for word in value.split("|")}
    assert reasons
    assert reasons <= set(Reason)
    codes = {word for value in re.findall(r'code=~"([A-Z][^"]+)"', text) for word in value.split("|")}
    assert codes
    assert all(issubclass(getattr(port, code), port.RuntimeFailure) for code in codes)


def test_every_metric_is_shown_or_alerted_on() -> None:
    """What nobody looks at need not be kept."""
    read = {s for verdict in _verdicts().values() for s in verdict["metrics"]}
    unread = {
        name
        for name, metric in ours().items()
        if name not in read and not (metric.type == "histogram" and f"{name}_bucket" in read)
    }
    assert unread <= {"moorage_watch_events_total", "moorage_watch_last_event_timestamp_seconds"} | {
        "moorage_agent_runtime_last_event_timestamp_seconds"
    }, "these are for looking into a problem"


def test_the_parser_refuses_what_prometheus_would() -> None:
    """The program tells a mistake by its place, and goes on with the next expression."""
    wrong, right = _judged(["sum(rate(x[5m])", 'a{b="c"} / on (d) e'])
    assert "unclosed left parenthesis" in wrong["error"]
    assert right == {"metrics": ["a", "e"], "labels": ["b", "d"]}
