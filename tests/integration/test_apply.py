"""A workload in the hands of kubectl and of several owners: who writes what, and how it reads."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.harness import GROUP, Object, Objects, Site, ready, started, workload
from tools.lab import Containerd, ControlPlane, Registry
from tools.lab.command import tool

WORKLOADS = f"{GROUP}/namespaces/default/containerworkloads"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@pytest.fixture(scope="module")
def site(
    plane: ControlPlane, containerd: Containerd, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """One installation for all tests here; each has workloads of its own."""
    with started(Site(plane, containerd, registry, tmp_path_factory.mktemp("apply") / "s", f"apply-{os.getpid()}")) as found:
        yield found


def _apply(site: Site, obj: Object, manager: str = "") -> str:
    """Client-side apply, or server-side as that field manager; what kubectl says."""
    options = ["--server-side", f"--field-manager={manager}"] if manager else []
    done = site.plane.kubectl("apply", *options, "-f", "-", stdin=yaml.safe_dump(obj), check=False)
    return done.stdout + done.stderr


def _ready(site: Site, name: str, generation: int, replicas: int = 1) -> Object:
    """The workload, once it is Ready in that generation with so many instances."""

    def true(found: Objects) -> bool:
        obj = found.get(name)
        if obj is None or not ready(obj) or obj["metadata"]["generation"] != generation:
            return False
        return bool(obj["status"]["readyReplicas"] == replicas)

    return site.workloads(true)[name]


def _position(site: Site) -> int:
    return site.plane.audit_log.stat().st_size


def _written(site: Site, since: int, name: str) -> set[tuple[str, str, str]]:
    """Who wrote what to a workload and its instances since a position in the audit log: (program, verb, resource)."""
    found = set()
    with site.plane.audit_log.open() as log:
        log.seek(since)
        for line in log:
            entry = json.loads(line)
            ref = entry.get("objectRef", {})
            ours = ref.get("apiGroup") == "moorage.dev" and ref.get("namespace") == "default"
            if entry["verb"] in WRITES and ours and re.fullmatch(rf"{name}(-[0-9a-f]+)?", ref.get("name", "")):
                resource = "/".join(filter(None, (ref["resource"], ref.get("subresource"))))
                found.add((entry["userAgent"].partition("/")[0], entry["verb"], resource))
    return found


def _owners(obj: Object) -> dict[str, set[str]]:
    """The fields below spec that each field manager owns, and `status` for those that own any of it."""
    owned: dict[str, set[str]] = {}
    for entry in obj["metadata"]["managedFields"]:
        fields = {key[2:] for key in entry["fieldsV1"].get("f:spec", {}) if key.startswith("f:")}
        fields |= {"status"} if "f:status" in entry["fieldsV1"] else set()
        owned.setdefault(entry["manager"], set()).update(fields)
    return owned


def test_two_owners_share_a_workload_and_moorage_owns_nothing_of_its_spec(site: Site) -> None:
    """Server-side apply: one owns the template, another the number and the pause; neither ever meets a conflict with us."""
    asked = workload("shared", site.registry)
    scale = {key: asked[key] for key in ("apiVersion", "kind", "metadata")}
    assert "applied" in _apply(site, asked, "templates")
    assert "applied" in _apply(site, scale | {"spec": {"replicas": 2}}, "scaler")
    _ready(site, "shared", 2, 2)
    asked["spec"]["template"]["spec"]["containers"][0]["image"] = f"{site.registry.host}/busybox:docker"
    assert "applied" in _apply(site, asked, "templates")
    _ready(site, "shared", 3, 2)
    assert "applied" in _apply(site, scale | {"spec": {"replicas": 2, "suspend": True}}, "scaler")
    site.workloads(lambda o: ready(o["shared"]) and o["shared"]["spec"]["suspend"] and o["shared"]["status"]["ready"] == "0/2")
    assert "applied" in _apply(site, scale | {"spec": {"replicas": 1, "suspend": False}}, "scaler")
    found = _ready(site, "shared", 5)
    assert _owners(site.api.get(f"{WORKLOADS}/shared")) == {
        "templates": {"template"},
        "scaler": {"replicas", "suspend"},
        "moorage": {"status"},
    }
    assert found["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":docker")
    asked["spec"]["replicas"] = 3
    said = _apply(site, asked, "templates")
    assert 'conflict with "scaler": .spec.replicas' in said, "ownership is real"


@pytest.mark.parametrize("manager", ["", "flux"])
def test_the_same_apply_twice_writes_nothing(site: Site, manager: str) -> None:
    """The object keeps its resourceVersion, its instances keep theirs, and nobody of ours writes anything."""
    name = f"twice{manager}"
    asked = workload(name, site.registry)
    _apply(site, asked, manager)
    _ready(site, name, 1)
    before = _versions(site, name)
    since = _position(site)
    said = _apply(site, asked, manager)
    assert "serverside-applied" in said if manager else "unchanged" in said
    _apply(site, workload(f"after{manager}", site.registry))  # whatever the second apply sets off comes before this one's end
    _ready(site, f"after{manager}", 1)
    assert _versions(site, name) == before
    assert {program for program, _, _ in _written(site, since, name)} <= {"kubectl"}


def _versions(site: Site, name: str) -> dict[str, str]:
    found = {**site.workloads(), **site.instances()}
    return {key: obj["metadata"]["resourceVersion"] for key, obj in found.items() if re.fullmatch(rf"{name}(-[0-9a-f]+)?", key)}


def test_moorage_writes_nothing_of_a_workload_but_its_status(site: Site) -> None:
    """From apply over scale and update to deletion, by the API server's own audit log."""
    since = _position(site)
    asked = workload("given", site.registry)
    site.apply(asked)
    _ready(site, "given", 1)
    site.plane.kubectl("scale", "cw/given", "--replicas=2")
    _ready(site, "given", 2, 2)
    asked["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}]
    site.apply(asked)
    _ready(site, "given", 3, 2)  # replicas was never applied, so apply leaves it as scale set it
    site.plane.kubectl("delete", "cw/given")
    site.instances(lambda found: not any(name.startswith("given-") for name in found))
    written = _written(site, since, "given")
    ours = {(verb, resource) for program, verb, resource in written if program not in {"kubectl", "kube-controller-manager"}}
    assert {entry for entry in ours if entry[1].startswith("containerworkloads")} == {("patch", "containerworkloads/status")}


@pytest.mark.parametrize("manager", ["", "flux"])
def test_diff_is_empty_after_apply(site: Site, manager: str) -> None:
    """Neither the API server's defaults nor our status make a difference; quantities stay as people write them."""
    resources = {"limits": {"cpu": "0.5", "memory": "65536Ki"}}
    asked = workload(f"same{manager}", site.registry, container={"resources": resources}, update={"maxUnavailable": "50%"})
    _apply(site, asked, manager)
    _ready(site, f"same{manager}", 1)
    options = ["--server-side", f"--field-manager={manager}"] if manager else []
    done = site.plane.kubectl("diff", *options, "-f", "-", stdin=yaml.safe_dump(asked), check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    asked["spec"]["suspend"] = True
    done = site.plane.kubectl("diff", *options, "-f", "-", stdin=yaml.safe_dump(asked), check=False)
    changed = [line for line in done.stdout.splitlines() if re.match(r"[+-] ", line) and "last-applied" not in line]
    assert (done.returncode, [line.split() for line in changed if "generation" not in line]) == (
        1,
        [["-", "suspend:", "false"], ["+", "suspend:", "true"]],
    )


def test_the_tables_read_well(site: Site) -> None:
    """`get -o wide` of all three kinds: name, what, why, where; one line each, in columns that people know from pods."""
    site.apply(
        workload("seen", site.registry), workload("seenbad", site.registry, container={"image": "registry.example/Upper:1"})
    )
    site.workloads(lambda o: ready(o["seen"]) and "conditions" in o["seenbad"]["status"])
    heads: dict[str, str] = {
        "cw": "NAME READY STATUS RESTARTS IMAGE NODE AGE MODE UPDATED MESSAGE",
        "ci": "NAME READY STATUS RESTARTS IMAGE NODE AGE IP PHASE MESSAGE",
        "rn": "NAME READY STATUS CORDONED RUNTIME VERSION IP ARCH KERNEL OS-IMAGE CPU MEMORY IMAGES DISK% DISK-PRESSURE "
        "AGENT AGE",
    }
    tables = {kind: site.plane.kubectl("get", kind, "-o", "wide").stdout.splitlines() for kind in heads}
    assert {kind: " ".join(lines[0].split()) for kind, lines in tables.items()} == heads
    (good,) = [line for line in tables["cw"] if line.startswith("seen ")]
    assert re.fullmatch(r"seen 1/1 Available 0 \S+/busybox:1 apply-\d+ \d+s Replicated 1", " ".join(good.split()))
    (bad,) = [line for line in tables["ci"] if line.startswith("seenbad-")]
    assert re.match(
        r"seenbad-\w+ 0/1 InvalidImageName 0 registry.example/Upper:1 apply-\d+ \d+s \S+ Pending container 'main': image "
        r"'registry.example/Upper:1': 'Upper' is not a repository name",
        " ".join(bad.split()),
    )
    (node,) = [line for line in tables["rn"] if line.startswith(site.node)]
    assert re.match(rf"{site.node} True AgentReady false containerd 2\.\S+ ", " ".join(node.split()))


def test_watching_shows_each_step_on_a_line(site: Site) -> None:
    """`get -w` tells of an update as it goes."""
    site.apply(workload("watched", site.registry))
    generation = _ready(site, "watched", 1)["metadata"]["generation"]
    command = [str(tool("kubectl")), "--kubeconfig", str(site.plane.kubeconfig), "get", "cw", "watched", "-w"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        head, first = watch.stdout.readline().split(), watch.stdout.readline().split()
        try:
            site.plane.kubectl("patch", "cw/watched", "--type=merge", "-p", '{"spec": {"suspend": true}}')
            rows = [first]
            while rows[-1][1:3] != ["0/1", "Suspended"]:
                rows.append(watch.stdout.readline().split())
        finally:
            watch.terminate()
    assert generation == 1
    assert head[:3] == ["NAME", "READY", "STATUS"]
    assert [row[:3] for row in (rows[0], rows[-1])] == [["watched", "1/1", "Available"], ["watched", "0/1", "Suspended"]]
    assert all(len(row) == len(head) for row in rows)


def test_describe_tells_what_happened(site: Site) -> None:
    """The conditions with reason and message, and the events of the instance with their source."""
    site.apply(workload("told", site.registry, container={"command": ["sh", "-c", "exit 3"]}))
    found = site.instances(lambda o: any(_backs_off(i) for name, i in o.items() if name.startswith("told-")))
    (name,) = [name for name in found if name.startswith("told-")]
    site.api.until("/api/v1/namespaces/default/events", lambda o: {"Started", "BackOff"} <= _events_of(o, name))
    text = " ".join(site.plane.kubectl("describe", f"ci/{name}").stdout.split())
    assert "Reason: CrashLoopBackOff Status: Unknown Type: Ready" in text
    assert "Last State: Terminated: Container ID: containerd://" in text
    assert "Exit Code: 3" in text
    assert re.search(r"Warning BackOff \S+( \(x\d+ over \S+\))? moorage-agent container 'main': ended with exit code 3", text)


def _backs_off(obj: Object) -> bool:
    states = [c["state"].get("waiting", {}).get("reason") for c in obj.get("status", {}).get("containers", [])]
    return "CrashLoopBackOff" in states


def _events_of(events: Objects, name: str) -> set[str]:
    return {e["reason"] for e in events.values() if e["involvedObject"]["name"] == name}


def test_the_script_that_waits_for_success_and_failure_does(site: Site) -> None:
    """The one in docs/gitops.md ends with 0 when the workload is ready and with 1 when it has failed, and does not wait on."""
    page = (ROOT / "docs" / "gitops.md").read_text()
    (script,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    site.apply(workload("well", site.registry), workload("ill", site.registry, container={"image": "registry.example/Upper:1"}))
    path = f"{tool('kubectl').parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "KUBECONFIG": str(site.plane.kubeconfig)}
    for name, code in (("well", 0), ("ill", 1)):
        words = ["bash", "-c", script.replace("cw/web", f"cw/{name}")]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stderr


def test_scale_works_where_it_means_something(site: Site) -> None:
    """`kubectl scale` and autoscalers use the scale subresource; a Global workload says why it has no replicas."""
    site.apply(workload("wide", site.registry), workload("everywhere", site.registry, mode="Global"))
    site.plane.kubectl("scale", "cw/wide", "--replicas=3", "--current-replicas=1")
    _ready(site, "wide", 2, 3)
    scale: dict[str, Any] = site.api.get(f"{WORKLOADS}/wide/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 3, "selector": "moorage.dev/workload=wide"})
    said = site.plane.kubectl("scale", "cw/everywhere", "--replicas=2", check=False).stderr
    assert "spec.replicas" in said
    assert "a Global workload runs one instance on every matching node" in said
    site.plane.kubectl("autoscale", "cw/wide", "--min=1", "--max=3", "--dry-run=server")


@pytest.mark.parametrize("kind", ["containerworkloads", "containerinstances", "runtimenodes"])
def test_explain_has_words_for_every_field(site: Site, kind: str) -> None:
    """`kubectl explain --recursive` knows every field of the schema, and none is without a description."""
    listed = site.plane.kubectl("explain", kind, "--recursive").stdout
    crd = json.loads(site.plane.kubectl("get", "crd", f"{kind}.moorage.dev", "-o", "json").stdout)
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    silent = [path for path, node in _fields(schema) if not node.get("description")]
    assert silent == [], "fields without a description"
    known = set(re.findall(r"^\s+([\w-]+)\s+<", listed, re.MULTILINE))
    assert {path.rpartition(".")[2] for path, _ in _fields(schema)} <= known


def _fields(schema: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    for name, node in schema.get("properties", {}).items():
        if not path and name in {"apiVersion", "kind", "metadata"}:
            continue  # the API server's own
        yield f"{path}.{name}", node
        yield from _fields(node, f"{path}.{name}")
        if "items" in node:
            yield from _fields(node["items"], f"{path}.{name}[]")
