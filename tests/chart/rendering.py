"""Rendering the chart, and finding objects in what comes out."""

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT
from tools.build import BIN
from tools.chart import manifests

Object = dict[str, Any]

CHART = ROOT / "helm" / "moorage"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

EVERYTHING: Object = {
    "image": {"repository": "registry.test/moorage", "tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "apiServer": {"host": "192.0.2.7", "port": 7443},
    "crds": {"keep": False},
    "manager": {
        "replicas": 3,
        "verbose": True,
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"team": "platform"},
        "podLabels": {"team": "platform"},
    },
    "agent": {
        "containerd": {"socket": "/run/k3s/containerd/containerd.sock", "root": "/var/lib/rancher/k3s/agent/containerd"},
        "netnsDir": "/run/netns-of-moorage",
        "memoryDir": "/run/secrets-of-moorage",
        "configMaps": False,
        "serviceAccountTokens": {"enabled": True},
        "maxUnavailable": 2,
        "heartbeatSeconds": 5,
        "cni": {"confDir": "/etc/cni/other", "garbageCollect": True},
        "registrySecret": "registries",
        "archiveDirs": ["/srv/archives"],
        "imageCredentialProvider": {"config": "/etc/kubernetes/providers.yaml", "binDir": "/usr/libexec/kubelet/providers"},
        "imagePullCredentialsVerificationPolicy": "NeverVerifyAllowlistedImages",
        "preloadedImagesVerificationAllowlist": ["quay.io/team/*"],
        "clusterDNS": ["10.96.0.10"],
        "allowedUnsafeSysctls": ["net.core.somaxconn", "kernel.msg*"],
        "systemReserved": {"cpu": "500m", "memory": "1Gi"},
        "pidsLimit": 1000,
        "images": {"parallelPulls": 5, "pullStallSeconds": 30, "gcHighPercent": 70, "gcLowPercent": 60, "gcMinimumAge": 30},
        "diskPressurePercent": 5,
        "verbose": True,
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"team": "platform"},
        "podLabels": {"team": "platform"},
    },
    "podSecurity": {"enforce": "restricted", "enforceVersion": "v1.31"},
    "uninstall": {"containers": "Stop", "timeoutSeconds": 60},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True, "apiServerCIDRs": ["192.0.2.0/24"]},
}
"""All that there is, turned on or changed."""

MINIMAL: Object = {
    "crds": {"enabled": False},
    "manager": {
        "replicas": 1,
        "priorityClassName": "",
        "nodeSelector": {"kubernetes.io/os": None},
        "tolerations": [],
        "resources": {"requests": None, "limits": None},
        "podDisruptionBudget": {"enabled": False},
    },
    "agent": {"priorityClassName": "", "nodeSelector": {"kubernetes.io/os": None}, "tolerations": []},
    "rbac": {"create": False},
    "admissionPolicies": {"enabled": False},
}
"""All that can be off, off."""

SETS: dict[str, Object] = {"defaults": {}, "everything": EVERYTHING, "minimal": MINIMAL}


def render(values: Object, namespace: str = "moorage-system") -> list[Object]:
    """The objects that the chart makes of some values, hooks included; the same ones each time, so not to be changed.

    Raises:
        RenderError: when Helm refuses them, with its words.
    """
    return _rendered(json.dumps(values), namespace)


@cache
def _rendered(values: str, namespace: str) -> list[Object]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(values)
        file.flush()
        text = manifests.template(CHART, "--values", file.name, namespace=namespace)
    return [document for document in yaml.load_all(text, LOADER) if document]


def one(objects: list[Object], kind: str, name: str) -> Object:
    """The object of that kind and name."""
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """The objects of a kind."""
    return [o for o in objects if o["kind"] == kind]


def pods(objects: list[Object]) -> dict[str, Object]:
    """The pod specs of all that makes pods, by name."""
    makers = ("Deployment", "DaemonSet", "Job")
    return {o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in objects if o["kind"] in makers}


def is_hook(obj: Object) -> bool:
    """Whether Helm makes it only in passing."""
    return "helm.sh/hook" in obj["metadata"].get("annotations", {})


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm; what it says is in the result."""
    command = [BIN / "helm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
