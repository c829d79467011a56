"""The chart, rendered for people without Helm: `manifests/install.yaml`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tools.build import BIN

NAMESPACE = "moorage-system"
RENDER_SECONDS = 60

HEADER = """\
# All of Moorage with the default values of its chart, for the namespace moorage-system. Generated from helm/moorage by
# `make generate`: change the chart, not this file.
#
#   kubectl apply --server-side -f install.yaml
#
# To uninstall, see "Uninstalling" in docs/operations.md: deleting this file alone would leave finalizers behind.
---
# Agents are privileged, so where Pod Security admission is on, this namespace must allow it.
apiVersion: v1
kind: Namespace
metadata:
  name: moorage-system
  labels:
    app.kubernetes.io/name: moorage
    app.kubernetes.io/part-of: moorage
    pod-security.kubernetes.io/enforce: privileged
"""

_OF_HELM = re.compile(
    r"^ *(?:helm\.sh/chart: .*|app\.kubernetes\.io/managed-by: Helm|app\.kubernetes\.io/instance: .*)\n|^# Source: .*\n",
    re.MULTILINE,
)
"""Lines that are only true of a release."""


class RenderError(Exception):
    """Helm does not render the chart; carries its words."""


def template(chart: Path, *options: str, release: str = "moorage", namespace: str = NAMESPACE) -> str:
    """What `helm template` makes of a chart, for the oldest Kubernetes that it supports.

    Raises:
        RenderError: with what helm says.
    """
    command: list[str | Path] = [
        BIN / "helm",
        "template",
        release,
        chart,
        "--namespace",
        namespace,
        "--kube-version",
        oldest(chart),
        *options,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=RENDER_SECONDS, check=False
    )
    if done.returncode != 0:
        raise RenderError(done.stderr.strip())
    return done.stdout


def oldest(chart: Path) -> str:
    """The oldest version of Kubernetes that the chart installs on, from its Chart.yaml."""
    found = re.search(r'^kubeVersion: ">=([0-9.]+)', (chart / "Chart.yaml").read_text(), re.MULTILINE)
    if found is None:
        raise RenderError(f'{chart}/Chart.yaml has no line `kubeVersion: ">=...`')
    return found[1]


def plain(chart: Path) -> str:
    """The content of `manifests/install.yaml`."""
    rendered = template(chart, "--no-hooks", "--set", "crds.keep=false")
    return HEADER + _OF_HELM.sub("", rendered)
