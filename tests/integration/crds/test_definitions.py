"""What the API server does with the definitions beside holding input to them: defaults, selectors, subresources, columns."""

import json

import pytest
import yaml

from tests.conftest import ROOT
from tests.harness import GROUP, Object, Watcher
from tests.integration.crds.cases import instance, workload
from tools.lab import ControlPlane


def test_the_definitions_are_accepted_as_they_are(plane: ControlPlane) -> None:
    """Established, names accepted, structural; and applying them again changes nothing."""
    api = Watcher(plane)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    before = api.objects(path)
    assert len(before) == 5
    for crd in before.values():
        conditions = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert conditions["NamesAccepted"] == "True"
        assert "NonStructuralSchema" not in conditions
    plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    after = api.objects(path)
    assert {n: c["metadata"]["resourceVersion"] for n, c in after.items()} == {
        n: c["metadata"]["resourceVersion"] for n, c in before.items()
    }


def test_defaults_are_filled_in(plane: ControlPlane) -> None:
    """Also inside objects that were left out; and the status says that nobody has seen the object."""
    text = plane.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=yaml.safe_dump(workload())).stdout
    made = json.loads(text)
    spec = made["spec"]
    assert (spec["mode"], spec["replicas"], spec["suspend"]) == ("Replicated", 1, False)
    assert spec["update"] == {
        "type": "RollingUpdate",
        "maxUnavailable": 1,
        "minReadySeconds": 0,
        "progressDeadlineSeconds": 600,
    }
    assert spec["nodeLost"] == {"policy": "Replace", "afterSeconds": 300}
    template = spec["template"]["spec"]
    assert template["backoff"] == {"initialSeconds": 1, "maxSeconds": 60, "resetAfterSeconds": 120}
    assert (template["restartPolicy"], template["terminationGracePeriodSeconds"]) == ("Always", 30)
    assert template["containers"] == [{"name": "web", "image": "web:1"}]  # kubectl's apply compares lists as a whole
    assert made["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("options", [[], ["--server-side"]], ids=["client-side", "server-side"])
def test_applying_again_changes_nothing(plane: ControlPlane, namespace: str, options: list[str]) -> None:
    """The same file again is no new resourceVersion and no new generation.

    The default of the status is stored with the first write after the creation (the status of a created object is dropped),
    so it is written here first, as manager and agent do.
    """
    obj = yaml.safe_dump(workload())

    def apply() -> Object:
        text = plane.kubectl("apply", *options, "-n", namespace, "-o", "json", "-f", "-", stdin=obj).stdout
        meta = json.loads(text)["metadata"]
        return {key: meta[key] for key in ("resourceVersion", "generation")}

    apply()
    status = '{"status":{"ready":"0/1"}}'
    plane.kubectl("patch", "-n", namespace, "cw/web", "--subresource=status", "--type=merge", "-p", status)
    first = json.loads(plane.kubectl("get", "-n", namespace, "cw/web", "-o", "json").stdout)["metadata"]
    assert [apply(), apply()] == [{key: first[key] for key in ("resourceVersion", "generation")}] * 2


IMMUTABLE = {
    "nodeName": (instance(), instance(**{"spec.nodeName": "node2"}), "spec.nodeName", "nodeName is immutable"),
    "mode": (workload(), workload(**{"spec.mode": "Global"}), "spec.mode", "mode is immutable"),
}


@pytest.mark.parametrize("field", IMMUTABLE)
def test_immutable_fields(plane: ControlPlane, namespace: str, field: str) -> None:
    """A change is refused, with what to do instead."""
    first, second, path, message = IMMUTABLE[field]
    plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(first))
    answer = plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(second), check=False)
    assert answer.returncode != 0
    assert path in answer.stderr
    assert message in answer.stderr


def test_instances_are_selected_by_node(plane: ControlPlane, namespace: str) -> None:
    """An agent lists and watches its own instances only."""
    objects = [instance(**{"metadata.name": f"i{n}", "spec.nodeName": node}) for n, node in enumerate(["a", "b", "a"])]
    plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(objects))
    api = Watcher(plane)
    path = f"{GROUP}/namespaces/{namespace}/containerinstances?fieldSelector=spec.nodeName%3Da"
    assert sorted(api.objects(path)) == ["i0", "i2"]


def test_scale_and_status_are_subresources(plane: ControlPlane, namespace: str) -> None:
    """`kubectl scale` changes replicas, a Global workload refuses it, and a status in an applied file is not taken."""
    plane.kubectl(
        "apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(workload(**{"status.replicas": 7, "spec.replicas": 1}))
    )
    plane.kubectl("scale", "-n", namespace, "cw/web", "--replicas=4")
    made = json.loads(plane.kubectl("get", "-n", namespace, "cw/web", "-o", "json").stdout)
    assert made["spec"]["replicas"] == 4
    assert made["status"] == {"observedGeneration": -1}
    every = workload(**{"metadata.name": "every", "spec.mode": "Global"})
    plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(every))
    refused = plane.kubectl("scale", "-n", namespace, "cw/every", "--replicas=4", check=False)
    assert "a Global workload runs one instance on every matching node" in refused.stderr


def test_people_see_columns(plane: ControlPlane, namespace: str) -> None:
    """`kubectl get` shows what was written into the status, for all kinds of the category at once."""
    plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all([workload(), instance()]))
    status = {
        "ready": "1/2",
        "restarts": 3,
        "nodes": "n1,n2",
        "conditions": [
            {
                "type": "Ready",
                "status": "Unknown",
                "reason": "CrashLoopBackOff",
                "lastTransitionTime": "2030-01-01T00:00:00Z",
                "message": "m",
            }
        ],
    }
    patch = json.dumps({"status": status})
    plane.kubectl("patch", "-n", namespace, "cw/web", "--subresource=status", "--type=merge", "-p", patch)
    shown = plane.kubectl("get", "-n", namespace, "cw").stdout.split("\n")
    assert shown[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "IMAGE", "NODE", "AGE"]
    assert shown[1].split()[:6] == ["web", "1/2", "CrashLoopBackOff", "3", "web:1", "n1,n2"]
    assert plane.kubectl("get", "-n", namespace, "moorage", "-o", "name").stdout.split() == [
        "containerinstance.moorage.dev/one",
        "containerworkload.moorage.dev/web",
    ]


def test_kubectl_explains(plane: ControlPlane) -> None:
    """Descriptions, defaults and enums reach `kubectl explain`."""
    text = plane.kubectl("explain", "cw.spec.update.type").stdout
    assert "at most maxUnavailable at a time" in text
    assert "RollingUpdate" in text
