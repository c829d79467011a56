"""The workloads that are applied: one replica, one container, busybox `sleep`, on the node's network or one of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

COMMAND = ("sleep", "2147483647")

NAMESPACE = "default"


def names(prefix: str, count: int) -> list[str]:
    """Names that sort in their order."""
    return [f"{prefix}-{number:03}" for number in range(count)]


def workload(name: str, image: str, *, attached: bool = False) -> dict[str, Any]:
    """One workload, on the node's network, or attached by CNI to one of its own.

    The grace period is 0, since `sleep` as PID 1 has no handler for SIGTERM and the kernel adds no default action there: with
    any other, a deletion would measure the grace period.
    """
    container = {"name": "sleep", "image": image, "imagePullPolicy": "IfNotPresent", "command": list(COMMAND)}
    spec = {"hostNetwork": not attached, "terminationGracePeriodSeconds": 0, "containers": [container]}
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerWorkload",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"template": {"spec": spec}},
    }


def write(path: Path, workload_names: list[str], image: str, *, attached: bool = False) -> Path:
    """Write one file with all of them, as documents of YAML, which JSON is as well; returns its path."""
    documents = (json.dumps(workload(name, image, attached=attached), indent=2) for name in workload_names)
    path.write_text("---\n".join(f"{document}\n" for document in documents))
    return path
