"""A stolen agent, and a tenant who wants to be root on a node: what they try is refused, each by the rule that should."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.attacks import agent, tenant
from tests.attacks.agent import NODE, OTHER
from tests.attacks.case import CORE, RBAC, SCHEMA, SERVER, Attack, policy
from tests.attacks.world import World, attacked
from tests.harness import GROUP
from tools.lab import ControlPlane
from tools.lab.caller import MERGE, Answer, Caller

ITSELF = f"{SCHEMA} or {SERVER}"
"""What refuses with 400 or 422: the API server's words do not tell its schemas from its other rules."""

POLICY, QUOTE = "ValidatingAdmissionPolicy '", "'"
"""Around the name of a policy in what the API server says."""

TOKENS = policy("tokens")

HOLDERS = ("agent", "pod", "node")
"""The forms of an agent's identity: a client certificate, and a token that is bound to a pod on the node or to the node."""

IMAGE = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "spec": {"image": "web:1"}}

TENANT = [pytest.param(level, a, id=f"{level}: {a.tries}") for level in tenant.LEVELS for a in tenant.attacks(level)]
AUTHOR = [pytest.param(level, a, id=f"{level}: {a.tries}") for level in tenant.LEVELS for a in tenant.with_instances(level)]
DROPPED = [pytest.param(level, *d, id=f"{level}: {d[0]}") for level in tenant.LEVELS for d in tenant.dropped(level)]


@pytest.fixture(scope="module")
def world(plane: ControlPlane) -> Iterator[World]:
    """The attacked cluster; at the end its victims are what they were."""
    with attacked(plane) as found:
        before = found.victims()
        yield found
        assert found.victims() == before


def tried(caller: Caller, attack: Attack) -> Answer:
    """Make the request."""
    as_other = Caller(caller.url, caller.ca, caller.user, {**caller.headers, **attack.headers})
    return as_other(attack.method, attack.path, attack.body, content=attack.content)


def refused_by(answer: Answer) -> str:
    """What refused a request, by the API server's words."""
    if not answer.refused:
        return f"nothing ({answer.code})"
    if POLICY in answer.message:
        return f"policy `{answer.message.partition(POLICY)[2].partition(QUOTE)[0]}`"
    if answer.code == 403 and " cannot " in answer.message:
        return RBAC
    return ITSELF if answer.code in {400, 422} else f"{answer.code}"


def as_told(by: str) -> str:
    """A rule of the attacks, as `refused_by` names it."""
    return ITSELF if by in {SCHEMA, SERVER} else by


def assert_refused(answer: Answer, by: str, says: str) -> None:
    """The rule that should refuse it does, in these words."""
    assert refused_by(answer) == as_told(by), answer
    assert says in answer.message, answer


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("attack", agent.ATTACKS, ids=lambda a: a.tries)
def test_a_stolen_agent_is_confined_to_its_node(world: World, holder: str, attack: Attack) -> None:
    """In each form, it writes nothing but what is its node's."""
    assert_refused(tried(getattr(world, holder), attack), attack.by, attack.says)


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("attack", agent.WITH_TOKENS, ids=lambda a: a.tries)
def test_a_stolen_agent_has_tokens_only_where_a_label_says_so(world: World, holder: str, attack: Attack) -> None:
    """With the right to ask for them, in each form: of no other namespace, and none that outlives the node."""
    assert_refused(tried(getattr(world, holder), attack), attack.by, attack.says)


@pytest.mark.parametrize("holder", HOLDERS)
def test_an_agent_has_tokens_where_a_label_says_so(world: World, holder: str) -> None:
    """What those attacks stand beside. Bound to its node; where it has none, which a pod's agent always has, to nothing."""
    caller: Caller = getattr(world, holder)
    answer = caller(*agent.token(agent.OPEN, audiences=["harbour"], expirationSeconds=600))
    assert answer.code == 201, answer
    assert answer.body["status"]["token"]
    unbound = caller(*agent.token(agent.OPEN, boundObjectRef=None, expirationSeconds=86400))
    longer = caller(*agent.token(agent.OPEN, boundObjectRef=None, expirationSeconds=86401))
    if holder == "agent":
        assert unbound.code == 201, unbound
        assert_refused(longer, TOKENS, "good for a day at most")
    else:
        assert_refused(unbound, TOKENS, f"is bound to the Node {NODE}")


@pytest.mark.parametrize("attack", [a for a in agent.ATTACKS if a.depth], ids=lambda a: a.tries)
def test_policies_confine_it_whatever_rights_it_was_given(world: World, attack: Attack) -> None:
    """With every right of a cluster's administrator, an agent still writes nothing else: the policies do not rely on RBAC."""
    answer = tried(world.mighty, attack)
    assert answer.refused, answer
    assert refused_by(answer) in {as_told(by) for by in attack.depth.split(" or ")}, answer


@pytest.mark.parametrize("attack", agent.UNBOUND, ids=lambda a: a.tries)
def test_a_token_that_names_no_node_writes_nothing(world: World, attack: Attack) -> None:
    """A token of the agents' ServiceAccount that somebody made by hand is no agent's."""
    assert_refused(tried(world.unbound, attack), attack.by, attack.says)


@pytest.mark.parametrize("holder", HOLDERS)
def test_an_agent_may_do_its_work(world: World, holder: str) -> None:
    """What the attacks stand beside: statuses, its finalizer, its RuntimeNode's labels, its heartbeat, its Events."""
    caller: Caller = getattr(world, holder)

    def done(method: str, path: str, body: Any = None, content: str = MERGE) -> dict[str, Any]:
        answer = caller(method, path, body, content=content)
        assert not answer.refused, answer
        return answer.body

    theirs = [f for f in ("moorage.dev/agent", "example.com/hold") if f != "moorage.dev/agent"]
    done("PATCH", f"{agent.OWN}/status", agent.READY)
    assert done("PATCH", agent.OWN, {"metadata": {"finalizers": theirs}})["metadata"]["finalizers"] == theirs
    done("PATCH", agent.OWN, {"metadata": {"finalizers": ["moorage.dev/agent", *theirs]}})
    done("PATCH", f"{agent.NODES}/{NODE}", {"metadata": {"labels": {"kubernetes.io/arch": "amd64"}}})
    done("PATCH", f"{agent.NODES}/{NODE}/status", {"status": {"agentVersion": "1"}})
    done("PATCH", f"{agent.IMAGES}/{NODE}/status", {"status": {"ready": "0/1"}})
    done("GET", f"{agent.IMAGES}?fieldSelector=metadata.name={NODE}")
    done("PATCH", f"{agent.LEASES}/{NODE}", {"spec": {"leaseDurationSeconds": 40}})
    made = done("POST", agent.EVENTS, agent.event(agent.about_instance("own"), NODE), "application/json")
    done("PATCH", f"{agent.EVENTS}/{made['metadata']['name']}", {"count": 2})
    done("GET", f"{GROUP}/containerinstances?fieldSelector=spec.nodeName={NODE}")
    for kind in ("configmaps", "secrets"):
        done("GET", f"{CORE}/namespaces/{agent.SPACE}/{kind}?fieldSelector=metadata.name=password")


@pytest.mark.parametrize("holder", HOLDERS)
def test_the_status_endpoint_takes_the_status_alone(world: World, holder: str) -> None:
    """Through /status, labels, finalizers, ownerReferences and spec stay what they are."""
    caller: Caller = getattr(world, holder)
    before = world.admin("GET", agent.OWN).body
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "a"}
    metadata = {"labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": None, "ownerReferences": [owner]}
    body = {"metadata": metadata, "spec": {"restartPolicy": "Never"}, "status": {"phase": "Failed"}}
    answer = caller("PATCH", f"{agent.OWN}/status", body, content=MERGE)
    assert not answer.refused, answer
    after = world.admin("GET", agent.OWN).body
    assert after["status"]["phase"] == "Failed"
    assert after["spec"] == before["spec"]
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        assert after["metadata"].get(field) == before["metadata"].get(field)


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_a_node_is_to_have_stays_what_it_is(world: World, holder: str) -> None:
    """Through /status of a NodeImages, too."""
    caller: Caller = getattr(world, holder)
    before = world.admin("GET", f"{agent.IMAGES}/{NODE}").body
    body = {"metadata": {"labels": {"a": "b"}}, "spec": {"images": []}, "status": {"ready": f"{holder}/1"}}
    answer = caller("PATCH", f"{agent.IMAGES}/{NODE}/status", body, content=MERGE)
    assert not answer.refused, answer
    after = world.admin("GET", f"{agent.IMAGES}/{NODE}").body
    assert after["status"]["ready"] == f"{holder}/1"
    assert (after["spec"], after["metadata"].get("labels")) == (before["spec"], before["metadata"].get("labels"))


def test_a_registering_agent_brings_no_more_than_it_may(world: World) -> None:
    """A RuntimeNode that is registered anew has its agent's labels only, and no spec that people would have to undo."""
    fresh = "fresh1"
    headers = {"Impersonate-User": f"moorage:node:{fresh}", "Impersonate-Group": "moorage:nodes"}
    caller = Caller(world.admin.url, world.admin.ca, world.admin.user, headers)
    name = {"kubernetes.io/hostname": fresh}
    for wrong in (
        agent.node(fresh, {}, labels={**name, "pool": "payments"}),
        agent.node(fresh, {}, labels={"kubernetes.io/hostname": OTHER}),
        agent.node(fresh, {"unschedulable": True}, labels=name),
        agent.node(fresh, {"taints": [{"key": "a", "effect": "NoSchedule"}]}, labels=name),
        agent.node(fresh, {}, labels=name, finalizers=["example.com/hold"]),
        agent.node(fresh, {}, labels=name, annotations={"a": "b"}),
    ):
        answer = caller("POST", agent.NODES, wrong, dry=True)
        assert refused_by(answer) == "policy `moorage-agent-nodes`", answer
    assert not caller("POST", agent.NODES, agent.node(fresh, {}, labels=name), dry=True).refused


@pytest.mark.parametrize(("level", "attack"), TENANT)
def test_a_tenant_does_not_become_root(world: World, level: str, attack: Attack) -> None:
    """With the role edit in a namespace of either level."""
    assert_refused(tried(world.tenant, attack), attack.by, attack.says)


@pytest.mark.parametrize(("level", "attack"), AUTHOR)
def test_the_right_to_write_instances_leads_no_further(world: World, level: str, attack: Attack) -> None:
    """Whoever was given it, too, is held to the namespace's level, and cannot pass for a workload."""
    assert_refused(tried(world.author, attack), attack.by, attack.says)


@pytest.mark.parametrize(("level", "tries", "body", "field"), DROPPED)
def test_what_no_schema_knows_is_never_stored(world: World, level: str, tries: str, body: dict[str, Any], field: str) -> None:
    """A client that asks for no validation gets its workload without the field."""
    answer = world.tenant("POST", f"{tenant.workloads(level)}?fieldValidation=Ignore", body, dry=True)
    assert not answer.refused, answer
    assert field not in answer.body["spec"]["template"]["spec"]


@pytest.mark.parametrize("level", tenant.LEVELS)
def test_a_tenant_may_do_its_work(world: World, level: str) -> None:
    """What the attacks stand beside: workloads, scaling, deleting an instance, reading all of it."""

    def may(method: str, path: str, body: Any = None, content: str = "application/json") -> Answer:
        answer = world.tenant(method, path, body, content=content, dry=method != "GET")
        assert not answer.refused, answer
        return answer

    path = tenant.workloads(level)
    may("POST", path, tenant.workload(level))
    may("PATCH", f"{path}/harmless", {"spec": {"replicas": 3}}, MERGE)
    may("PATCH", f"{path}/harmless/scale", {"spec": {"replicas": 3}}, MERGE)
    may("PATCH", f"{path}/harmless", {"spec": {"suspend": True}}, MERGE)
    may("DELETE", f"{path}/harmless")
    may("DELETE", f"{tenant.instances(level)}/harmless")
    may("GET", f"{tenant.instances(level)}/harmless")
    may("GET", f"{path}/harmless/status")
    may("GET", f"{path}/harmless/scale")
    images = f"{GROUP}/namespaces/{tenant.space(level)}/containerimages"
    may("POST", images, {**IMAGE, "metadata": {"name": "early"}})
    may("GET", images)


def test_scaling_changes_the_number_alone(world: World) -> None:
    """A template that is sent along to the scale subresource is not taken."""
    path = f"{tenant.workloads('baseline')}/harmless"
    before = world.admin("GET", path).body["spec"]["template"]
    world.tenant("PATCH", f"{path}/scale", {"spec": {"replicas": 1, "template": {"spec": {"hostPID": True}}}}, content=MERGE)
    assert world.admin("GET", path).body["spec"]["template"] == before
