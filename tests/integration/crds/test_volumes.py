"""Volumes and their mounts: what is refused, as core/v1 validates them, and the defaults of tokens."""

import json
from typing import Any

import pytest
import yaml

from tests.harness import Object
from tests.integration.crds.cases import CONTAINER, Case, refusal, take, workload
from tools.lab import ControlPlane

VOLUME = {"name": "data", "emptyDir": {}}
AT = {"name": "data", "mountPath": "/d"}
NAME = {"fieldPath": "metadata.name"}


def mounting(mount: Object, volume: Object = VOLUME, **container: Any) -> Object:
    """A workload whose container mounts a volume."""
    fields = {f"{CONTAINER}.{name}": value for name, value in container.items()}
    return workload(**{"spec.template.spec.volumes": [volume], f"{CONTAINER}.volumeMounts": [mount], **fields})


VOLUMES = "spec.template.spec.volumes"
MOUNTS = "spec.template.spec.containers[0].volumeMounts"
PRIVILEGED = {"securityContext": {"privileged": True}}

TOKEN = f"{VOLUMES}[0].projected.sources[0].serviceAccountToken"


def token(**fields: Any) -> Object:
    """A volume with a token."""
    return {"name": "data", "projected": {"sources": [{"serviceAccountToken": fields}]}}


MISMOUNTED: dict[str, Case] = {
    "a mount of no volume": (
        mounting({"name": "other", "mountPath": "/d"}),
        VOLUMES,
        "a volumeMount names no volume of the spec",
    ),
    "a mount without volumes": (
        workload(**{f"{CONTAINER}.volumeMounts": [AT]}),
        VOLUMES,
        "a volumeMount names no volume of the spec",
    ),
    "two mounts at one path": (
        workload(**{VOLUMES: [VOLUME], f"{CONTAINER}.volumeMounts": [AT, AT]}),
        f"{MOUNTS}[1]",
        "Duplicate value",
    ),
    "two volumes of one name": (
        workload(**{VOLUMES: [VOLUME, {"name": "data", "hostPath": {"path": "/srv"}}]}),
        f"{VOLUMES}[1]",
        "Duplicate value",
    ),
    "a volume without a source": (workload(**{VOLUMES: [{"name": "data"}]}), f"{VOLUMES}[0]", "must specify a volume type"),
    "a volume of two kinds": (
        workload(**{VOLUMES: [VOLUME | {"hostPath": {"path": "/srv"}}]}),
        f"{VOLUMES}[0]",
        "may not specify more than 1 volume type",
    ),
    "a volume of a kind that is not there": (
        workload(**{VOLUMES: [{"name": "data", "nfs": {"server": "a", "path": "/"}}]}),
        f"{VOLUMES}[0].nfs",
        "unknown field",
    ),
    "a volume name that is no DNS label": (
        workload(**{VOLUMES: [VOLUME | {"name": "a_b"}]}),
        f"{VOLUMES}[0].name",
        "should match",
    ),
    "a relative mountPath": (mounting(AT | {"mountPath": "d"}), f"{MOUNTS}[0].mountPath", "should match"),
    "a mountPath with a colon": (mounting(AT | {"mountPath": "/a:b"}), f"{MOUNTS}[0].mountPath", "should match"),
    "an absolute subPath": (mounting(AT | {"subPath": "/a"}), f"{MOUNTS}[0].subPath", "must be a relative path"),
    "a subPath upwards": (mounting(AT | {"subPath": "a/../../b"}), f"{MOUNTS}[0].subPath", "must not contain '..'"),
    "an absolute subPathExpr": (mounting(AT | {"subPathExpr": "/$(A)"}), f"{MOUNTS}[0].subPathExpr", "must be a relative path"),
    "a subPathExpr upwards": (mounting(AT | {"subPathExpr": "../$(A)"}), f"{MOUNTS}[0].subPathExpr", "must not contain '..'"),
    "subPath and subPathExpr": (
        mounting(AT | {"subPath": "a", "subPathExpr": "b"}),
        f"{MOUNTS}[0].subPathExpr",
        "subPathExpr and subPath are mutually exclusive",
    ),
    "Bidirectional without privileged": (
        mounting(AT | {"mountPropagation": "Bidirectional"}),
        MOUNTS,
        "Bidirectional mount propagation is available only to privileged containers",
    ),
    "an unknown propagation": (
        mounting(AT | {"mountPropagation": "Both"}),
        f"{MOUNTS}[0].mountPropagation",
        "Unsupported value",
    ),
    "recursiveReadOnly without readOnly": (
        mounting(AT | {"recursiveReadOnly": "Enabled"}),
        f"{MOUNTS}[0].recursiveReadOnly",
        "may only be specified when readOnly is true",
    ),
    "recursiveReadOnly with propagation": (
        mounting(AT | {"readOnly": True, "recursiveReadOnly": "IfPossible", "mountPropagation": "HostToContainer"}),
        f"{MOUNTS}[0].recursiveReadOnly",
        "may only be specified when mountPropagation is None",
    ),
    "an unknown medium": (
        mounting(AT, {"name": "data", "emptyDir": {"medium": "HugePages"}}),
        f"{VOLUMES}[0].emptyDir.medium",
        "Unsupported value",
    ),
    "a relative hostPath": (
        mounting(AT, {"name": "data", "hostPath": {"path": "srv"}}),
        f"{VOLUMES}[0].hostPath.path",
        "must be an absolute path",
    ),
    "a hostPath upwards": (
        mounting(AT, {"name": "data", "hostPath": {"path": "/srv/../etc"}}),
        f"{VOLUMES}[0].hostPath.path",
        "must not contain '..'",
    ),
    "an unknown type of hostPath": (
        mounting(AT, {"name": "data", "hostPath": {"path": "/srv", "type": "Folder"}}),
        f"{VOLUMES}[0].hostPath.type",
        "Unsupported value",
    ),
    "a path of a key upwards": (
        mounting(AT, {"name": "data", "configMap": {"name": "a", "items": [{"key": "k", "path": "x/../../y"}]}}),
        f"{VOLUMES}[0].configMap.items[0].path",
        "must be a path inside the volume",
    ),
    "an absolute path of a file": (
        mounting(AT, {"name": "data", "downwardAPI": {"items": [{"path": "/x", "fieldRef": NAME}]}}),
        f"{VOLUMES}[0].downwardAPI.items[0].path",
        "must be a path inside the volume",
    ),
    "a file of nothing": (
        mounting(AT, {"name": "data", "downwardAPI": {"items": [{"path": "x"}]}}),
        f"{VOLUMES}[0].downwardAPI.items[0]",
        "needs exactly one of fieldRef and resourceFieldRef",
    ),
    "a mode beyond permissions": (
        mounting(AT, {"name": "data", "secret": {"secretName": "a", "defaultMode": 0o1000}}),
        f"{VOLUMES}[0].secret.defaultMode",
        "less than or equal to 511",
    ),
    "a Secret without a name": (mounting(AT, {"name": "data", "secret": {}}), f"{VOLUMES}[0].secret.secretName", "Required"),
    "a projected source of two kinds": (
        mounting(AT, {"name": "data", "projected": {"sources": [{"configMap": {"name": "a"}, "secret": {"name": "a"}}]}}),
        f"{VOLUMES}[0].projected.sources[0]",
        "needs exactly one of configMap, secret, downwardAPI and serviceAccountToken",
    ),
    "a token of too short a life": (
        mounting(AT, token(path="t", expirationSeconds=599)),
        f"{TOKEN}.expirationSeconds",
        "greater than or equal to 600",
    ),
    "a token of too long a life": (
        mounting(AT, token(path="t", expirationSeconds=(1 << 32) + 1)),
        f"{TOKEN}.expirationSeconds",
        "less than or equal to 4294967296",
    ),
    "a token without a path": (mounting(AT, token(audience="harbour")), f"{TOKEN}.path", "Required"),
    "a token outside of its volume": (
        mounting(AT, token(path="../t")),
        f"{TOKEN}.path",
        "must be a path inside the volume",
    ),
    "an account of another namespace": (
        workload(**{"spec.template.spec.serviceAccountName": "kube-system/admin"}),
        "spec.template.spec.serviceAccountName",
        "should match",
    ),
    "an account without a name": (
        workload(**{"spec.template.spec.serviceAccountName": ""}),
        "spec.template.spec.serviceAccountName",
        "at least 1 chars long",
    ),
    "fsGroup in a container": (
        mounting(AT, securityContext={"fsGroup": 1}),
        "spec.template.spec.containers[0].securityContext.fsGroup",
        "unknown field",
    ),
}


@pytest.mark.parametrize("sentence", MISMOUNTED)
def test_bad_volumes_are_refused(plane: ControlPlane, sentence: str) -> None:
    """At apply, with the path of the field and what is wrong with it."""
    obj, path, message = MISMOUNTED[sentence]
    told = refusal(plane, obj)
    assert path in told
    assert message in told


def test_a_token_has_the_defaults_of_core(plane: ControlPlane) -> None:
    """The account `default`, for an hour, for the API server; and the longest life that there may be is taken."""
    for given, seconds in ({"path": "t"}, 3600), ({"path": "t", "expirationSeconds": 1 << 32}, 1 << 32):
        obj = mounting(AT, token(**given))
        answer = plane.kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", stdin=yaml.safe_dump(obj))
        spec = json.loads(answer.stdout)["spec"]["template"]["spec"]
        found = spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
        assert spec["serviceAccountName"] == "default"
        assert (found["path"], found["expirationSeconds"]) == ("t", seconds)
        assert not found.get("audience")


def test_a_privileged_container_may_mount_both_ways(plane: ControlPlane) -> None:
    """What the rule asks for is enough."""
    take(plane, mounting(AT | {"mountPropagation": "Bidirectional"}, **PRIVILEGED))
