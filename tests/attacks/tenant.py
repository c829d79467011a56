"""Ways to root on a node for somebody who may edit in a namespace that is held to a Pod Security level."""

import copy
from typing import Any, Final

from tests.attacks.agent import ADMISSION, CRDS, LEASES, RIGHTS
from tests.attacks.case import CORE, OWNER, PSS, RBAC, SCHEMA, SERVER, Attack, create, merge
from tests.harness import GROUP
from tools.lab.caller import APPLY, JSON_PATCH

LEVELS: Final = ("baseline", "restricted")
NODE: Final = "other1"
HOST: Final = [{"name": "host", "hostPath": {"path": "/"}}]
OUTSIDE: Final = [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "../../token"}}]}}]
CORE_PATTERN: Final = {"name": "kernel.core_pattern", "value": "|/x"}
PRIVILEGED: Final = {"name": "first", "image": "web:1", "securityContext": {"privileged": True}}
_NOT: Final = "cannot"


def space(level: str) -> str:
    """The tenant's namespace of this level."""
    return f"tenant-{level}"


def workloads(level: str) -> str:
    """Path of the tenant's workloads."""
    return f"{GROUP}/namespaces/{space(level)}/containerworkloads"


def instances(level: str) -> str:
    """Path of the tenant's instances."""
    return f"{GROUP}/namespaces/{space(level)}/containerinstances"


def spec(container: dict[str, Any] | None = None, **instance: Any) -> dict[str, Any]:
    """An instance spec that level restricted allows, with changes to its container and to itself."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    main: dict[str, Any] = {"name": "main", "image": "web:1", "securityContext": context}
    whole: dict[str, Any] = {
        "network": "None",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_over(main, container or {})],
    }
    changed = _without_nothing(_over(whole, instance))
    assert isinstance(changed, dict)
    return changed


def workload(level: str, name: str = "attack", container: dict[str, Any] | None = None, **instance: Any) -> dict[str, Any]:
    """A workload of the tenant's with that spec."""
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerWorkload",
        "metadata": {"name": name, "namespace": space(level)},
        "spec": {"template": {"spec": spec(container, **instance)}},
    }


def by_hand(level: str, container: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """An instance that is written by hand."""
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerInstance",
        "metadata": {"name": "attack", "namespace": space(level), **metadata},
        "spec": {"nodeName": NODE, **spec(container)},
    }


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(below)
    for key, value in above.items():
        merged[key] = _over(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
    return merged


def _without_nothing(value: Any) -> Any:
    """The value without fields that are None: those are not said at all."""
    if isinstance(value, dict):
        return {key: _without_nothing(below) for key, below in value.items() if below is not None}
    return [_without_nothing(item) for item in value] if isinstance(value, list) else value


def context(**fields: Any) -> dict[str, Any]:
    """A change of the container's security context."""
    return {"securityContext": fields}


def pod_security(level: str) -> list[Attack]:
    """What Pod Security refuses."""
    path = workloads(level)

    def refused(tries: str, says: str, container: dict[str, Any] | None = None, **instance: Any) -> Attack:
        return Attack(tries, PSS, says, *create(path, workload(level, container=container, **instance)))

    open_ = {"allowPrivilegeEscalation": None}
    found = [
        refused("run privileged", "privileged", context(privileged=True, **open_)),
        refused("see the node's processes", "hostPID=true", hostPID=True),
        refused("share the node's IPC", "hostIPC=true", hostIPC=True),
        refused(
            "have the agent connect to the node's own loopback by a probe",
            'container "main" uses probe or lifecycle host "127.0.0.1"',
            {"readinessProbe": {"tcpSocket": {"port": 6443, "host": "127.0.0.1"}}},
        ),
        refused(
            "have the agent ask elsewhere by a lifecycle handler",
            'container "main" uses probe or lifecycle host "169.254.169.254"',
            {"lifecycle": {"preStop": {"httpGet": {"port": 80, "host": "169.254.169.254"}}}},
        ),
        refused("use the node's network", "hostNetwork=true", hostNetwork=True, network=None),
        refused("take a port of the node", "hostPort 80", {"ports": [{"containerPort": 80, "hostPort": 80}]}, network=None),
        refused("add the capability SYS_ADMIN", "SYS_ADMIN", context(capabilities={"add": ["SYS_ADMIN"]}, **open_)),
        refused("add the capability SYS_PTRACE", "SYS_PTRACE", context(capabilities={"add": ["SYS_PTRACE"]})),
        refused("add the capability NET_RAW", "NET_RAW", context(capabilities={"add": ["NET_RAW"]})),
        refused("add all capabilities", "ALL", context(capabilities={"add": ["ALL"]})),
        refused("add a capability that does not exist yet", "FUTURE", context(capabilities={"add": ["FUTURE"]})),
        refused("run without a filter of system calls", "Unconfined", context(seccompProfile={"type": "Unconfined"})),
        refused(
            "do so by the instance's context",
            "Unconfined",
            securityContext={"seccompProfile": {"type": "Unconfined"}},
        ),
        refused("see /proc unmasked", "Unmasked", context(procMount="Unmasked")),
        refused("mount the node's root", "hostPath", {"volumeMounts": [{"name": "host", "mountPath": "/host"}]}, volumes=HOST),
        refused("have it at hand in a volume that nothing mounts yet", "hostPath", volumes=HOST),
        refused("set a parameter of the kernel", "kernel.core_pattern", securityContext={"sysctls": [CORE_PATTERN]}),
        refused("run a privileged init container", "privileged", initContainers=[PRIVILEGED]),
        refused("run a privileged sidecar", "privileged", initContainers=[{**PRIVILEGED, "restartPolicy": "Always"}]),
        Attack(
            "make a harmless workload privileged later",
            PSS,
            "privileged",
            *merge(f"{path}/harmless", {"spec": {"template": {"spec": spec(context(privileged=True, **open_))}}}),
        ),
        Attack(
            "do so by a JSON patch",
            PSS,
            "privileged",
            "PATCH",
            f"{path}/harmless",
            [
                {
                    "op": "replace",
                    "path": "/spec/template/spec/containers/0/securityContext",
                    "value": {"privileged": True},
                }
            ],
            JSON_PATCH,
        ),
        Attack(
            "do so by server-side apply",
            PSS,
            "privileged",
            "PATCH",
            f"{path}/harmless?fieldManager=x&force=true",
            workload(level, "harmless", context(privileged=True, allowPrivilegeEscalation=True)),
            APPLY,
        ),
        refused(
            "hide a privileged container behind a harmless one",
            "privileged",
            containers=[spec()["containers"][0], {"name": "second", "image": "web:1", **context(privileged=True)}],
        ),
    ]
    if level == "restricted":
        found += [
            refused("run as root", "runAsUser=0", context(runAsUser=0)),
            refused("run as root by the instance's context", "runAsUser=0", securityContext={"runAsUser": 0}),
            refused("run as whatever the image says", "runAsNonRoot != true", securityContext={"runAsNonRoot": None}),
            refused("allow root for one container", "runAsNonRoot != true", context(runAsNonRoot=False)),
            refused(
                "gain privileges by setuid programs",
                "allowPrivilegeEscalation != false",
                context(allowPrivilegeEscalation=True),
            ),
            refused("leave allowPrivilegeEscalation unsaid", "allowPrivilegeEscalation != false", context(**open_)),
            refused("keep Docker's default capabilities", "unrestricted capabilities", context(capabilities={"drop": None})),
            refused("add the capability CHOWN", "CHOWN", context(capabilities={"add": ["CHOWN"]})),
            refused("leave the filter of system calls unsaid", "seccompProfile", securityContext={"seccompProfile": None}),
        ]
    return found


def schema(level: str) -> list[Attack]:
    """What the definitions refuse: the field is not there, or its value is none."""
    path = f"{workloads(level)}?fieldValidation=Strict"

    def refused(tries: str, says: str, container: dict[str, Any] | None = None, **instance: Any) -> Attack:
        return Attack(tries, SCHEMA, says, *create(path, workload(level, container=container, **instance)))

    def metadata(**fields: Any) -> dict[str, Any]:
        body = workload(level)
        body["spec"]["template"]["metadata"] = fields
        return body

    cache = [{"name": "cache", "emptyDir": {}}]

    def mounted(**fields: Any) -> dict[str, Any]:
        return {"volumeMounts": [{"name": "cache", "mountPath": "/cache", **fields}]}

    reserved = "keys that begin with moorage.dev/"
    return [
        refused("leave a volume by subPath", "subPath", mounted(subPath="../../etc"), volumes=cache),
        refused("leave a volume by subPathExpr", "subPathExpr", mounted(subPathExpr="../$(HOSTNAME)"), volumes=cache),
        refused("mount something on the node", "Bidirectional", mounted(mountPropagation="Bidirectional"), volumes=cache),
        refused("act as a service account of another namespace", "serviceAccountName", serviceAccountName="kube-system/admin"),
        refused("reach another path of the API by its name", "serviceAccountName", serviceAccountName="../secrets/password"),
        refused("act as one by the field's old name", "unknown field", serviceAccount="admin"),
        refused("hold a token outside of its volume", "must be a path inside the volume", volumes=OUTSIDE),
        refused("use a block device", "unknown field", {"volumeDevices": [{"name": "host", "devicePath": "/dev/sda"}]}),
        refused("set an SELinux type", "unknown field", context(seLinuxOptions={"type": "spc_t"})),
        refused("turn AppArmor off", "unknown field", context(appArmorProfile={"type": "Unconfined"})),
        refused(
            "leave its folder of logs by the container's name", "spec.template.spec.containers[0].name", {"name": "../../etc"}
        ),
        refused("name a container `..`", "spec.template.spec.containers[0].name", {"name": ".."}),
        refused(
            "read a seccomp profile from elsewhere",
            "relative, and without '..'",
            context(seccompProfile={"type": "Localhost", "localhostProfile": "../../../etc/shadow"}),
        ),
        refused(
            "read a seccomp profile by an absolute path",
            "relative, and without '..'",
            context(seccompProfile={"type": "Localhost", "localhostProfile": "/etc/shadow"}),
        ),
        refused("smuggle a variable in by the name of another", "env[0].name", {"env": [{"name": "A=1\0B", "value": "2"}]}),
        Attack(
            "pass its instances off as another workload's by labels of the template",
            SCHEMA,
            reserved,
            *create(path, metadata(labels={"moorage.dev/workload": "bank"})),
        ),
        Attack(
            "write the manager's own annotations by the template",
            SCHEMA,
            reserved,
            *create(path, metadata(annotations={"moorage.dev/template-keys": "{}"})),
        ),
        Attack(
            "leave its folder of logs by the workload's name",
            SERVER,
            "metadata.name",
            *create(path, workload(level, "../../etc")),
        ),
        Attack(
            "scale below nothing", SCHEMA, "replicas", *merge(f"{workloads(level)}/harmless/scale", {"spec": {"replicas": -1}})
        ),
    ]


def rights(level: str) -> list[Attack]:
    """What the role edit does not give."""
    own = f"{instances(level)}/harmless"
    return [
        Attack("create an instance by hand, on a node of its choice", RBAC, _NOT, *create(instances(level), by_hand(level))),
        Attack(
            "do so by server-side apply",
            RBAC,
            _NOT,
            "PATCH",
            f"{instances(level)}/attack?fieldManager=x",
            by_hand(level),
            APPLY,
        ),
        Attack("change the spec of its instance", RBAC, _NOT, *merge(own, {"spec": spec(context(privileged=True))})),
        Attack("move its instance to another node", RBAC, _NOT, *merge(own, {"spec": {"nodeName": "stolen1"}})),
        Attack("take the agent's finalizer off its instance", RBAC, _NOT, *merge(own, {"metadata": {"finalizers": None}})),
        Attack("have another workload adopt its instance", RBAC, _NOT, *merge(own, {"metadata": {"ownerReferences": []}})),
        Attack("write the status of its instance", RBAC, _NOT, *merge(f"{own}/status", {"status": {"ip": "10.0.0.1"}})),
        Attack(
            "write the status of its workload",
            RBAC,
            _NOT,
            *merge(f"{workloads(level)}/harmless/status", {"status": {"ready": "1/1"}}),
        ),
        Attack(
            "make a workload in another namespace",
            RBAC,
            _NOT,
            *create(f"{GROUP}/namespaces/attacked/containerworkloads", workload(level)),
        ),
        Attack(
            "delete instances of another namespace", RBAC, _NOT, "DELETE", f"{GROUP}/namespaces/attacked/containerinstances/own"
        ),
        Attack(
            "take the level off its namespace",
            RBAC,
            _NOT,
            *merge(
                f"{CORE}/namespaces/{space(level)}",
                {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
            ),
        ),
        Attack(
            "make a namespace without a level",
            RBAC,
            _NOT,
            *create(f"{CORE}/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "free"}}),
        ),
        Attack(
            "give itself the manager's role",
            RBAC,
            _NOT,
            *create(
                f"{RIGHTS}/namespaces/{space(level)}/rolebindings",
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "RoleBinding",
                    "metadata": {"name": "attack"},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "moorage-manager"},
                    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}],
                },
            ),
        ),
        Attack(
            "make a token of the manager",
            RBAC,
            _NOT,
            *create(f"{CORE}/namespaces/moorage-system/serviceaccounts/moorage-manager/token", {"spec": {}}),
        ),
        Attack(
            "act as an agent",
            RBAC,
            "cannot impersonate",
            "GET",
            instances(level),
            headers={"Impersonate-User": f"moorage:node:{NODE}", "Impersonate-Group": "moorage:nodes"},
        ),
        Attack(
            "have a node pull what its taints keep away",
            RBAC,
            _NOT,
            *merge(f"{GROUP}/nodeimages/{NODE}", {"spec": {"images": []}}),
        ),
        Attack(
            "say of its image that every node has it",
            RBAC,
            _NOT,
            *merge(f"{GROUP}/namespaces/{space(level)}/containerimages/harmless/status", {"status": {"ready": "1/1"}}),
        ),
        Attack("uncordon a node", RBAC, _NOT, *merge(f"{GROUP}/runtimenodes/{NODE}", {"spec": {"unschedulable": False}})),
        Attack(
            "keep a lost node alive by its heartbeat", RBAC, _NOT, *merge(f"{LEASES}/{NODE}", {"spec": {"renewTime": None}})
        ),
        Attack(
            "switch Pod Security off",
            RBAC,
            _NOT,
            "DELETE",
            f"{ADMISSION}/validatingadmissionpolicybindings/moorage-pod-security-enforce",
        ),
        Attack("loosen the definitions", RBAC, _NOT, *merge(f"{CRDS}/containerworkloads.moorage.dev", {"spec": {}})),
    ]


def archives(level: str) -> list[Attack]:
    """Files of a node that a ContainerImage is to come from, and places that it is to be pushed to."""
    path, says = f"{GROUP}/namespaces/{space(level)}/containerimages", "must be an absolute path without '..'"
    folder = "/var/lib/moorage/archives"
    head = {"apiVersion": "moorage.dev/v1alpha1", "kind": "ContainerImage", "metadata": {"name": "attack"}}

    def refused(tries: str, says: str, **more: Any) -> Attack:
        return Attack(tries, SCHEMA, says, *create(path, {**head, "spec": {"image": "web:1", **more}}))

    return [
        refused("have a node read its agent's files as an archive", says, source={"archive": f"{folder}/../images.json"}),
        refused("have it read what is beside its working folder", says, source={"archive": "../images.json"}),
        refused(
            "name an archive's image by the digest of another",
            "has a tag and no digest",
            image="web@sha256:" + "0" * 64,
            source={"archive": f"{folder}/web.tar"},
        ),
        refused("push over a digest", "is pushed to a tag", push=[{"image": "web@sha256:" + "0" * 64}]),
    ]


def attacks(level: str) -> list[Attack]:
    """All of them in a namespace of this level."""
    return [*pod_security(level), *schema(level), *archives(level), *rights(level)]


def dropped(level: str) -> list[tuple[str, dict[str, Any], str]]:
    """What a client that asks for no validation of fields sends, and the field that must not be stored."""
    return [
        ("have a token mounted by itself", workload(level, automountServiceAccountToken=True), "automountServiceAccountToken"),
        ("be as critical as the node's own", workload(level, priorityClassName="system-node-critical"), "priorityClassName"),
        (
            "run a privileged ephemeral container",
            workload(level, ephemeralContainers=[context(privileged=True)]),
            "ephemeralContainers",
        ),
    ]


def with_instances(level: str) -> list[Attack]:
    """What somebody tries who was given the right to create and change instances in the namespace, besides."""
    path, own = instances(level), f"{instances(level)}/harmless"
    owner = {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerWorkload",
        "name": "harmless",
        "uid": "u",
        "controller": True,
    }
    open_ = context(privileged=True, allowPrivilegeEscalation=None)
    return [
        Attack("write a privileged instance by hand", PSS, "privileged", *create(path, by_hand(level, open_))),
        Attack("make an instance privileged", PSS, "privileged", *merge(own, {"spec": spec(open_)})),
        Attack(
            "move an instance to another node", SERVER, "nodeName is immutable", *merge(own, {"spec": {"nodeName": "stolen1"}})
        ),
        Attack(
            "pass an instance off as a workload's",
            OWNER,
            "ownerReferences",
            *create(path, by_hand(level, ownerReferences=[owner])),
        ),
        Attack(
            "have a workload adopt an instance later",
            OWNER,
            "ownerReferences",
            *merge(own, {"metadata": {"ownerReferences": [owner]}}),
        ),
        Attack(
            "pass an instance off as a workload's by its labels",
            OWNER,
            "moorage.dev/",
            *create(path, by_hand(level, labels={"moorage.dev/workload": "harmless"})),
        ),
        Attack(
            "write the manager's annotations",
            OWNER,
            "moorage.dev/",
            *merge(own, {"metadata": {"annotations": {"moorage.dev/template-keys": "{}"}}}),
        ),
        Attack("write the status of an instance", RBAC, _NOT, *merge(f"{own}/status", {"status": {"ip": "10.0.0.1"}})),
    ]


IMAGES: Final = {
    "a path": "../../etc/passwd",
    "a file's URI": "file:///etc/passwd",
    "a path behind the registry": "127.0.0.1:1/../../etc/passwd",
    "a tag that is a path": "127.0.0.1:1/web:../../etc",
    "another transport": "oci-archive:/etc/passwd",
    "a line break": "127.0.0.1:1/web:1\n",
    "credentials": "user:password@127.0.0.1:1/web",
}
"""What the agent does not take for an image."""
