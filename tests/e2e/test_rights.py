"""RBAC is what the code calls and no more: the roles of the chart against the API server's audit log of a whole life."""

import asyncio
import itertools
import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.manager.manager import ManagerSettings, run
from controller.telemetry.health import Health
from tests import service_accounts
from tests.conftest import ROOT
from tests.harness import GROUP, Site, condition, ready, reason, workload
from tests.integration.test_definitions import LACKING, install, lacking, renew
from tests.waiting import eventually
from tools.lab import Containerd, ControlPlane, Registry
from tools.lab.caller import MERGE, Caller
from tools.lab.rights import install_rights

NODE = "rights1"
MANAGER = "system:serviceaccount:moorage-system:moorage-manager"
AGENT = f"moorage:node:{NODE}"
ROLES = {MANAGER: "moorage-manager", AGENT: "moorage-agent"}
INSTANCES = f"{GROUP}/namespaces/default/containerinstances"

NEVER_ASKED = {(MANAGER, "update", "moorage.dev", "containerworkloads/finalizers")}
"""Rights that no request uses. This one is asked for by admission when an instance is created: by our own policy about who may
say that an instance belongs to a workload, and by OwnerReferencesPermissionEnforcement."""


@dataclass(frozen=True)
class Rule:
    """One verb on one resource that a role gives."""

    namespace: str
    """Empty: everywhere."""
    verb: str
    group: str
    resource: str
    names: frozenset[str]
    """Empty: all."""

    def allows(self, request: "Request") -> bool:
        """Whether a request is one of those that it is there for."""
        return (
            (self.verb, self.group, self.resource) == (request.verb, request.group, request.resource)
            and self.namespace in {"", request.namespace}
            and (not self.names or request.name in self.names)
        )


@dataclass(frozen=True)
class Request:
    """A request for a resource, from the audit log."""

    user: str
    verb: str
    group: str
    resource: str
    """With its subresource."""
    namespace: str
    name: str
    code: int


def requests(log: Path) -> list[Request]:
    """What manager and agent asked so far."""
    found = []
    whole, _, _ = log.read_text().rpartition("\n")  # the last line may be half written
    for line in whole.splitlines():
        event = json.loads(line)
        ref, user = event.get("objectRef"), event["user"]["username"]
        if not ref or user not in ROLES:
            continue
        resource = "/".join(filter(None, (ref["resource"], ref.get("subresource"))))
        found.append(
            Request(
                user=user,
                verb=event["verb"],
                group=ref.get("apiGroup", ""),
                resource=resource,
                namespace=ref.get("namespace", ""),
                name=ref.get("name", ""),
                code=event.get("responseStatus", {}).get("code", 0),
            )
        )
    return found


def rules(plane: ControlPlane, role: str) -> list[Rule]:
    """What a half may do, by its ClusterRole and its Roles."""
    listed = json.loads(plane.kubectl("get", "clusterroles,roles", "--all-namespaces", "--output=json").stdout)["items"]
    return [
        Rule(found["metadata"].get("namespace", ""), verb, group, resource, frozenset(rule.get("resourceNames", ())))
        for found in listed
        if found["metadata"]["name"] == role
        for rule in found["rules"]
        for verb, group, resource in itertools.product(rule["verbs"], rule["apiGroups"], rule["resources"])
    ]


class InProcess:
    """The manager in a thread of the test, so that a pause of 40 s can be a short one."""

    def __init__(self, settings: ManagerSettings) -> None:
        self._settings = settings
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._thread is None:
            begun = threading.Event()
            self._thread = threading.Thread(target=lambda: asyncio.run(self._run(begun)), name="manager")
            self._thread.start()
            assert begun.wait(10)

    def stop(self) -> None:
        """Have it end, and wait for that."""
        if self._thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._thread = None

    async def _run(self, begun: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        begun.set()
        await run(self._settings, self._stop, Health())


@pytest.fixture
def site(registry: Registry, containerd: Containerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An installation whose control plane writes an audit log and has seen nobody else; not started yet."""
    for module in ("decide.availability", "nodes"):
        monkeypatch.setattr(f"controller.manager.{module}.ABSENT_SECONDS", 1.0)
    with ControlPlane(tmp_path / "plane", audit=True, crds=[ROOT / "crds"]) as plane:
        install_rights(plane, service_accounts.ENABLED)
        service_accounts.label(plane, allowed=True)
        found = Site(plane, containerd, registry, tmp_path / "site", NODE)
        kubeconfig = str(plane.kubeconfig_path("manager"))
        manager: Any = InProcess(
            ManagerSettings(kubeconfig=kubeconfig, leader_elect=True, silence_seconds=3.0, hold_seconds=0.2)
        )
        found.manager = manager
        found.agent.arguments.append("--heartbeat-seconds=1")
        try:
            yield found
        finally:
            found.stop()


def until_asked(site: Site, user: str, verb: str, resource: str, seconds: float = 20.0) -> None:
    """Wait until somebody has asked for something: the log is a file that grows, nothing tells when."""
    assert eventually(lambda: asked(site, user, verb, resource), bool, seconds), f"{user} has not asked to {verb} {resource}"


def asked(site: Site, user: str, verb: str, resource: str) -> bool:
    """Whether somebody has."""
    return any((r.user, r.verb, r.resource) == (user, verb, resource) for r in requests(site.plane.audit_log))


def live(site: Site) -> None:
    """All that manager and agent do."""
    warned_of_definitions(site)
    workloads_come_and_go(site)
    values_from_elsewhere(site)
    tokens_of_accounts(site)
    images_that_are_wanted(site)
    writes_that_meet(site)
    a_node_is_lost_and_returns(site)
    a_node_is_given_up(site)


def warned_of_definitions(site: Site) -> None:
    """Both find definitions that are stale and say so, and once more after a restart."""
    install(site, *(lacking(plural, path) for plural, path in LACKING.items()))
    for verb in ("create", "patch"):
        site.manager.start()
        site.agent.start()
        for user in ROLES:
            until_asked(site, user, verb, "events")
        site.agent.stop()
        site.manager.stop()
    renew(site)
    site.manager.start()
    site.agent.start()
    site.api.until(f"{GROUP}/runtimenodes", lambda found: NODE in found and ready(found[NODE]))


def workloads_come_and_go(site: Site) -> None:
    """Created, updated in place, scaled, suspended, resumed, deleted."""

    def settled(count: int) -> None:
        site.workloads(lambda found: ready(found["web"]))
        site.instances(lambda found: len(found) == count and all(map(ready, found.values())))

    site.apply(workload("web", site.registry, replicas=2))
    settled(2)
    site.apply(workload("web", site.registry, replicas=2, container={"env": [{"name": "A", "value": "b"}]}))
    settled(2)
    site.plane.kubectl("scale", "cw/web", "--replicas=1")
    settled(1)
    site.plane.kubectl("patch", "cw/web", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    site.instances(lambda found: {reason(i) for i in found.values()} == {"Suspended"})
    site.plane.kubectl("patch", "cw/web", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    settled(1)


def values_from_elsewhere(site: Site) -> None:
    """Instances that name a ConfigMap and a Secret, and wait for them."""
    env = [{"name": kind, "valueFrom": {f"{kind}KeyRef": {"name": "a", "key": "k"}}} for kind in ("configMap", "secret")]
    site.apply(workload("named", site.registry, container={"env": env}))
    site.workloads(lambda found: reason(found["named"]) == "CreateContainerConfigError")
    for kind in ("configmap", "secret generic"):
        site.plane.kubectl("create", *kind.split(), "a", "--from-literal=k=v")
    site.workloads(lambda found: ready(found["named"]))
    site.plane.kubectl("delete", "cw/named", "configmap/a", "secret/a")


def tokens_of_accounts(site: Site) -> None:
    """An instance that mounts one."""
    mounts = {"volumeMounts": [{"name": "token", "mountPath": "/t"}]}
    volume = {"name": "token", **service_accounts.volume()}
    site.plane.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    site.apply(workload("acting", site.registry, container=mounts, instance={"volumes": [volume]}))
    site.workloads(lambda found: ready(found["acting"]))
    site.plane.kubectl("delete", "cw/acting")


def images_that_are_wanted(site: Site) -> None:
    """A ContainerImage comes and goes."""
    meta, path = {"name": "early", "namespace": "default"}, f"{GROUP}/namespaces/default/containerimages"
    spec = {"image": f"{site.registry.host}/web:2"}
    site.apply({"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "metadata": meta, "spec": spec})
    site.api.until(path, lambda found: ready(found["early"]))
    site.plane.kubectl("delete", "cimg/early")
    site.api.until(f"{GROUP}/nodeimages", lambda found: not found[NODE]["spec"]["images"])


def writes_that_meet(site: Site) -> None:
    """Instances that are written by hand, and written again while their agent puts its finalizer there: it looks again."""
    admin = Caller(site.plane.url, site.plane.ca, {"token": site.plane.token})
    spec = workload("web", site.registry)["spec"]["template"]["spec"]
    for number in range(10):
        name = f"hand-{number}"
        body = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerInstance", "metadata": {"name": name}}
        assert not admin("POST", INSTANCES, {**body, "spec": {"nodeName": NODE, **spec}}).refused
        for again in range(100):
            admin("PATCH", f"{INSTANCES}/{name}", {"metadata": {"labels": {"again": str(again)}}}, content=MERGE)
        if asked(site, AGENT, "get", "containerinstances"):
            break
    site.instances(lambda found: all(i["metadata"].get("finalizers") for i in found.values()))


def a_node_is_lost_and_returns(site: Site) -> None:
    """Its agent falls silent, the manager says so; the agent returns, and its RuntimeNode lacks a label meanwhile."""
    nodes = f"{GROUP}/runtimenodes"
    site.agent.stop()
    site.plane.kubectl("label", "rn", NODE, "kubernetes.io/arch-")
    site.api.until(nodes, lambda found: condition(found[NODE], "Ready").get("status") == "Unknown")
    site.agent.start()
    site.api.until(nodes, lambda found: ready(found[NODE]) and "kubernetes.io/arch" in found[NODE]["metadata"]["labels"])


def a_node_is_given_up(site: Site) -> None:
    """A RuntimeNode is deleted with its agent away: what is being deleted there is let go of."""
    site.agent.stop()
    site.plane.kubectl("delete", "rn", NODE)
    site.plane.kubectl("delete", "cw,ci", "--all", "--wait=false")
    site.instances(lambda found: not found)
    site.agent.start()
    site.api.until(f"{GROUP}/runtimenodes", lambda found: NODE in found and ready(found[NODE]))
    # as its agent is back, it clears what it finds
    assert not eventually(site.containers, lambda left: not left, 15), "the returned agent does not clear its node"


def listed(found: Iterable[object]) -> str:
    """One a line, for people."""
    return "\n" + "\n".join(sorted(map(str, set(found))))


@pytest.mark.timeout(180)
def test_the_roles_are_what_the_code_calls(site: Site) -> None:
    """No request is forbidden, none is outside of the half's own roles, and no verb of theirs is without a request."""
    live(site)
    site.agent.stop()
    site.manager.stop()
    made = requests(site.plane.audit_log)
    assert not [r for r in made if r.code == 403], listed(r for r in made if r.code == 403)
    for user, role in ROLES.items():
        given, own = rules(site.plane, role), [r for r in made if r.user == user]
        foreign = [r for r in own if not any(rule.allows(r) for rule in given)]
        assert not foreign, f"{role} lives on other rights than its own:{listed(foreign)}"
        idle = [rule for rule in given if not any(rule.allows(r) for r in own)]
        idle = [rule for rule in idle if (user, rule.verb, rule.group, rule.resource) not in NEVER_ASKED]
        assert not idle, f"{role} has rights that nothing uses: remove them, or do here what needs them:{listed(idle)}"
