"""Definitions of another release than manager and agent: told loudly, and no longer when they are renewed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.harness import GROUP, Object, Objects, Site, condition, ready, workload

FIELD = "setHostnameAsFQDN"
LACKING = {
    "containerworkloads": ("spec", "template", "spec"),
    "containerinstances": ("spec",),
}
"""Where the definitions are made to lack a field; one that no rule of theirs names."""


@pytest.fixture
def stale(site: Site) -> Iterator[Site]:
    """An installation whose definitions were renewed by something that does not know a field; put right in the end."""
    install(site, *(lacking(plural, path) for plural, path in LACKING.items()))
    try:
        yield site
    finally:
        renew(site)
        until_served(site)


def until_served(site: Site) -> None:
    """The API server serves a changed definition a moment after it has taken it: ask until it takes the field."""
    probe = yaml.safe_dump(workload("probe", site.registry, instance={FIELD: True}))
    deadline = time.monotonic() + 15
    while site.plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=probe, check=False).returncode:
        assert time.monotonic() < deadline, "the definitions are not served again"


def lacking(plural: str, path: tuple[str, ...]) -> Object:
    """A definition of ours without the field."""
    definition: Object = yaml.safe_load((ROOT / "crds" / f"moorage.dev_{plural}.yaml").read_text())
    node: Any = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path:
        node = node["properties"][name]
    del node["properties"][FIELD]
    return definition


def install(site: Site, *definitions: Object) -> None:
    """Apply definitions as people do."""
    text = yaml.safe_dump_all(definitions)
    site.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)


def renew(site: Site) -> None:
    """Apply this release's own."""
    install(site, *(yaml.safe_load((ROOT / "crds" / f"moorage.dev_{plural}.yaml").read_text()) for plural in LACKING))


def told(obj: Object) -> str:
    """The message of the condition; empty when there is none."""
    return str(condition(obj, "SchemaStale").get("message", ""))


def test_stale_definitions_are_told_and_renewed_ones_are_not(stale: Site) -> None:
    """In the log, by an Event and by a condition on the node and on each workload; without a restart of either half."""
    site = stale
    site.apply(workload("web", site.registry))
    shown = site.workloads(lambda found: ready(found["web"]) and bool(told(found["web"])))["web"]
    assert "containerworkloads.moorage.dev is stale" in told(shown)
    assert f"spec.template.spec.{FIELD}" in told(shown)
    assert "moorage crds | kubectl apply" in told(shown)
    nodes = site.api.until(f"{GROUP}/runtimenodes", lambda found: bool(told(found[site.node])))
    assert f"containerinstances.moorage.dev is stale: it lacks spec.{FIELD}" in told(nodes[site.node])
    assert ready(nodes[site.node]), "the condition says nothing of the node itself"
    events = site.api.until("/api/v1/namespaces/default/events", lambda found: about(found) >= {"RuntimeNode", *LACKING})
    warning = next(e for e in events.values() if e["reason"] == "SchemaStale" and e["involvedObject"]["kind"] == "RuntimeNode")
    assert (warning["type"], warning["involvedObject"]["uid"]) == ("Warning", nodes[site.node]["metadata"]["uid"])
    for half in (site.agent, site.manager):
        assert len([line for line in errors(half.log) if "containerinstances" in line]) == 1, (
            "once for each change, not again and again"
        )
    assert "SchemaStale" in site.plane.kubectl("describe", "rn", site.node).stdout.partition("Events:")[2]
    renew(site)
    site.workloads(lambda found: ready(found["web"]) and not told(found["web"]))
    site.api.until(f"{GROUP}/runtimenodes", lambda found: not told(found[site.node]))


def test_what_is_older_than_the_definitions_says_so_at_its_start(site: Site) -> None:
    """A definition with a field of a later release; the manager is started after it is installed. Before, all was well."""
    site.manager.stop()
    assert "SchemaStale" not in json.dumps(site.api.objects(f"{GROUP}/runtimenodes"))
    for half in (site.agent, site.manager):
        assert not errors(half.log), "what an API server makes of a definition is no difference"
    definition = yaml.safe_load((ROOT / "crds" / "moorage.dev_containerworkloads.yaml").read_text())
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["berth"] = {"type": "string"}
    try:
        install(site, definition)
        site.apply(workload("web", site.registry))
        site.manager.start()
        shown = site.workloads(lambda found: bool(told(found["web"])))["web"]
        assert "is older than the definition containerworkloads.moorage.dev: it does not know spec.berth" in told(shown)
    finally:
        renew(site)
    site.workloads(lambda found: not told(found["web"]))


def errors(log: Path) -> list[str]:
    """What is said of definitions; an API server that puts a new one in force breaks watches off, which is said, too."""
    return [line for line in log.read_text().splitlines() if "ERROR" in line and "kube.definitions" in line]


def about(events: Objects) -> set[str]:
    """What the warnings are about: kinds, and for definitions their plural names."""
    found = [e["involvedObject"] for e in events.values() if e["reason"] == "SchemaStale"]
    return {ref["name"].split(".")[0] if ref["kind"] == "CustomResourceDefinition" else ref["kind"] for ref in found}
