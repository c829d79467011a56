"""The cluster that is attacked: two nodes, one of them stolen, with instances, and the namespaces of tenants."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml

from tests.attacks import agent, tenant
from tests.attacks.agent import NODE, OTHER, SPACE
from tests.attacks.case import CORE
from tests.harness import GROUP
from tools.lab import ControlPlane
from tools.lab.caller import Answer, Caller
from tools.lab.rights import NODES, TOKENS_ALLOWED, agent_user, until_refused

TAINT = {"key": "quarantine", "value": "yes", "effect": "NoSchedule"}
FINALIZERS = ["moorage.dev/agent", "example.com/hold"]
GUARDED = ("kube-system", "moorage-system")
"""Namespaces that a label opens to no agent."""
TOKEN_SPACES = (agent.OPEN, agent.CLOSED, agent.DENIED, *GUARDED)
LEVEL = "pod-security.kubernetes.io/enforce"


@dataclass(frozen=True)
class World:
    """Who attacks it."""

    admin: Caller
    agent: Caller
    """By a client certificate."""
    pod: Caller
    """The same node's agent, by a token that is bound to a pod on it."""
    node: Caller
    """The same, by one that is bound to the node itself."""
    unbound: Caller
    """By a token of the agents' ServiceAccount that is bound to nothing."""
    mighty: Caller
    """The agent, if it also had every right of a cluster's administrator."""
    tenant: Caller
    author: Caller
    """A tenant with the right to create and change instances, besides."""

    def victims(self) -> dict[str, Any]:
        """What no attack may change: victims by path, without the API server's own notes of who wrote when."""
        paths = [
            agent.FOREIGN,
            f"{agent.NODES}/{OTHER}",
            f"{agent.IMAGES}/{OTHER}",
            f"{agent.LEASES}/{OTHER}",
            f"{agent.EVENTS}/foreign",
            f"{agent.LEADER}/moorage-manager",
            *(f"{CORE}/namespaces/{space}" for space in (SPACE, agent.OPEN, agent.CLOSED, agent.DENIED)),
            f"{CORE}/namespaces/{SPACE}/secrets/password",
            f"{GROUP}/namespaces/{SPACE}/containerworkloads/web",
            *(f"{tenant.workloads(level)}/harmless" for level in tenant.LEVELS),
            *(f"{tenant.instances(level)}/harmless" for level in tenant.LEVELS),
        ]
        return {path: _seen(self.admin("GET", path)) for path in paths}


def _seen(answer: Answer) -> Any:
    assert answer.code == 200, answer
    for noted in ("managedFields", "resourceVersion"):
        answer.body["metadata"].pop(noted)
    return answer.body


@contextmanager
def attacked(plane: ControlPlane) -> Iterator[World]:
    """Make it, and remove it again."""
    admin = Caller(plane.url, plane.ca, {"token": plane.token})
    try:
        # What a manager of another test has left belongs to that manager.
        plane.kubectl("delete", "lease", "moorage-manager", "-n", "moorage-system", "--ignore-not-found")
        plane.kubectl("apply", "--server-side", "--filename", "-", stdin=yaml.safe_dump_all(_objects()))
        for name in ("own", "foreign"):
            plane.kubectl(
                "patch", "ci", name, "-n", SPACE, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": FINALIZERS}})
            )
        until_refused(
            "moorage-instance-owner",
            lambda: _caller(plane, "author")(
                "POST",
                tenant.instances("baseline"),
                tenant.by_hand("baseline", labels={"moorage.dev/workload": "a"}),
                dry=True,
            ),
        )
        plane.kubectl("label", "--overwrite", "namespace", *GUARDED, f"{TOKENS_ALLOWED}=allowed")
        for space in TOKEN_SPACES:
            plane.kubectl("wait", "--for=create", "serviceaccount/default", "-n", space, "--timeout=20s")
        unbound = plane.service_account("moorage-agent", "moorage-system")
        bound = {
            kind: plane.service_account(
                "moorage-agent", "moorage-system", f"--bound-object-kind={kind}", f"--bound-object-name={name}"
            )
            for kind, name in (("Pod", f"agent-{NODE}"), ("Node", NODE))
        }
        certificate = agent_user(plane, NODE)
        yield World(
            admin=admin,
            agent=Caller(plane.url, plane.ca, certificate),
            pod=Caller(plane.url, plane.ca, bound["Pod"]),
            node=Caller(plane.url, plane.ca, bound["Node"]),
            unbound=Caller(plane.url, plane.ca, unbound),
            mighty=Caller(
                plane.url,
                plane.ca,
                {"token": plane.token},
                {"Impersonate-User": f"moorage:node:{NODE}", "Impersonate-Group": "system:masters"},
            ),
            tenant=_caller(plane, "tenant"),
            author=_caller(plane, "author"),
        )
    finally:
        _remove(plane)


def _caller(plane: ControlPlane, user: str) -> Caller:
    return Caller(plane.url, plane.ca, plane.certificate(user))


def _remove(plane: ControlPlane) -> None:
    spaces = [SPACE, *map(tenant.space, tenant.LEVELS)]
    plane.kubectl("label", "namespace", *GUARDED, f"{TOKENS_ALLOWED}-")
    plane.kubectl("delete", "namespace", agent.OPEN, agent.CLOSED, agent.DENIED, "--ignore-not-found", "--wait=false")
    for space in GUARDED:
        plane.kubectl("delete", "rolebinding", "tokens", "-n", space, "--ignore-not-found")
    for space in spaces:
        for name in plane.kubectl("get", "ci", "-n", space, "-o", "name", check=False).stdout.split():
            plane.kubectl("patch", name, "-n", space, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)
        plane.kubectl("delete", "cw,ci", "--all", "-n", space)
    plane.kubectl("delete", "namespace", *spaces, "--ignore-not-found", "--wait=false")
    plane.kubectl("delete", "nodeimages,rn,nodes", NODE, OTHER, "--ignore-not-found")
    plane.kubectl("delete", "pod", f"agent-{NODE}", "-n", "moorage-system", "--ignore-not-found", "--force", "--grace-period=0")
    plane.kubectl("delete", "leases", "--all", "-n", "moorage-node-lease")
    plane.kubectl("delete", "lease", "moorage-manager", "-n", "moorage-system", "--ignore-not-found")
    plane.kubectl("delete", "secret", "password", "-n", "kube-system", "--ignore-not-found")
    plane.kubectl("delete", "clusterrole,clusterrolebinding", "instance-author", "tokens", "--ignore-not-found")


def _objects() -> list[dict[str, Any]]:
    labels = {"kubernetes.io/hostname": NODE, "quarantine": "yes"}
    found = [
        _namespace(SPACE, "privileged"),
        agent.node(NODE, {"unschedulable": True, "taints": [TAINT]}, labels=labels),
        agent.node(OTHER, {}, labels={"kubernetes.io/hostname": OTHER}),
        agent.images(NODE, "web:1"),
        agent.images(OTHER, "web:1"),
        agent.instance("own", NODE),
        agent.instance("foreign", OTHER),
        agent.lease(NODE, "moorage-node-lease", NODE),
        agent.lease(OTHER, "moorage-node-lease", OTHER),
        agent.lease("moorage-manager", "moorage-system", "manager-1"),
        {**agent.event(agent.about_instance("foreign"), OTHER), "metadata": {"name": "foreign", "namespace": SPACE}},
        {
            **tenant.workload("baseline", "web"),
            "metadata": {"name": "web", "namespace": SPACE},
        },
        _secret(SPACE),
        _secret("kube-system"),
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"agent-{NODE}", "namespace": "moorage-system"},
            "spec": {
                "nodeName": NODE,
                "serviceAccountName": "moorage-agent",
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "agent", "image": "moorage"}],
            },
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "instance-author"},
            "rules": [
                {"apiGroups": ["moorage.dev"], "resources": ["containerinstances"], "verbs": ["create", "update", "patch"]}
            ],
        },
    ]
    found += [_namespace(agent.OPEN, "privileged", {TOKENS_ALLOWED: "allowed"}), _namespace(agent.CLOSED, "privileged")]
    found += [_namespace(agent.DENIED, "privileged", {TOKENS_ALLOWED: "denied"})]
    for space in TOKEN_SPACES:
        found += _tokens(space)
    for level in tenant.LEVELS:
        space = tenant.space(level)
        found += [
            _namespace(space, level),
            tenant.workload(level, "harmless"),
            {**tenant.by_hand(level), "metadata": {"name": "harmless", "namespace": space}},
            _binding(space, "edit", "edit", "tenant", "author"),
            _binding(space, "instance-author", "instance-author", "author"),
        ]
    return found


def _namespace(name: str, level: str, labels: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {LEVEL: level, **labels}}}


def _tokens(namespace: str) -> list[dict[str, Any]]:
    """The right to tokens in a namespace, as the chart gives it in all of them."""
    rule = {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}
    binding = _binding(namespace, "tokens", "tokens")
    binding["subjects"] = [
        {"kind": "ServiceAccount", "name": "moorage-agent", "namespace": "moorage-system"},
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": NODES},
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "tokens"},
        "rules": [rule],
    }
    return [role, binding]


def _secret(namespace: str) -> dict[str, Any]:
    meta = {"name": "password", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"password": "hidden"}}


def _binding(namespace: str, name: str, role: str, *users: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user} for user in users],
    }
