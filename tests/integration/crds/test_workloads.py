"""Workloads: what is taken and what is refused."""

import pytest

from tests.integration.crds.cases import CONTAINER, check_refused, take, within, workload
from tools.lab import ControlPlane

BAD = within(
    "spec",
    {
        "an unknown field": ({"replica": 2}, ".replica", "unknown field"),
        "a wrong type": ({"replicas": "two"}, ".replicas", "must be of type integer"),
        "no template": ({"template": None}, ".template", "Required value"),
        "replicas of a Global workload": (
            {"mode": "Global", "replicas": 3},
            ".replicas",
            "replicas is for mode Replicated",
        ),
        "negative replicas": ({"replicas": -1}, ".replicas", "greater than or equal to 0"),
        "maxUnavailable 0": ({"update.maxUnavailable": 0}, ".update.maxUnavailable", "number from 1"),
        "maxUnavailable 0%": ({"update.maxUnavailable": "0%"}, ".update.maxUnavailable", "from 1% to 100%"),
        "maxUnavailable as a text without percent": (
            {"update.maxUnavailable": "3"},
            ".update.maxUnavailable",
            "a percentage",
        ),
        "a label key that is none": (
            {"template.metadata.labels": {"a b": "x"}},
            ".template.metadata.labels",
            "keys are [prefix/]name",
        ),
        "a label value that is none": (
            {"template.metadata.labels": {"a": "x y"}},
            ".template.metadata.labels.a",
            "should match",
        ),
        "a label of Moorage's own": (
            {"template.metadata.labels": {"moorage.dev/workload": "x"}},
            ".template.metadata.labels",
            "choose another prefix",
        ),
        "a selector with a key that is none": (
            {"placement.nodeSelector": {"a b": "x"}},
            ".placement.nodeSelector",
            "keys are [prefix/]name",
        ),
        "a toleration of everything by accident": (
            {"placement.tolerations": [{"value": "x"}]},
            ".placement.tolerations[0].operator",
            "needs operator: Exists",
        ),
        "a toleration that exists and compares": (
            {"placement.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            ".placement.tolerations[0].value",
            "compares no value",
        ),
    },
) | {
    "a name that is too long for a label": (
        workload(**{"metadata.name": "w" * 64}),
        "metadata.name",
        "at most 63 characters",
    ),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_refused(plane: ControlPlane, sentence: str) -> None:
    """At apply, with the path of the field and what is wrong with it."""
    check_refused(plane, BAD[sentence])


GOOD = {
    "the least that can be said": workload(),
    "everything that can be said": workload(
        **{
            "spec.replicas": 3,
            "spec.placement": {
                "nodeName": "node1",
                "nodeSelector": {"kubernetes.io/arch": "amd64", "zone": ""},
                "tolerations": [
                    {"operator": "Exists"},
                    {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
                    {"key": "x", "operator": "Exists", "effect": "NoExecute"},
                ],
            },
            "spec.suspend": True,
            "spec.update": {
                "type": "Recreate",
                "maxUnavailable": "25%",
                "minReadySeconds": 5,
                "progressDeadlineSeconds": 60,
            },
            "spec.nodeLost": {"policy": "Wait", "afterSeconds": 60},
            "spec.template.metadata": {
                "labels": {"app.kubernetes.io/name": "web", "a": ""},
                "annotations": {"example.com/note": "any text, any length"},
            },
            f"{CONTAINER}.command": ["/bin/sh", "-c"],
            f"{CONTAINER}.args": ["exec web"],
            f"{CONTAINER}.env": [
                {"name": "PORT", "value": "8080"},
                {"name": "EMPTY"},
                {"name": "NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "APP", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['example.com/app']"}}},
                {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "a.b", "key": "x.y_z-1"}}},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "k", "optional": True}}},
                {"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": 1}}},
                {
                    "name": "MEMORY",
                    "valueFrom": {"resourceFieldRef": {"containerName": "web", "resource": "limits.memory", "divisor": "1Mi"}},
                },
            ],
            f"{CONTAINER}.envFrom": [
                {"prefix": "any. ", "configMapRef": {"name": "a", "optional": True}},
                {"secretRef": {"name": "a"}},
                {"secretRef": {"name": "a"}},
            ],
            f"{CONTAINER}.workingDir": "/srv",
            f"{CONTAINER}.imagePullPolicy": "Always",
            f"{CONTAINER}.ports": [
                {"containerPort": 53, "name": "dns", "protocol": "UDP"},
                {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
            ],
            f"{CONTAINER}.resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
            "spec.template.spec.restartPolicy": "OnFailure",
            "spec.template.spec.backoff": {"initialSeconds": 2, "maxSeconds": 10, "resetAfterSeconds": 30},
            "spec.template.spec.terminationGracePeriodSeconds": 0,
            "spec.template.spec.hostPID": True,
            "spec.template.spec.hostIPC": True,
            "spec.template.spec.volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
                {"name": "logs", "hostPath": {"path": "/var/log", "type": "DirectoryOrCreate"}},
                {"name": "art", "image": {"reference": "art:1", "pullPolicy": "Never"}},
                {"name": "map", "configMap": {"name": "a", "optional": True, "items": [{"key": "k", "path": ".x/k"}]}},
                {"name": "secret", "secret": {"secretName": "a", "defaultMode": 0o400}},
                {"name": "own", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                {"name": "all", "projected": {"sources": [{"configMap": {"name": "a"}}, {"secret": {"name": "a"}}]}},
            ],
            f"{CONTAINER}.volumeMounts": [
                {"name": "data", "mountPath": "/data", "subPath": "a/..b", "mountPropagation": "HostToContainer"},
                {"name": "data", "mountPath": "/more", "subPathExpr": "$(PORT)", "readOnly": True},
                {"name": "fast", "mountPath": "/fast", "readOnly": True, "recursiveReadOnly": "IfPossible"},
                {"name": "logs", "mountPath": "/var/log/", "mountPropagation": "None"},
            ],
            "spec.template.spec.securityContext": {
                "runAsUser": 0,
                "runAsGroup": 2**31 - 1,
                "runAsNonRoot": False,
                "supplementalGroups": [5, 6],
                "fsGroup": 7,
                "seccompProfile": {"type": "Unconfined"},
            },
            f"{CONTAINER}.securityContext": {
                "privileged": False,
                "allowPrivilegeEscalation": False,
                "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
                "runAsUser": 1001,
                "runAsGroup": 1001,
                "runAsNonRoot": True,
                "readOnlyRootFilesystem": True,
                "procMount": "Unmasked",
                "seccompProfile": {"type": "Localhost", "localhostProfile": "team/..web/a.json"},
            },
        }
    ),
    "a Global workload": workload(**{"spec.mode": "Global"}),
    "maxUnavailable 100%": workload(**{"spec.update.maxUnavailable": "100%"}),
    "no replicas": workload(**{"spec.replicas": 0}),
    "the longest name": workload(**{"metadata.name": "w" * 63}),
}


@pytest.mark.parametrize("sentence", GOOD)
def test_good_input_is_taken(plane: ControlPlane, sentence: str) -> None:
    """With strict field validation, as kubectl asks for it."""
    take(plane, GOOD[sentence])
