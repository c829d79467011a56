"""Moorage's rights on a lab's control plane: the chart's roles and policies, and kubeconfigs of manager and agents.

So what tests and benchmarks run is confined as in an installation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tools.chart.manifests import NAMESPACE, template
from tools.lab.caller import Answer, Caller
from tools.lab.control_plane import ControlPlane
from tools.lab.process import ROOT
from tools.progress import ToolError

CHART = ROOT / "helm" / "moorage"
NODES = "moorage:nodes"
"""The group of agents that have a client certificate."""

ENFORCED_SECONDS = 30.0
PAUSE_SECONDS = 0.05

ENFORCE = "pod-security.kubernetes.io/enforce"
LEVELS = ("podSecurity.enforce=privileged", "podSecurity.warn=privileged", "podSecurity.audit=privileged")
"""Most tests run on the host's network; those of Pod Security label their namespaces."""

_SPEC = {"nodeName": "probe", "hostNetwork": True, "containers": [{"name": "a", "image": "a"}]}
_ABOUT = {"apiVersion": "v1", "kind": "Secret", "namespace": "default", "name": "a"}

PROBES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "moorage-agent-instances": ("moorage.dev/v1alpha1", "ContainerInstance", {"spec": _SPEC}),
    "moorage-agent-nodes": ("moorage.dev/v1alpha1", "RuntimeNode", {"spec": {}}),
    "moorage-agent-images": ("moorage.dev/v1alpha1", "NodeImages", {"spec": {}}),
    "moorage-agent-leases": ("coordination.k8s.io/v1", "Lease", {"spec": {}}),
    "moorage-agent-events": ("v1", "Event", {"involvedObject": _ABOUT}),
    "moorage-agent-others": ("v1", "ConfigMap", {}),
}
"""For each policy about agents an object that it refuses: apiVersion, kind and the rest of it."""

TOKENS = "moorage-agent-tokens"
TOKENS_ALLOWED = "moorage.dev/service-account-tokens"
"""The policy about tokens, which it refuses of Moorage's own accounts, and the label of namespaces where it refuses none."""


def install_rights(plane: ControlPlane, *values: str) -> None:
    """Apply the chart's accounts, roles, policies and namespaces, and wait until every policy is in force.

    Args:
        plane: a control plane that runs, with the definitions of our kinds.
        values: values of the chart as `key=value`; by default no namespace is held to a Pod Security level.
    """
    plane.kubectl("create", "namespace", NAMESPACE)
    plane.kubectl("label", "namespace", "default", f"{ENFORCE}=privileged")  # as agents see it, whose own default is stricter
    plane.kubectl("apply", "--server-side", "--filename", "-", stdin=render(*LEVELS, *values))
    headers = {"Impersonate-User": "moorage:node:probe", "Impersonate-Group": "system:masters"}
    agent = Caller(plane.url, plane.ca, {"token": plane.token}, headers)
    for policy, (version, kind, rest) in PROBES.items():
        scope = "" if kind in {"RuntimeNode", "NodeImages"} else "/namespaces/default"
        path = f"/{'apis/' if '/' in version else 'api/'}{version}{scope}/{kind.lower().removesuffix('s')}s"
        body = {"apiVersion": version, "kind": kind, "metadata": {"name": "other"}, **rest}
        until_refused(policy, partial(agent, "POST", path, body, dry=True))
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/moorage-manager/token"
    until_refused(TOKENS, partial(agent, "POST", path, {"spec": {}}, dry=True))


def render(*values: str) -> str:
    """Accounts, roles, policies and namespaces of the chart with these values, as YAML."""
    templates = CHART / "templates"
    files = [templates / "serviceaccounts.yaml", templates / "namespaces.yaml"]
    files += [file for folder in ("rbac", "policies") for file in sorted((templates / folder).glob("*.yaml"))]
    shown = [word for file in files for word in ("--show-only", str(file.relative_to(CHART)))]
    return template(CHART, *shown, *(word for value in values for word in ("--set", value)))


def until_refused(policy: str, ask: Callable[[], Answer]) -> None:
    """Ask, without writing, for what a policy refuses, until it does.

    There is no event to wait for: an API server does not tell when it has taken a policy up.
    """
    deadline = time.monotonic() + ENFORCED_SECONDS
    while policy not in (answer := ask()).message:
        if time.monotonic() > deadline:
            raise ToolError(f"policy {policy} is not in force after {ENFORCED_SECONDS:.0f} s: {answer}")
        time.sleep(PAUSE_SECONDS)


def manager_user(plane: ControlPlane) -> dict[str, str]:
    """How the manager is known: by a token of its ServiceAccount, as in its pod."""
    return plane.service_account("moorage-manager", NAMESPACE, "--duration=24h")


def agent_user(plane: ControlPlane, node: str) -> dict[str, str]:
    """How a node's agent is known: by a client certificate, as one that is in no pod."""
    return plane.certificate(f"moorage:node:{node}", [NODES])
