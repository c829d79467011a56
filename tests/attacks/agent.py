"""What the identity of a node's agent is good for when somebody steals it: its own node, and nothing else."""

from typing import Any, Final

from tests.attacks.case import CORE, RBAC, SERVER, Attack, create, merge, policy
from tests.harness import GROUP
from tools.lab.caller import APPLY

SPACE: Final = "attacked"
OPEN: Final = "attacked-open"
CLOSED: Final = "attacked-closed"
DENIED: Final = "attacked-denied"
"""Namespaces in which agents have the right to tokens: the first is labelled for it, the last with another value."""
NODE: Final = "stolen1"
OTHER: Final = "other1"
OWN: Final = f"{GROUP}/namespaces/{SPACE}/containerinstances/own"
FOREIGN: Final = f"{GROUP}/namespaces/{SPACE}/containerinstances/foreign"
INSTANCES: Final = f"{GROUP}/namespaces/{SPACE}/containerinstances"
NODES: Final = f"{GROUP}/runtimenodes"
IMAGES: Final = f"{GROUP}/nodeimages"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/moorage-node-lease/leases"
LEADER: Final = "/apis/coordination.k8s.io/v1/namespaces/moorage-system/leases"
EVENTS: Final = f"{CORE}/namespaces/{SPACE}/events"
RIGHTS: Final = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SIGNING: Final = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

READY: Final = {"status": {"conditions": [], "phase": "Running"}}


def instance(name: str, node: str, **metadata: Any) -> dict[str, Any]:
    """A ContainerInstance that is valid."""
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerInstance",
        "metadata": {"name": name, "namespace": SPACE, **metadata},
        "spec": {"nodeName": node, "network": "None", "containers": [{"name": "main", "image": "web:1"}]},
    }


def node(name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A RuntimeNode."""
    return {"apiVersion": "moorage.dev/v1alpha1", "kind": "RuntimeNode", "metadata": {"name": name, **metadata}, "spec": spec}


def images(name: str, *wanted: str) -> dict[str, Any]:
    """A NodeImages that wants these images."""
    entries = [{"namespace": SPACE, "name": f"i{n}", "image": image, "revision": "1"} for n, image in enumerate(wanted)]
    meta = {"name": name}
    return {"apiVersion": "moorage.dev/v1alpha1", "kind": "NodeImages", "metadata": meta, "spec": {"images": entries}}


def lease(name: str, namespace: str, holder: str) -> dict[str, Any]:
    """A Lease."""
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": {"holderIdentity": holder}}


def event(about: dict[str, str], host: str, namespace: str = SPACE) -> dict[str, Any]:
    """An Event as agents write them."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "attack-", "namespace": namespace},
        "involvedObject": about,
        "reason": "Started",
        "message": "as an agent says it",
        "type": "Normal",
        "source": {"component": "moorage-agent", "host": host},
        "reportingComponent": "moorage-agent",
        "reportingInstance": host,
    }


def about_instance(name: str) -> dict[str, str]:
    """An instance, as an Event names it."""
    return {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerInstance", "namespace": SPACE, "name": name}


def about_node(name: str) -> dict[str, str]:
    """A RuntimeNode, as an Event names it."""
    return {"apiVersion": "moorage.dev/v1alpha1", "kind": "RuntimeNode", "name": name}


def token(namespace: str, account: str = "default", **spec: Any) -> tuple[str, str, Any]:
    """A request for a token of a ServiceAccount, as an agent makes it: bound to its Node."""
    spec = {"boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": NODE}} | spec
    return create(f"{CORE}/namespaces/{namespace}/serviceaccounts/{account}/token", {"spec": spec})


_I, _N, _L, _E, _X = policy("instances"), policy("nodes"), policy("leases"), policy("events"), policy("others")
_T: Final = policy("tokens")
_M = policy("images")
_NOT = "cannot"
"""What RBAC says of each verb: the user cannot do it."""

ON_INSTANCES: Final = [
    Attack(
        "write the status of another node's instance",
        _I,
        f"instance of node {OTHER}",
        *merge(f"{FOREIGN}/status", READY),
        depth=_I,
    ),
    Attack(
        "write it by server-side apply",
        _I,
        f"instance of node {OTHER}",
        "PATCH",
        f"{FOREIGN}/status?fieldManager=x&force=true",
        {**instance("foreign", OTHER), **READY},
        APPLY,
        depth=_I,
    ),
    Attack(
        "take the finalizer off another node's instance",
        _I,
        f"instance of node {OTHER}",
        *merge(FOREIGN, {"metadata": {"finalizers": None}}),
        depth=_I,
    ),
    Attack(
        "change what another node's instance runs",
        _I,
        f"instance of node {OTHER}",
        *merge(FOREIGN, {"spec": {"restartPolicy": "Never"}}),
        depth=_I,
    ),
    Attack(
        "change what its own instance runs",
        _I,
        "may not change the spec",
        *merge(OWN, {"spec": {"containers": [{"name": "main", "image": "miner:1"}]}}),
        depth=_I,
    ),
    Attack(
        "move its instance to another node",
        SERVER,
        "nodeName is immutable",
        *merge(OWN, {"spec": {"nodeName": OTHER}}),
        depth=SERVER,
    ),
    Attack("label its instance", _I, "may not change labels", *merge(OWN, {"metadata": {"labels": {"app": "bank"}}}), depth=_I),
    Attack(
        "annotate its instance",
        _I,
        "may not change labels, annotations",
        *merge(OWN, {"metadata": {"annotations": {"a": "b"}}}),
        depth=_I,
    ),
    Attack(
        "have its instance owned by something else",
        _I,
        "ownerReferences",
        *merge(OWN, {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "a"}]}}),
        depth=_I,
    ),
    Attack(
        "take somebody else's finalizer off its instance",
        _I,
        "may only set or remove moorage.dev/agent",
        *merge(OWN, {"metadata": {"finalizers": ["moorage.dev/agent"]}}),
        depth=_I,
    ),
    Attack("create an instance on another node", RBAC, _NOT, *create(INSTANCES, instance("new", OTHER)), depth=_I),
    Attack("create an instance on its own node", RBAC, _NOT, *create(INSTANCES, instance("new", NODE)), depth=_I),
    Attack(
        "create an instance by server-side apply",
        RBAC,
        _NOT,
        "PATCH",
        f"{INSTANCES}/new?fieldManager=x",
        instance("new", NODE),
        APPLY,
        depth=_I,
    ),
    Attack("replace an instance as a whole", RBAC, _NOT, "PUT", OWN, instance("own", NODE), depth=SERVER),
    Attack("delete another node's instance", RBAC, _NOT, "DELETE", FOREIGN, depth=_I),
    Attack("delete its own instance", RBAC, _NOT, "DELETE", OWN, depth=_I),
    Attack("delete all instances of a namespace", RBAC, _NOT, "DELETE", INSTANCES, depth=_I),
]

ON_NODES: Final = [
    Attack(
        "take the taints off its RuntimeNode",
        _N,
        "may not change the spec",
        *merge(f"{NODES}/{NODE}", {"spec": {"taints": None}}),
        depth=_N,
    ),
    Attack(
        "make its cordoned RuntimeNode schedulable",
        _N,
        "may not change the spec",
        *merge(f"{NODES}/{NODE}", {"spec": {"unschedulable": False}}),
        depth=_N,
    ),
    Attack(
        "label its RuntimeNode so that a node selector matches",
        _N,
        "labels",
        *merge(f"{NODES}/{NODE}", {"metadata": {"labels": {"pool": "payments"}}}),
        depth=_N,
    ),
    Attack(
        "take a label of people's off its RuntimeNode",
        _N,
        "labels",
        *merge(f"{NODES}/{NODE}", {"metadata": {"labels": {"quarantine": None}}}),
        depth=_N,
    ),
    Attack(
        "give its RuntimeNode another node's host name",
        _N,
        "kubernetes.io/hostname",
        *merge(f"{NODES}/{NODE}", {"metadata": {"labels": {"kubernetes.io/hostname": OTHER}}}),
        depth=_N,
    ),
    Attack(
        "annotate its RuntimeNode",
        _N,
        "annotations",
        *merge(f"{NODES}/{NODE}", {"metadata": {"annotations": {"a": "b"}}}),
        depth=_N,
    ),
    Attack(
        "keep its RuntimeNode from being deleted, by a finalizer",
        _N,
        "finalizers",
        *merge(f"{NODES}/{NODE}", {"metadata": {"finalizers": ["example.com/hold"]}}),
        depth=_N,
    ),
    Attack("delete its RuntimeNode, to register it without taints", RBAC, _NOT, "DELETE", f"{NODES}/{NODE}", depth=_N),
    Attack(
        "write another node's status",
        _N,
        f"RuntimeNode {OTHER}",
        *merge(f"{NODES}/{OTHER}/status", {"status": {"agentVersion": "x"}}),
        depth=_N,
    ),
    Attack(
        "register a RuntimeNode of another name", _N, "RuntimeNode invented", *create(NODES, node("invented", {})), depth=_N
    ),
    Attack(
        "change another node's labels",
        _N,
        f"RuntimeNode {OTHER}",
        *merge(f"{NODES}/{OTHER}", {"metadata": {"labels": {"a": "b"}}}),
        depth=_N,
    ),
    Attack("delete another RuntimeNode", RBAC, _NOT, "DELETE", f"{NODES}/{OTHER}", depth=_N),
]

ON_IMAGES: Final = [
    Attack(
        "write the status of another node's images",
        _M,
        f"NodeImages {OTHER}",
        *merge(f"{IMAGES}/{OTHER}/status", {"status": {"ready": "1/1"}}),
        depth=_M,
    ),
    Attack(
        "write what another node says of its images by server-side apply",
        _M,
        f"NodeImages {OTHER}",
        "PATCH",
        f"{IMAGES}/{OTHER}/status?fieldManager=x&force=true",
        {**images(OTHER), "status": {"ready": "1/1"}},
        APPLY,
        depth=_M,
    ),
    Attack(
        "have another node pull what it likes",
        RBAC,
        _NOT,
        *merge(f"{IMAGES}/{OTHER}", {"spec": images(OTHER, "miner:1")["spec"]}),
        depth=_M,
    ),
    Attack("change what its own node is to have", RBAC, _NOT, *merge(f"{IMAGES}/{NODE}", {"spec": {"images": []}}), depth=_M),
    Attack("make a NodeImages of another name", RBAC, _NOT, *create(IMAGES, images("invented", "miner:1")), depth=_M),
    Attack("delete another node's NodeImages", RBAC, _NOT, "DELETE", f"{IMAGES}/{OTHER}", depth=_M),
    Attack(
        "have every node pull an image, by a ContainerImage",
        RBAC,
        _NOT,
        *create(
            f"{GROUP}/namespaces/{SPACE}/containerimages",
            {
                "apiVersion": "moorage.dev/v1alpha1",
                "kind": "ContainerImage",
                "metadata": {"name": "a"},
                "spec": {"image": "miner:1"},
            },
        ),
        depth=_X,
    ),
    Attack("read ContainerImages", RBAC, _NOT, "GET", f"{GROUP}/containerimages"),
]

ON_LEASES: Final = [
    Attack(
        "renew another node's heartbeat",
        _L,
        "may only write Lease",
        *merge(f"{LEASES}/{OTHER}", {"spec": {"holderIdentity": NODE}}),
        depth=_L,
    ),
    Attack(
        "make a heartbeat for a node that does not exist",
        _L,
        "may only write Lease",
        *create(LEASES, lease("invented", "moorage-node-lease", "invented")),
        depth=_L,
    ),
    Attack(
        "give its heartbeat another holder",
        _L,
        "holder",
        *merge(f"{LEASES}/{NODE}", {"spec": {"holderIdentity": OTHER}}),
        depth=_L,
    ),
    Attack("delete another node's heartbeat", RBAC, _NOT, "DELETE", f"{LEASES}/{OTHER}", depth=_L),
    Attack(
        "take the managers' lead", RBAC, _NOT, *merge(f"{LEADER}/moorage-manager", {"spec": {"holderIdentity": NODE}}), depth=_L
    ),
    Attack("read who leads the managers", RBAC, _NOT, "GET", f"{LEADER}/moorage-manager"),
]

ON_EVENTS: Final = [
    Attack(
        "tell an Event about another RuntimeNode",
        _E,
        "its own RuntimeNode only",
        *create(f"{CORE}/namespaces/default/events", event(about_node(OTHER), NODE, "default")),
        depth=_E,
    ),
    Attack(
        "tell an Event about a Pod",
        _E,
        "about instances",
        *create(EVENTS, event({"apiVersion": "v1", "kind": "Pod", "namespace": SPACE, "name": "a"}, NODE)),
        depth=_E,
    ),
    Attack(
        "tell an Event in another node's name",
        _E,
        "of its own node",
        *create(EVENTS, event(about_instance("own"), OTHER)),
        depth=_E,
    ),
    Attack(
        "rewrite another node's Event",
        _E,
        "own Events",
        *merge(f"{EVENTS}/foreign", {"source": {"host": NODE}, "reportingInstance": NODE}),
        depth=_E,
    ),
    Attack("delete an Event", RBAC, _NOT, "DELETE", f"{EVENTS}/foreign", depth=_E),
]

ELSEWHERE: Final = [
    Attack(
        "write a Secret",
        RBAC,
        _NOT,
        *create(f"{CORE}/namespaces/{SPACE}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}),
        depth=_X,
    ),
    Attack(
        "change a Secret that its instance names",
        RBAC,
        _NOT,
        *merge(f"{CORE}/namespaces/{SPACE}/secrets/password", {"stringData": {"password": "known"}}),
        depth=_X,
    ),
    Attack("delete a Secret", RBAC, _NOT, "DELETE", f"{CORE}/namespaces/{SPACE}/secrets/password", depth=_X),
    Attack("delete all ConfigMaps", RBAC, _NOT, "DELETE", f"{CORE}/namespaces/{SPACE}/configmaps", depth=_X),
    Attack("make a token of a service account of its instances", RBAC, _NOT, *token(SPACE), depth=_T),
    Attack(
        "write a ConfigMap",
        RBAC,
        _NOT,
        *create(f"{CORE}/namespaces/{SPACE}/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
        depth=_X,
    ),
    Attack("read workloads", RBAC, _NOT, "GET", f"{GROUP}/containerworkloads"),
    Attack(
        "change a workload",
        RBAC,
        _NOT,
        *merge(f"{GROUP}/namespaces/{SPACE}/containerworkloads/web", {"spec": {"replicas": 9}}),
        depth=_X,
    ),
    Attack(
        "take the Pod Security level off a namespace",
        RBAC,
        _NOT,
        *merge(f"{CORE}/namespaces/{SPACE}", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        depth=_X,
    ),
    Attack(
        "act as the manager",
        RBAC,
        "cannot impersonate",
        "GET",
        f"{GROUP}/containerworkloads",
        headers={"Impersonate-User": "system:serviceaccount:moorage-system:moorage-manager"},
    ),
    Attack(
        "act as another node",
        RBAC,
        "cannot impersonate",
        "GET",
        f"{GROUP}/containerinstances",
        headers={"Impersonate-User": f"moorage:node:{OTHER}"},
    ),
    Attack(
        "remove the policy that confines it",
        RBAC,
        _NOT,
        "DELETE",
        f"{ADMISSION}/validatingadmissionpolicybindings/moorage-agent-instances",
    ),
    Attack(
        "weaken the policy that confines it",
        RBAC,
        _NOT,
        *merge(f"{ADMISSION}/validatingadmissionpolicies/moorage-agent-instances", {"spec": {"failurePolicy": "Ignore"}}),
    ),
    Attack(
        "change a definition",
        RBAC,
        _NOT,
        *merge(f"{CRDS}/containerinstances.moorage.dev", {"metadata": {"labels": {"a": "b"}}}),
        depth=_X,
    ),
    Attack(
        "delete a definition, and with it every workload",
        RBAC,
        _NOT,
        "DELETE",
        f"{CRDS}/containerworkloads.moorage.dev",
        depth=_X,
    ),
    Attack(
        "give itself all rights",
        RBAC,
        _NOT,
        *create(
            f"{RIGHTS}/clusterrolebindings",
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "attack"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"moorage:node:{NODE}"}],
            },
        ),
        depth=_X,
    ),
    Attack(
        "ask for another node's certificate",
        RBAC,
        _NOT,
        *create(
            SIGNING,
            {
                "apiVersion": "certificates.k8s.io/v1",
                "kind": "CertificateSigningRequest",
                "metadata": {"name": "attack"},
                "spec": {"request": "YQ==", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
            },
        ),
        depth=f"{_X} or {SERVER}",
    ),
    Attack(
        "run a Pod",
        RBAC,
        _NOT,
        *create(
            f"{CORE}/namespaces/moorage-system/pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "attack"},
                "spec": {"containers": [{"name": "a", "image": "a"}], "automountServiceAccountToken": False},
            },
        ),
        depth=_X,
    ),
    Attack(
        "run a command in a Pod",
        RBAC,
        _NOT,
        "POST",
        f"{CORE}/namespaces/moorage-system/pods/agent-{NODE}/exec?command=id&stdout=true",
        depth=_X,
    ),
    Attack("change the Node", RBAC, _NOT, *merge(f"{CORE}/nodes/{NODE}", {"metadata": {"labels": {"a": "b"}}}), depth=_X),
    Attack("read the logs of the API server", RBAC, _NOT, "GET", "/logs/"),
]

WITH_TOKENS: Final = [
    Attack("make a token in a namespace that is not labelled for it", _T, "only in namespaces with the label", *token(CLOSED)),
    Attack(
        "make a token where the label has another value",
        _T,
        "only in namespaces with the label",
        *token(DENIED),
    ),
    Attack("make a token of the control plane, labelled or not", _T, "whatever its labels say", *token("kube-system")),
    Attack("make a token of the manager", _T, "whatever its labels say", *token("moorage-system", "moorage-manager")),
    Attack(
        "make a token of an agent of another node", _T, "whatever its labels say", *token("moorage-system", "moorage-agent")
    ),
    Attack(
        "make a token that lives on with another node",
        _T,
        f"is bound to the Node {NODE}",
        *token(OPEN, boundObjectRef={"apiVersion": "v1", "kind": "Node", "name": OTHER}),
    ),
    Attack(
        "make a token that is bound to a Secret",
        _T,
        f"is bound to the Node {NODE}",
        *token(OPEN, boundObjectRef={"apiVersion": "v1", "kind": "Secret", "name": "password"}),
    ),
    Attack(
        "make a token that is bound to a Pod of its name",
        _T,
        f"is bound to the Node {NODE}",
        *token(OPEN, boundObjectRef={"apiVersion": "v1", "kind": "Pod", "name": NODE}),
    ),
    Attack(
        "make a token that nothing ends for longer than a day",
        _T,
        "",
        *token(OPEN, boundObjectRef=None, expirationSeconds=86401),
    ),
    Attack(
        "read the service accounts of a namespace, to choose one",
        RBAC,
        _NOT,
        "GET",
        f"{CORE}/namespaces/{OPEN}/serviceaccounts",
    ),
    Attack(
        "label a namespace, to make tokens there",
        RBAC,
        _NOT,
        *merge(f"{CORE}/namespaces/{CLOSED}", {"metadata": {"labels": {"moorage.dev/service-account-tokens": "allowed"}}}),
    ),
]
"""What a stolen agent tries with the right to ask for tokens (value agent.serviceAccountTokens.enabled of the chart)."""

ATTACKS: Final = [*ON_INSTANCES, *ON_NODES, *ON_IMAGES, *ON_LEASES, *ON_EVENTS, *ELSEWHERE]

UNBOUND: Final = [
    Attack("write a status", _I, "is not known", *merge(f"{OWN}/status", READY)),
    Attack("register a RuntimeNode", _N, "is not known", *create(NODES, node("invented", {}))),
    Attack(
        "write the status of a node's images",
        _M,
        "is not known",
        *merge(f"{IMAGES}/{NODE}/status", {"status": {"ready": "1/1"}}),
    ),
    Attack("make a heartbeat", _L, "is not known", *create(LEASES, lease("invented", "moorage-node-lease", "invented"))),
    Attack("tell an Event", _E, "is not known", *create(EVENTS, event(about_instance("own"), NODE))),
    Attack("make a token of a service account, with the right to that", _T, "is not known", *token(OPEN)),
]
"""What a token of the agents' ServiceAccount tries that is bound to no node."""
