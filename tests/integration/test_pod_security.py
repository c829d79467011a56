"""The Pod Security Standards on a real API server. The oracle is its own Pod Security admission, asked about the same Pod."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.api.podsecurity import cel
from controller.api.podsecurity.check import refusal
from controller.api.podsecurity.levels import Level, LevelVersion, Mode, Policy
from controller.api.podsecurity.table import CAPABILITIES
from tests.harness import GROUP, Objects, Site, Watcher, condition, message, ready, reason
from tests.harness import workload as site_workload
from tests.integration.pod_security import (
    HARDENED,
    Answer,
    Api,
    Object,
    comparable,
    container,
    enforced,
    instance,
    namespace,
    pod,
    specs,
    workload,
)
from tools.lab import ControlPlane

STANDARDS = tuple(
    LevelVersion(Level(level), version)
    for level, version in (
        ("privileged", "latest"),
        ("baseline", "latest"),
        ("baseline", "v1.18"),
        ("restricted", "latest"),
        ("restricted", "v1.7"),
        ("restricted", "v1.18"),
        ("restricted", "v1.21"),
        ("restricted", "v1.34"),
        ("restricted", "v1.99"),
    )
)
DEFAULT = Policy(LevelVersion(Level.BASELINE), LevelVersion(Level.BASELINE), LevelVersion(Level.BASELINE))
RANDOM_SPECS = 40

LABELS: dict[str, dict[str, str]] = {
    "ps-warn": {"pod-security.kubernetes.io/enforce": "privileged", "pod-security.kubernetes.io/warn": "restricted"},
    "ps-audit": {
        "pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/warn": "privileged",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/audit-version": "v1.30",
    },
    "ps-none": {},
}


def place(standard: LevelVersion) -> str:
    """Name of the namespace that the standard is enforced in."""
    return f"ps-{str(standard).replace(':', '-').replace('.', '-')}"


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Iterator[Api]:
    """The API server with our policies, and a namespace for each standard; at the end it is as before."""
    found = Api(plane)
    spaces = [namespace(place(s), enforced(s.level, s.version)) for s in STANDARDS]
    spaces += [namespace(name, labels) for name, labels in LABELS.items()]
    before = _policies(plane)
    try:
        plane.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": spaces}))
        for space in spaces:
            plane.kubectl("create", "serviceaccount", "default", "-n", space["metadata"]["name"], check=False)
        _apply(plane, cel.policies(DEFAULT))
        _until_in_force(found)
        yield found
    finally:
        plane.kubectl("delete", "-f", "-", "--wait=false", stdin=_listed(cel.policies(DEFAULT)))
        if before:
            _apply(plane, before)
        plane.kubectl("delete", "namespace", "--wait=false", *(s["metadata"]["name"] for s in spaces))
        found.close()


def _policies(plane: ControlPlane) -> list[Object]:
    """Those of the chart, where somebody has installed them; they have other levels for namespaces without labels."""
    kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    found = json.loads(plane.kubectl("get", kinds, "-o", "json").stdout)["items"]
    mine = {cel.name(mode) for mode in Mode}
    keep = ("name", "labels", "annotations")
    return [
        {key: obj[key] for key in ("apiVersion", "kind", "spec")}
        | {"metadata": {k: v for k, v in obj["metadata"].items() if k in keep}}
        for obj in found
        if obj["metadata"]["name"] in mine
    ]


def _apply(plane: ControlPlane, objects: list[Object]) -> None:
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=_listed(objects))


def _listed(objects: list[Object]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def _until_in_force(api: Api) -> None:
    """The API server compiles a new policy a little after it has taken it; nothing can be watched for that."""
    for _ in range(500):
        in_force = api.create("ps-restricted-latest", instance({"containers": [container("web")]})).status == 403
        by_default = api.create("ps-none", instance({"containers": [container("web", privileged=True)]})).status == 403
        warned = api.create("ps-warn", instance({"containers": [container("web")]})).warnings
        if in_force and by_default and warned:
            return
    raise AssertionError("the policies do not come into force")


@pytest.mark.timeout(180)
def test_a_spec_is_judged_as_the_same_pod_is(api: Api) -> None:
    """Let in or not, and every word of the violation: Pod, instance, workload and the Python check agree."""
    cases = [(spec, standard) for spec in specs(RANDOM_SPECS) for standard in STANDARDS]

    def judge(case: tuple[Object, LevelVersion]) -> tuple[bool, str]:
        spec, standard = case
        space, ours = place(standard), refusal(spec, standard)
        said = {
            "instance": api.create(space, instance(spec)).violation,
            "workload": api.create(space, workload(spec)).violation,
        }
        compared = comparable(spec, standard.minor)
        if compared:
            said["pod"] = api.create(space, pod(spec)).violation
        wrong = {who: words for who, words in said.items() if words != ours}
        return compared, f"{standard} {json.dumps(spec)}\n  python: {ours}\n  {wrong}" if wrong else ""

    with ThreadPoolExecutor(4) as pool:
        judged = list(pool.map(judge, cases))
    differences = [text for _, text in judged if text]
    pods = sum(compared for compared, _ in judged)
    print(f"{len(cases)} cases of {len(cases) // len(STANDARDS)} specs, {pods} of them as Pods; {len(differences)} differences")
    assert not differences, "\n".join(differences[:5])
    assert pods > 500, "the oracle was asked too little"


def test_the_policies_are_sound(api: Api, plane: ControlPlane) -> None:
    """The API server finds nothing to complain of in any expression (its type checker writes into the status)."""
    names = {cel.name(mode) for mode in Mode}

    def checked(found: Objects) -> bool:
        seen = {n: p.get("status", {}).get("observedGeneration") == p["metadata"]["generation"] for n, p in found.items()}
        return all(seen.get(name) for name in names)

    found = Watcher(plane).until("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", checked)
    for name in names:
        assert not found[name]["status"].get("typeChecking", {}).get("expressionWarnings"), found[name]["status"]


def test_a_namespace_without_labels_has_the_default_level(api: Api) -> None:
    """Baseline, as the chart has it; who is told it by an error is not warned of the same as well."""
    said = api.create("ps-none", workload({"hostNetwork": True, "containers": [container("web", privileged=True)]}))
    assert said.violation == (
        'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true), '
        'privileged (container "web" must not set securityContext.privileged=true)'
    )
    assert said.warnings == ()
    assert api.create("ps-none", workload({"containers": [container("web")]})) == Answer(201, "", ())


def test_warn_lets_in_and_warns(api: Api) -> None:
    """In the words of Pod Security admission, for both kinds."""
    for made in (workload, instance):
        said = api.create(
            "ps-warn", made({"containers": [container("web", **HARDENED), container("b", **HARDENED, runAsUser=0)]})
        )
        (warning,) = said.warnings
        assert said.status == 201
        told = 'would violate PodSecurity \\"restricted:latest\\": runAsUser=0 (container \\"b\\" must not set runAsUser=0)'
        assert told in warning


def test_warn_follows_what_is_enforced(api: Api) -> None:
    """Where a namespace enforces restricted and says nothing of warn, its refusals come without a second telling."""
    said = api.create("ps-restricted-latest", workload({"containers": [container("web")]}))
    assert said.status == 403
    assert said.warnings == ()


def test_audit_lets_in_and_says_so_in_the_audit_log(api: Api, plane: ControlPlane) -> None:
    """The violation is an annotation of the request's audit event."""
    name = "audited"
    said = api.create("ps-audit", workload({"containers": [container("web", **HARDENED, runAsUser=0)]}, name))
    assert (said.status, said.warnings) == (201, ())
    events = [json.loads(line) for line in plane.audit_log.read_text().splitlines() if f'"{name}"' in line]
    annotations = [e["annotations"] for e in events if e.get("objectRef", {}).get("namespace") == "ps-audit"]
    (failure,) = json.loads(annotations[-1]["validation.policy.admission.k8s.io/validation_failure"])
    assert failure["policy"] == "moorage-pod-security-audit"
    assert failure["message"] == (
        'would violate PodSecurity "restricted:v1.30": runAsUser=0 (container "web" must not set runAsUser=0)'
    )


@pytest.mark.parametrize("level", ["baseline", "restricted"])
@pytest.mark.parametrize("made", [instance, workload])
def test_the_largest_spec_is_judged_within_the_cost_budget(api: Api, level: str, made: Callable[[Object], Object]) -> None:
    """32 containers with the longest names that each violate everything: neither the budget nor the words run out."""
    add = [f"CAP{number:060d}" for number in range(34)] + [c for c in CAPABILITIES if c != "CHOWN"][:30]
    bad = {
        "privileged": True,
        "procMount": "Unmasked",
        "runAsNonRoot": False,
        "runAsUser": 0,
        "seccompProfile": {"type": "Unconfined"},
        "capabilities": {"add": add, "drop": ["CHOWN"] * 64},
    }
    spec: Object = {
        "hostNetwork": True,
        "securityContext": {"runAsUser": 0, "runAsNonRoot": False, "seccompProfile": {"type": "Unconfined"}},
        "containers": [container(f"c{number:062d}", **bad) for number in range(32)],
    }
    said = api.create(f"ps-{level}-latest", made(spec)).violation
    whole = refusal(spec, LevelVersion(Level(level)))
    assert 4900 < len(said) < 5120
    assert said.endswith(" ...")
    assert whole.startswith(said.removesuffix(" ...")[:1500])


def test_only_what_changes_something_that_matters_is_judged(api: Api, plane: ControlPlane) -> None:
    """What was let in before its namespace became stricter can be scaled, suspended, labelled, deleted; not changed."""
    space = "ps-stricter"
    plane.kubectl("create", "-f", "-", stdin=json.dumps(namespace(space, enforced("privileged"))))
    try:
        made = workload({"hostNetwork": True, "containers": [container("web")]})
        one = instance(made["spec"]["template"]["spec"])
        one["metadata"]["finalizers"] = ["moorage.dev/agent"]
        for obj in (made, one):
            plane.kubectl("create", "-n", space, "-f", "-", stdin=json.dumps(obj))
        plane.kubectl("label", "namespace", space, "--overwrite", "pod-security.kubernetes.io/enforce=baseline")
        _until_refused(api, space)

        def changed(kind: str, patch: Object) -> str:
            done = plane.kubectl("patch", f"{kind}/x", "-n", space, "--type=merge", "-p", json.dumps(patch), check=False)
            return done.stderr if done.returncode else ""

        assert changed("cw", {"spec": {"suspend": True, "replicas": 0}, "metadata": {"labels": {"a": "b"}}}) == ""
        assert changed("ci", {"spec": {"suspend": True, "terminationGracePeriodSeconds": 1}}) == ""
        assert "host namespaces" in changed("cw", {"spec": {"template": {"spec": {"containers": [container("new")]}}}})
        assert "host namespaces" in changed("ci", {"spec": {"containers": [container("new")]}})
        plane.kubectl("delete", "ci/x", "-n", space, "--wait=false")
        assert changed("ci", {"metadata": {"finalizers": None}}) == ""
    finally:
        plane.kubectl("patch", "ci/x", "-n", space, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)
        plane.kubectl("delete", "namespace", space, "--wait=false")


@pytest.mark.timeout(180)
def test_the_node_looks_again(api: Api, site: Site) -> None:
    """Past the API server's check, the agent refuses; new labels are looked at; what runs is left, and not started again."""
    space, name = "ps-node", "pod-security.kubernetes.io/enforce"
    path = f"{GROUP}/namespaces/{space}/containerinstances"
    kubectl = site.plane.kubectl
    spec = site_workload("x", site.registry)["spec"]["template"]["spec"]
    site.agent.stop()  # before it can have seen, and kept, the level that lets the instance past the API server
    kubectl("create", "-f", "-", stdin=json.dumps(namespace(space, enforced("privileged"))))
    try:
        one = instance(spec) | {"spec": spec | {"nodeName": site.node}}
        kubectl("create", "-n", space, "-f", "-", stdin=json.dumps(one))
        kubectl("label", "namespace", space, "--overwrite", f"{name}=baseline")
        site.agent.start()
        found = site.api.until(path, lambda found: reason(found["x"]) == "PodSecurity")
        assert message(found["x"]) == 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
        assert condition(found["x"], "Stalled")["status"] == "True"
        assert site.containers() == {}
        kubectl("label", "namespace", space, "--overwrite", f"{name}=privileged")
        site.api.until(path, lambda found: ready(found["x"]))
        kubectl("label", "namespace", space, "--overwrite", f"{name}=restricted")
        (pid,) = site.containers().values()
        _until_refused(api, space)
        assert list(site.containers().values()) == [pid]
        os.kill(pid, signal.SIGKILL)
        found = site.api.until(path, lambda found: reason(found["x"]) == "PodSecurity")
        assert message(found["x"]).startswith('violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true), ')
        assert site.containers() == {}
    finally:
        site.agent.start()
        kubectl("delete", "namespace", space, "--wait=false")


def test_a_workload_whose_instances_are_refused_is_stalled(api: Api, site: Site) -> None:
    """With the API server's words, in which Pod Security's are; and it goes on when the namespace allows it."""
    space, name = "ps-workload", "pod-security.kubernetes.io/enforce"
    path = f"{GROUP}/namespaces/{space}/containerworkloads"
    kubectl = site.plane.kubectl
    made = site_workload("x", site.registry, replicas=0)
    made["metadata"]["namespace"] = space
    kubectl("create", "-f", "-", stdin=json.dumps(namespace(space, enforced("privileged"))))
    try:
        site.apply(made)
        kubectl("label", "namespace", space, "--overwrite", f"{name}=baseline")
        _until_refused(api, space)
        kubectl("scale", "cw/x", "-n", space, "--replicas=1")
        found = site.api.until(path, lambda found: reason(found["x"]) == "FailedCreate")
        assert condition(found["x"], "Stalled")["status"] == "True"
        assert 'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)' in message(found["x"])
        kubectl("label", "namespace", space, "--overwrite", f"{name}=privileged")
        site.api.until(path, lambda found: ready(found["x"]))
    finally:
        kubectl("delete", "namespace", space, "--wait=false")


def _until_refused(api: Api, space: str) -> None:
    """The API server's admission reads namespaces from a cache, a moment behind."""
    for _ in range(500):
        if api.create(space, instance({"hostNetwork": True, "containers": [container("web")]}, "y")).status == 403:
            return
    raise AssertionError(f"the labels of {space} do not come into force")
