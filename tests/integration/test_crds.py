"""The definitions on a real API server: what it takes, what it refuses and in which words, and what it fills in."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.harness import GROUP, Watcher
from tools.lab import ControlPlane

Object = dict[str, Any]
CONTAINER = "spec.template.spec.containers.0"
PROBE = {"tcpSocket": {"port": 80}}
RESTART_RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}


def workload(**changes: Any) -> Object:
    """A valid workload with changes by path, such as `{"spec.replicas": 3}`; None removes a field."""
    return changed(
        {
            "apiVersion": "moorage.dev/v1alpha1",
            "kind": "ContainerWorkload",
            "metadata": {"name": "web"},
            "spec": {"template": {"spec": {"hostNetwork": True, "containers": [{"name": "web", "image": "web:1"}]}}},
        },
        changes,
    )


def instance(**changes: Any) -> Object:
    """A valid instance with changes by path."""
    return changed(
        {
            "apiVersion": "moorage.dev/v1alpha1",
            "kind": "ContainerInstance",
            "metadata": {"name": "one"},
            "spec": {"nodeName": "node1", "hostNetwork": True, "containers": [{"name": "web", "image": "web:1"}]},
        },
        changes,
    )


def changed(obj: Object, changes: dict[str, Any]) -> Object:
    """The object with the values at these paths."""
    out = copy.deepcopy(obj)
    for path, value in changes.items():
        *parents, last = path.split(".")
        at: Any = out
        for step in parents:
            at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
        if value is None:
            del at[last]
        else:
            at[last] = value
    return out


@pytest.fixture
def namespace(plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"crds-{abs(hash(request.node.name)) % 10**8}"
    plane.kubectl("create", "namespace", name)
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false")


def test_the_definitions_are_accepted_as_they_are(plane: ControlPlane) -> None:
    """Established, names accepted, structural; and applying them again changes nothing."""
    api = Watcher(plane)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    before = api.objects(path)
    assert len(before) == 5
    for crd in before.values():
        conditions = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert conditions["NamesAccepted"] == "True"
        assert "NonStructuralSchema" not in conditions
    plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    after = api.objects(path)
    assert {n: c["metadata"]["resourceVersion"] for n, c in after.items()} == {
        n: c["metadata"]["resourceVersion"] for n, c in before.items()
    }


ODD = {f"{CONTAINER}.resources.limits.cpu": "lots"}
TWO_PORTS = [{"containerPort": 80, "name": "http"}, {"containerPort": 81, "name": "http"}]
SAME_PORT = [{"containerPort": 80}, {"containerPort": 80}]
TWICE = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
TWINS = [{"name": "web", "image": "a"}, {"name": "web", "image": "b"}]

INSECURE: dict[str, tuple[Object, str, str]] = {
    "privileged without escalation": (
        {"privileged": True, "allowPrivilegeEscalation": False},
        "",
        "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
    ),
    "SYS_ADMIN without escalation": (
        {"allowPrivilegeEscalation": False, "capabilities": {"add": ["CHOWN", "SYS_ADMIN"]}},
        "",
        "cannot set `allowPrivilegeEscalation` to false and add the capability SYS_ADMIN",
    ),
    "a capability with CAP_": ({"capabilities": {"add": ["CAP_CHOWN"]}}, ".capabilities.add", "without CAP_"),
    "a dropped capability with CAP_": ({"capabilities": {"drop": ["CAP_CHOWN"]}}, ".capabilities.drop", "without CAP_"),
    "a capability in small letters": ({"capabilities": {"drop": ["all"]}}, ".capabilities.drop[0]", "should match"),
    "a filter without its file": (
        {"seccompProfile": {"type": "Localhost"}},
        ".seccompProfile.localhostProfile",
        "must be set when seccomp type is Localhost",
    ),
    "a filter with no name of a file": (
        {"seccompProfile": {"type": "Localhost", "localhostProfile": ""}},
        ".seccompProfile.localhostProfile",
        "must be set when seccomp type is Localhost",
    ),
    "a file without its filter": (
        {"seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "a.json"}},
        ".seccompProfile.localhostProfile",
        "can only be set when seccomp type is Localhost",
    ),
    "a file out of the folder": (
        {"seccompProfile": {"type": "Localhost", "localhostProfile": "a/../../b.json"}},
        ".seccompProfile.localhostProfile",
        "without '..'",
    ),
    "a file from the root": (
        {"seccompProfile": {"type": "Localhost", "localhostProfile": "/etc/b.json"}},
        ".seccompProfile.localhostProfile",
        "relative",
    ),
    "a filter without a type": ({"seccompProfile": {}}, ".seccompProfile.type", "Required value"),
    "an unknown filter": ({"seccompProfile": {"type": "Strict"}}, ".seccompProfile.type", "Unsupported value"),
    "a user beyond the largest": ({"runAsUser": 2**31}, ".runAsUser", "less than or equal to 2147483647"),
    "a user by name": ({"runAsUser": "app"}, ".runAsUser", "must be of type integer"),
    "an unknown procMount": ({"procMount": "None"}, ".procMount", "Unsupported value"),
}

EXEC = {"exec": {"command": ["true"]}}
UNHEALTHY: dict[str, tuple[Object, str, str]] = {
    "a probe that asks for nothing": (
        {"livenessProbe": {}},
        ".livenessProbe",
        "exactly one of exec, httpGet, tcpSocket and grpc",
    ),
    "a probe that asks twice": (
        {"readinessProbe": EXEC | {"tcpSocket": {"port": 80}}},
        ".readinessProbe",
        "exactly one of exec, httpGet, tcpSocket and grpc",
    ),
    "an empty command": ({"livenessProbe": {"exec": {"command": []}}}, ".livenessProbe.exec.command", "at least 1"),
    "a liveness probe that has to succeed twice": (
        {"livenessProbe": EXEC | {"successThreshold": 2}},
        ".livenessProbe.successThreshold",
        "must be 1",
    ),
    "a startup probe that has to succeed twice": (
        {"startupProbe": EXEC | {"successThreshold": 2}},
        ".startupProbe.successThreshold",
        "must be 1",
    ),
    "a readiness probe with a grace period": (
        {"readinessProbe": EXEC | {"terminationGracePeriodSeconds": 5}},
        ".readinessProbe.terminationGracePeriodSeconds",
        "must not be set",
    ),
    "a grace period of nothing": (
        {"livenessProbe": EXEC | {"terminationGracePeriodSeconds": 0}},
        ".livenessProbe.terminationGracePeriodSeconds",
        "greater than or equal to 1",
    ),
    "no timeout": (
        {"livenessProbe": EXEC | {"timeoutSeconds": 0}},
        ".livenessProbe.timeoutSeconds",
        "greater than or equal to 1",
    ),
    "a probe of port 0": (
        {"livenessProbe": {"httpGet": {"port": 0}}},
        ".livenessProbe.httpGet.port",
        "greater than or equal to 1",
    ),
    "a number as a name": ({"livenessProbe": {"tcpSocket": {"port": "80"}}}, ".livenessProbe.tcpSocket.port", "should match"),
    "a scheme that is none": (
        {"livenessProbe": {"httpGet": {"port": 80, "scheme": "http"}}},
        ".livenessProbe.httpGet.scheme",
        "Unsupported value",
    ),
    "a header that breaks the line": (
        {"livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "A", "value": "b\r\nC: d"}]}}},
        ".livenessProbe.httpGet.httpHeaders[0].value",
        "should match",
    ),
    "a path that breaks the line": (
        {"livenessProbe": {"httpGet": {"port": 80, "path": "/ HTTP/1.1"}}},
        ".livenessProbe.httpGet.path",
        "should match",
    ),
    "a handler by tcpSocket": (
        {"lifecycle": {"preStop": {"tcpSocket": {"port": 80}}}},
        ".lifecycle.preStop.tcpSocket",
        "unknown field",
    ),
    "a handler that does nothing": (
        {"lifecycle": {"postStart": {}}},
        ".lifecycle.postStart",
        "exactly one of exec, httpGet and sleep",
    ),
    "a signal without SIG": ({"lifecycle": {"stopSignal": "TERM"}}, ".lifecycle.stopSignal", "should match"),
    "a signal that is none": ({"lifecycle": {"stopSignal": "SIGRTMIN+16"}}, ".lifecycle.stopSignal", "should match"),
    "a relative file for last words": ({"terminationMessagePath": "log"}, ".terminationMessagePath", "should match"),
}
"""Fields of a container."""

GREEDY: dict[str, tuple[Object, str, str]] = {
    "more cpu asked for than allowed": (
        {"requests": {"cpu": "1001m"}, "limits": {"cpu": 1}},
        ".requests.cpu",
        "must be less than or equal to cpu limit",
    ),
    "more memory asked for than allowed": (
        {"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}},
        ".requests.memory",
        "must be less than or equal to memory limit",
    ),
    "a bad request": ({"requests": {"cpu": "much"}}, ".requests.cpu", "not a quantity"),
    "huge pages that are asked for and not allowed": (
        {"requests": {"cpu": 1, "hugepages-2Mi": "2Mi"}},
        ".requests.hugepages-2Mi",
        "must be equal to the limit of hugepages-2Mi",
    ),
    "fewer huge pages asked for than allowed": (
        {"requests": {"cpu": 1, "hugepages-2Mi": "2Mi"}, "limits": {"hugepages-2Mi": "4Mi"}},
        ".requests.hugepages-2Mi",
        "must be equal to the limit of hugepages-2Mi",
    ),
    "a part of a huge page": (
        {"limits": {"cpu": 1, "hugepages-2Mi": "3Mi"}},
        ".limits.hugepages-2Mi",
        "must be a multiple of the size of a page, 2Mi",
    ),
    "huge pages alone": ({"limits": {"hugepages-1Gi": "1Gi"}}, "", "huge pages require cpu or memory"),
    "huge pages of a size that is none": ({"limits": {"hugepages-3Mi": "3Mi"}}, ".limits.hugepages-3Mi", "unknown field"),
    "no process": ({"limits": {"pids": 0}}, ".limits.pids", "greater than or equal to 1"),
    "a promise of processes": ({"requests": {"pids": 5}}, ".requests.pids", "unknown field"),
    "disk": ({"limits": {"ephemeral-storage": "1Gi"}}, ".limits.ephemeral-storage", "unknown field"),
    "devices by name": ({"limits": {"example.com/gpu": 1}}, "limits.example.com/gpu", "unknown field"),
}
"""Resources of a container."""

FIELD = {"fieldRef": {"fieldPath": "metadata.name"}}
CPU = {"resource": "limits.cpu"}

UNSET: dict[str, tuple[Object, str, str]] = {
    "a value and where to take it from": (
        {"value": "1", "valueFrom": FIELD},
        ".valueFrom",
        "may not be specified when `value` is not empty",
    ),
    "a value from nowhere": ({"valueFrom": {}}, ".valueFrom", "needs exactly one of"),
    "a value from two places": ({"valueFrom": FIELD | {"resourceFieldRef": CPU}}, ".valueFrom", "needs exactly one of"),
    "a field that there is not": (
        {"valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}},
        ".valueFrom.fieldRef.fieldPath",
        "must be one of metadata.name",
    ),
    "all labels": (
        {"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}},
        ".valueFrom.fieldRef.fieldPath",
        "metadata.labels['<KEY>']",
    ),
    "a field of another version": (
        {"valueFrom": {"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}}},
        ".valueFrom.fieldRef.apiVersion",
        'supported values: "v1"',
    ),
    "a resource that there is not": (
        {"valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}},
        ".valueFrom.resourceFieldRef.resource",
        "supported values",
    ),
    "cores in bytes": (
        {"valueFrom": {"resourceFieldRef": CPU | {"divisor": "1Ki"}}},
        ".valueFrom.resourceFieldRef.divisor",
        "only 1 and 1m divide cpu",
    ),
    "a unit that is none": (
        {"valueFrom": {"resourceFieldRef": CPU | {"divisor": "2Mi"}}},
        ".valueFrom.resourceFieldRef.divisor",
        "should match",
    ),
    "bytes in thousandths": (
        {"valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1m"}}},
        ".valueFrom.resourceFieldRef.divisor",
        "1Ki, 1Mi, ..., 1Ei memory",
    ),
    "a key without a name": (
        {"valueFrom": {"configMapKeyRef": {"key": "a"}}},
        ".valueFrom.configMapKeyRef.name",
        "Required value",
    ),
    "a key that none can be": (
        {"valueFrom": {"secretKeyRef": {"name": "a", "key": "a/b"}}},
        ".valueFrom.secretKeyRef.key",
        "should match",
    ),
    "an object of another namespace": (
        {"valueFrom": {"secretKeyRef": {"name": "kube-system/a", "key": "a"}}},
        ".valueFrom.secretKeyRef.name",
        "should match",
    ),
}
"""Environment variables, but for their name."""
TUNED: dict[str, tuple[Object, list[Object], str, str]] = {
    "a parameter of the network that is the node's": (
        {"hostNetwork": True},
        [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
        "",
        "remove them, or hostNetwork",
    ),
    "a parameter of IPC that is the node's": (
        {"hostIPC": True},
        [{"name": "net.ipv4.tcp_syncookies", "value": "1"}, {"name": "fs/mqueue/msg_max", "value": "1"}],
        "",
        "remove them, or hostIPC",
    ),
    "a parameter twice": (
        {"hostNetwork": False},
        [{"name": "kernel.msgmax", "value": "1"}, {"name": "kernel.msgmax", "value": "2"}],
        "[1]",
        "Duplicate value",
    ),
    "a parameter that is none": (
        {"hostNetwork": False},
        [{"name": "Net.IPv4", "value": "1"}],
        "[0].name",
        "should match",
    ),
    "a parameter without a value": ({"hostNetwork": False}, [{"name": "kernel.msgmax"}], "[0].value", "Required value"),
}
"""Kernel parameters of an instance."""

BAD: dict[str, tuple[Object, str, str]] = {
    **{
        sentence: (
            workload(**{f"{CONTAINER}.env": [{"name": "A", **variable}]}),
            f"spec.template.spec.containers[0].env[0]{path}",
            told,
        )
        for sentence, (variable, path, told) in UNSET.items()
    },
    **{
        sentence: (
            workload(**{f"{CONTAINER}.{k}": v for k, v in container.items()}),
            f"spec.template.spec.containers[0]{path}",
            told,
        )
        for sentence, (container, path, told) in UNHEALTHY.items()
    },
    **{
        sentence: (
            workload(**{f"{CONTAINER}.resources": said}),
            f"spec.template.spec.containers[0].resources{path}" if path[:1] in {"", "."} else path,
            told,
        )
        for sentence, (said, path, told) in GREEDY.items()
    },
    "a sleep that is longer than the grace period": (
        workload(**{f"{CONTAINER}.lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
        "spec.template.spec.containers",
        "preStop.sleep must not be longer than terminationGracePeriodSeconds",
    ),
    "an unknown field": (workload(**{"spec.replica": 2}), "spec.replica", "unknown field"),
    "an unknown field deep inside": (
        workload(**{f"{CONTAINER}.livenessCheck": {}}),
        "spec.template.spec.containers[0].livenessCheck",
        "unknown field",
    ),
    "a wrong type": (workload(**{"spec.replicas": "two"}), "spec.replicas", "must be of type integer"),
    "a number where a text belongs": (
        workload(**{f"{CONTAINER}.env": [{"name": "PORT", "value": 8080}]}),
        "spec.template.spec.containers[0].env[0].value",
        "must be of type string",
    ),
    "a missing image": (
        workload(**{f"{CONTAINER}.image": None}),
        "spec.template.spec.containers[0].image",
        "Required value",
    ),
    "no container": (workload(**{"spec.template.spec.containers": []}), "spec.template.spec.containers", "at least 1"),
    "no template": (workload(**{"spec.template": None}), "spec.template", "Required value"),
    "a bad quantity": (
        workload(**ODD),
        "spec.template.spec.containers[0].resources.limits.cpu",
        "not a quantity: write for example 500m",
    ),
    "a negative quantity": (
        workload(**{f"{CONTAINER}.resources.limits.memory": "-1Gi"}),
        "spec.template.spec.containers[0].resources.limits.memory",
        "not a quantity",
    ),
    "two containers of one name": (
        workload(**{"spec.template.spec.containers": TWINS}),
        "spec.template.spec.containers[1]",
        'Duplicate value: {"name":"web"}',
    ),
    "two variables of one name": (
        workload(**{f"{CONTAINER}.env": TWICE}),
        "spec.template.spec.containers[0].env[1]",
        'Duplicate value: {"name":"A"}',
    ),
    "a variable with = in its name": (
        workload(**{f"{CONTAINER}.env": [{"name": "A=B"}]}),
        "spec.template.spec.containers[0].env[0].name",
        "should match",
    ),
    "variables from nowhere": (
        workload(**{f"{CONTAINER}.envFrom": [{"prefix": "A"}]}),
        "spec.template.spec.containers[0].envFrom[0]",
        "needs exactly one of configMapRef and secretRef",
    ),
    "variables from two places": (
        workload(**{f"{CONTAINER}.envFrom": [{"configMapRef": {"name": "a"}, "secretRef": {"name": "a"}}]}),
        "spec.template.spec.containers[0].envFrom[0]",
        "needs exactly one of configMapRef and secretRef",
    ),
    "a prefix with =": (
        workload(**{f"{CONTAINER}.envFrom": [{"prefix": "A=", "secretRef": {"name": "a"}}]}),
        "spec.template.spec.containers[0].envFrom[0].prefix",
        "should match",
    ),
    "two ports of one name": (
        workload(**{f"{CONTAINER}.ports": TWO_PORTS}),
        "spec.template.spec.containers[0].ports",
        "names of ports are unique",
    ),
    "one port twice": (
        workload(**{f"{CONTAINER}.ports": SAME_PORT}),
        "spec.template.spec.containers[0].ports[1]",
        "Duplicate value",
    ),
    "a port that is none": (
        workload(**{f"{CONTAINER}.ports": [{"containerPort": 70000}]}),
        "spec.template.spec.containers[0].ports[0].containerPort",
        "less than or equal to 65535",
    ),
    "a port name without a letter": (
        workload(**{f"{CONTAINER}.ports": [{"containerPort": 80, "name": "80"}]}),
        "spec.template.spec.containers[0].ports[0].name",
        "should match",
    ),
    "a container name that is no DNS label": (
        workload(**{f"{CONTAINER}.name": "Web_1"}),
        "spec.template.spec.containers[0].name",
        "should match",
    ),
    "a relative working directory": (
        workload(**{f"{CONTAINER}.workingDir": "srv"}),
        "spec.template.spec.containers[0].workingDir",
        "must be an absolute path",
    ),
    "an unknown pull policy": (
        workload(**{f"{CONTAINER}.imagePullPolicy": "Sometimes"}),
        "spec.template.spec.containers[0].imagePullPolicy",
        'supported values: "Always", "IfNotPresent", "Never"',
    ),
    "an init container by a container's name": (
        workload(**{"spec.template.spec.initContainers": [{"name": "web", "image": "a"}]}),
        "spec.template.spec.initContainers",
        "names are unique in the instance",
    ),
    "two init containers by one name": (
        workload(**{"spec.template.spec.initContainers": [{"name": "a", "image": "a"}] * 2}),
        "spec.template.spec.initContainers[1]",
        "Duplicate value",
    ),
    "a probe of an init container that is no sidecar": (
        workload(**{"spec.template.spec.initContainers": [{"name": "a", "image": "a", "readinessProbe": PROBE}]}),
        "spec.template.spec.initContainers",
        "readinessProbe is for sidecars",
    ),
    "a handler of an init container that is no sidecar": (
        workload(
            **{
                "spec.template.spec.initContainers": [
                    {"name": "a", "image": "a", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}
                ]
            }
        ),
        "spec.template.spec.initContainers",
        "lifecycle is for sidecars",
    ),
    "a port of the node for an init container that is no sidecar": (
        workload(
            **{
                "spec.template.spec.initContainers": [
                    {"name": "a", "image": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}
                ]
            }
        ),
        "spec.template.spec.initContainers",
        "hostPort is for sidecars",
    ),
    "an init container that is stopped alone": (
        workload(**{"spec.template.spec.initContainers": [{"name": "a", "image": "a", "suspend": True}]}),
        "spec.template.spec.initContainers",
        "suspend is for sidecars",
    ),
    "exceptions of a sidecar": (
        workload(
            **{
                "spec.template.spec.initContainers": [
                    {"name": "a", "image": "a", "restartPolicy": "Always", "restartPolicyRules": [RESTART_RULE]}
                ]
            }
        ),
        "spec.template.spec.initContainers",
        "remove its restartPolicyRules",
    ),
    "exceptions from no restart policy": (
        workload(**{f"{CONTAINER}.restartPolicyRules": [RESTART_RULE]}),
        "spec.template.spec.containers[0].restartPolicyRules",
        "set that, too",
    ),
    "an exception with an unknown action": (
        workload(
            **{f"{CONTAINER}.restartPolicy": "Never", f"{CONTAINER}.restartPolicyRules": [RESTART_RULE | {"action": "Wait"}]}
        ),
        "spec.template.spec.containers[0].restartPolicyRules[0].action",
        'supported values: "Restart"',
    ),
    "an exception for an exit code that there is not": (
        workload(
            **{
                f"{CONTAINER}.restartPolicy": "Never",
                f"{CONTAINER}.restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [256]}}],
            }
        ),
        "spec.template.spec.containers[0].restartPolicyRules[0].exitCodes.values[0]",
        "less than or equal to 255",
    ),
    "an unknown restart policy": (
        workload(**{"spec.template.spec.restartPolicy": "Maybe"}),
        "spec.template.spec.restartPolicy",
        'supported values: "Always", "OnFailure", "Never"',
    ),
    **{
        sentence: (
            workload(**{"spec.template.spec." + k: v for k, v in (shared | {"securityContext": {"sysctls": found}}).items()}),
            f"spec.template.spec.securityContext.sysctls{path}",
            told,
        )
        for sentence, (shared, found, path, told) in TUNED.items()
    },
    "two networks": (
        workload(**{"spec.template.spec.network": "None"}),
        "spec.template.spec.network",
        "exclude each other",
    ),
    "process ids of the node and of the instance": (
        workload(**{"spec.template.spec.hostPID": True, "spec.template.spec.shareProcessNamespace": True}),
        "spec.template.spec.shareProcessNamespace",
        "exclude each other",
    ),
    "a runtime class that cannot be one": (
        workload(**{"spec.template.spec.runtimeClassName": "No Class"}),
        "spec.template.spec.runtimeClassName",
        "should match",
    ),
    "a network that is none": (
        workload(**{"spec.template.spec.network": "bridge"}),
        "spec.template.spec.network",
        'supported values: "None"',
    ),
    "a back-off that begins above its end": (
        workload(**{"spec.template.spec.backoff.initialSeconds": 61}),
        "spec.template.spec.backoff.initialSeconds",
        "must not exceed maxSeconds",
    ),
    "replicas of a Global workload": (
        workload(**{"spec.mode": "Global", "spec.replicas": 3}),
        "spec.replicas",
        "replicas is for mode Replicated",
    ),
    "negative replicas": (workload(**{"spec.replicas": -1}), "spec.replicas", "greater than or equal to 0"),
    "maxUnavailable 0": (workload(**{"spec.update.maxUnavailable": 0}), "spec.update.maxUnavailable", "number from 1"),
    "maxUnavailable 0%": (
        workload(**{"spec.update.maxUnavailable": "0%"}),
        "spec.update.maxUnavailable",
        "from 1% to 100%",
    ),
    "maxUnavailable as a text without percent": (
        workload(**{"spec.update.maxUnavailable": "3"}),
        "spec.update.maxUnavailable",
        "a percentage",
    ),
    "a label key that is none": (
        workload(**{"spec.template.metadata.labels": {"a b": "x"}}),
        "spec.template.metadata.labels",
        "keys are [prefix/]name",
    ),
    "a label value that is none": (
        workload(**{"spec.template.metadata.labels": {"a": "x y"}}),
        "spec.template.metadata.labels.a",
        "should match",
    ),
    "a label of Moorage's own": (
        workload(**{"spec.template.metadata.labels": {"moorage.dev/workload": "x"}}),
        "spec.template.metadata.labels",
        "choose another prefix",
    ),
    "a selector with a key that is none": (
        workload(**{"spec.placement.nodeSelector": {"a b": "x"}}),
        "spec.placement.nodeSelector",
        "keys are [prefix/]name",
    ),
    "a toleration of everything by accident": (
        workload(**{"spec.placement.tolerations": [{"value": "x"}]}),
        "spec.placement.tolerations[0].operator",
        "needs operator: Exists",
    ),
    "a toleration that exists and compares": (
        workload(**{"spec.placement.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
        "spec.placement.tolerations[0].value",
        "compares no value",
    ),
    "a name that is too long for a label": (
        workload(**{"metadata.name": "w" * 64}),
        "metadata.name",
        "at most 63 characters",
    ),
    **{
        f"a security context: {sentence}": (
            workload(**{f"{CONTAINER}.securityContext": context}),
            f"spec.template.spec.containers[0].securityContext{path}",
            message,
        )
        for sentence, (context, path, message) in INSECURE.items()
    },
    "the instance's filter without its file": (
        workload(**{"spec.template.spec.securityContext": {"seccompProfile": {"type": "Localhost"}}}),
        "spec.template.spec.securityContext.seccompProfile.localhostProfile",
        "must be set when seccomp type is Localhost",
    ),
    "a negative group": (
        workload(**{"spec.template.spec.securityContext": {"supplementalGroups": [5, -1]}}),
        "spec.template.spec.securityContext.supplementalGroups[1]",
        "greater than or equal to 0",
    ),
    "a container's field for the instance": (
        workload(**{"spec.template.spec.securityContext": {"privileged": True}}),
        "spec.template.spec.securityContext.privileged",
        "unknown field",
    ),
    "hostPid for hostPID": (workload(**{"spec.template.spec.hostPid": True}), "spec.template.spec.hostPid", "unknown field"),
    "an instance without a node": (instance(**{"spec.nodeName": None}), "spec.nodeName", "Required value"),
    "an instance with an empty node": (instance(**{"spec.nodeName": ""}), "spec.nodeName", "at least 1 chars"),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_refused(plane: ControlPlane, sentence: str) -> None:
    """At apply, with the path of the field and what is wrong with it."""
    obj, path, message = BAD[sentence]
    answer = plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(obj), check=False)
    assert answer.returncode != 0, answer.stdout
    assert path in answer.stderr
    assert message in answer.stderr


GOOD: dict[str, Object] = {
    "the least that can be said": workload(),
    "everything that can be said": workload(
        **{
            "spec.replicas": 3,
            "spec.placement": {
                "nodeName": "node1",
                "nodeSelector": {"kubernetes.io/arch": "amd64", "zone": ""},
                "tolerations": [
                    {"operator": "Exists"},
                    {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
                    {"key": "x", "operator": "Exists", "effect": "NoExecute"},
                ],
            },
            "spec.suspend": True,
            "spec.update": {
                "type": "Recreate",
                "maxUnavailable": "25%",
                "minReadySeconds": 5,
                "progressDeadlineSeconds": 60,
            },
            "spec.nodeLost": {"policy": "Wait", "afterSeconds": 60},
            "spec.template.metadata": {
                "labels": {"app.kubernetes.io/name": "web", "a": ""},
                "annotations": {"example.com/note": "any text, any length"},
            },
            f"{CONTAINER}.command": ["/bin/sh", "-c"],
            f"{CONTAINER}.args": ["exec web"],
            f"{CONTAINER}.env": [
                {"name": "PORT", "value": "8080"},
                {"name": "EMPTY"},
                {"name": "NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "APP", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['example.com/app']"}}},
                {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "a.b", "key": "x.y_z-1"}}},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "k", "optional": True}}},
                {"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": 1}}},
                {
                    "name": "MEMORY",
                    "valueFrom": {"resourceFieldRef": {"containerName": "web", "resource": "limits.memory", "divisor": "1Mi"}},
                },
            ],
            f"{CONTAINER}.envFrom": [
                {"prefix": "any. ", "configMapRef": {"name": "a", "optional": True}},
                {"secretRef": {"name": "a"}},
                {"secretRef": {"name": "a"}},
            ],
            f"{CONTAINER}.workingDir": "/srv",
            f"{CONTAINER}.imagePullPolicy": "Always",
            f"{CONTAINER}.ports": [
                {"containerPort": 53, "name": "dns", "protocol": "UDP"},
                {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
            ],
            f"{CONTAINER}.resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
            "spec.template.spec.restartPolicy": "OnFailure",
            "spec.template.spec.backoff": {"initialSeconds": 2, "maxSeconds": 10, "resetAfterSeconds": 30},
            "spec.template.spec.terminationGracePeriodSeconds": 0,
            "spec.template.spec.hostPID": True,
            "spec.template.spec.hostIPC": True,
            "spec.template.spec.volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
                {"name": "logs", "hostPath": {"path": "/var/log", "type": "DirectoryOrCreate"}},
                {"name": "art", "image": {"reference": "art:1", "pullPolicy": "Never"}},
                {"name": "map", "configMap": {"name": "a", "optional": True, "items": [{"key": "k", "path": ".x/k"}]}},
                {"name": "secret", "secret": {"secretName": "a", "defaultMode": 0o400}},
                {"name": "own", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                {"name": "all", "projected": {"sources": [{"configMap": {"name": "a"}}, {"secret": {"name": "a"}}]}},
            ],
            f"{CONTAINER}.volumeMounts": [
                {"name": "data", "mountPath": "/data", "subPath": "a/..b", "mountPropagation": "HostToContainer"},
                {"name": "data", "mountPath": "/more", "subPathExpr": "$(PORT)", "readOnly": True},
                {"name": "fast", "mountPath": "/fast", "readOnly": True, "recursiveReadOnly": "IfPossible"},
                {"name": "logs", "mountPath": "/var/log/", "mountPropagation": "None"},
            ],
            "spec.template.spec.securityContext": {
                "runAsUser": 0,
                "runAsGroup": 2**31 - 1,
                "runAsNonRoot": False,
                "supplementalGroups": [5, 6],
                "fsGroup": 7,
                "seccompProfile": {"type": "Unconfined"},
            },
            f"{CONTAINER}.securityContext": {
                "privileged": False,
                "allowPrivilegeEscalation": False,
                "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
                "runAsUser": 1001,
                "runAsGroup": 1001,
                "runAsNonRoot": True,
                "readOnlyRootFilesystem": True,
                "procMount": "Unmasked",
                "seccompProfile": {"type": "Localhost", "localhostProfile": "team/..web/a.json"},
            },
        }
    ),
    "privileged, and escalation not said": workload(**{f"{CONTAINER}.securityContext": {"privileged": True}}),
    "SYS_ADMIN with escalation": workload(
        **{f"{CONTAINER}.securityContext": {"allowPrivilegeEscalation": True, "capabilities": {"add": ["SYS_ADMIN"]}}}
    ),
    "empty security contexts": workload(
        **{f"{CONTAINER}.securityContext": {"capabilities": {}}, "spec.template.spec.securityContext": {}}
    ),
    "every field of probes and of a lifecycle": workload(
        **{
            f"{CONTAINER}.startupProbe": EXEC | {"failureThreshold": 30, "terminationGracePeriodSeconds": 5},
            f"{CONTAINER}.readinessProbe": {
                "httpGet": {
                    "port": "web",
                    "path": "/a?b=c",
                    "scheme": "HTTPS",
                    "httpHeaders": [{"name": "Host", "value": "x"}],
                },
                "initialDelaySeconds": 0,
                "periodSeconds": 1,
                "timeoutSeconds": 5,
                "successThreshold": 3,
            },
            f"{CONTAINER}.livenessProbe": {"grpc": {"port": 65535, "service": "a"}},
            f"{CONTAINER}.lifecycle": {
                "postStart": {"httpGet": {"port": 80}},
                "preStop": {"sleep": {"seconds": 30}},
                "stopSignal": "SIGRTMAX-14",
            },
            f"{CONTAINER}.terminationMessagePath": "/tmp/end",
            f"{CONTAINER}.terminationMessagePolicy": "FallbackToLogsOnError",
        }
    ),
    "a Global workload": workload(**{"spec.mode": "Global"}),
    "a whole number as a quantity": workload(**{f"{CONTAINER}.resources.limits": {"cpu": 1, "memory": 1073741824}}),
    "an image that cannot be parsed: its instance tells": workload(**{f"{CONTAINER}.image": "not an image"}),
    "maxUnavailable 100%": workload(**{"spec.update.maxUnavailable": "100%"}),
    "no replicas": workload(**{"spec.replicas": 0}),
    "the longest name": workload(**{"metadata.name": "w" * 63}),
    "an instance by hand": instance(),
}


@pytest.mark.parametrize("sentence", GOOD)
def test_good_input_is_taken(plane: ControlPlane, sentence: str) -> None:
    """With strict field validation, as kubectl asks for it."""
    plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(GOOD[sentence]))


def test_defaults_are_filled_in(plane: ControlPlane) -> None:
    """Also inside objects that were left out; and the status says that nobody has seen the object."""
    text = plane.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=yaml.safe_dump(workload())).stdout
    made = json.loads(text)
    spec = made["spec"]
    assert (spec["mode"], spec["replicas"], spec["suspend"]) == ("Replicated", 1, False)
    assert spec["update"] == {
        "type": "RollingUpdate",
        "maxUnavailable": 1,
        "minReadySeconds": 0,
        "progressDeadlineSeconds": 600,
    }
    assert spec["nodeLost"] == {"policy": "Replace", "afterSeconds": 300}
    template = spec["template"]["spec"]
    assert template["backoff"] == {"initialSeconds": 1, "maxSeconds": 60, "resetAfterSeconds": 120}
    assert (template["restartPolicy"], template["terminationGracePeriodSeconds"]) == ("Always", 30)
    assert template["containers"] == [{"name": "web", "image": "web:1"}]  # kubectl's apply compares lists as a whole
    assert made["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("options", [[], ["--server-side"]], ids=["client-side", "server-side"])
def test_applying_again_changes_nothing(plane: ControlPlane, namespace: str, options: list[str]) -> None:
    """The same file again is no new resourceVersion and no new generation.

    The default of the status is stored with the first write after the creation (the status of a created object is dropped),
    so it is written here first, as manager and agent do.
    """
    obj = yaml.safe_dump(workload())

    def apply() -> Object:
        text = plane.kubectl("apply", *options, "-n", namespace, "-o", "json", "-f", "-", stdin=obj).stdout
        meta = json.loads(text)["metadata"]
        return {key: meta[key] for key in ("resourceVersion", "generation")}

    apply()
    status = '{"status":{"ready":"0/1"}}'
    plane.kubectl("patch", "-n", namespace, "cw/web", "--subresource=status", "--type=merge", "-p", status)
    first = json.loads(plane.kubectl("get", "-n", namespace, "cw/web", "-o", "json").stdout)["metadata"]
    assert [apply(), apply()] == [{key: first[key] for key in ("resourceVersion", "generation")}] * 2


IMMUTABLE = {
    "nodeName": (instance(), instance(**{"spec.nodeName": "node2"}), "spec.nodeName", "nodeName is immutable"),
    "mode": (workload(), workload(**{"spec.mode": "Global"}), "spec.mode", "mode is immutable"),
}


@pytest.mark.parametrize("field", IMMUTABLE)
def test_immutable_fields(plane: ControlPlane, namespace: str, field: str) -> None:
    """A change is refused, with what to do instead."""
    first, second, path, message = IMMUTABLE[field]
    plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(first))
    answer = plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(second), check=False)
    assert answer.returncode != 0
    assert path in answer.stderr
    assert message in answer.stderr


def test_instances_are_selected_by_node(plane: ControlPlane, namespace: str) -> None:
    """An agent lists and watches its own instances only."""
    objects = [instance(**{"metadata.name": f"i{n}", "spec.nodeName": node}) for n, node in enumerate(["a", "b", "a"])]
    plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(objects))
    api = Watcher(plane)
    path = f"{GROUP}/namespaces/{namespace}/containerinstances?fieldSelector=spec.nodeName%3Da"
    assert sorted(api.objects(path)) == ["i0", "i2"]


def test_scale_and_status_are_subresources(plane: ControlPlane, namespace: str) -> None:
    """`kubectl scale` changes replicas, a Global workload refuses it, and a status in an applied file is not taken."""
    plane.kubectl(
        "apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(workload(**{"status.replicas": 7, "spec.replicas": 1}))
    )
    plane.kubectl("scale", "-n", namespace, "cw/web", "--replicas=4")
    made = json.loads(plane.kubectl("get", "-n", namespace, "cw/web", "-o", "json").stdout)
    assert made["spec"]["replicas"] == 4
    assert made["status"] == {"observedGeneration": -1}
    every = workload(**{"metadata.name": "every", "spec.mode": "Global"})
    plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(every))
    refused = plane.kubectl("scale", "-n", namespace, "cw/every", "--replicas=4", check=False)
    assert "a Global workload runs one instance on every matching node" in refused.stderr


def test_people_see_columns(plane: ControlPlane, namespace: str) -> None:
    """`kubectl get` shows what was written into the status, for all kinds of the category at once."""
    plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all([workload(), instance()]))
    status = {
        "ready": "1/2",
        "restarts": 3,
        "nodes": "n1,n2",
        "conditions": [
            {
                "type": "Ready",
                "status": "Unknown",
                "reason": "CrashLoopBackOff",
                "lastTransitionTime": "2030-01-01T00:00:00Z",
                "message": "m",
            }
        ],
    }
    patch = json.dumps({"status": status})
    plane.kubectl("patch", "-n", namespace, "cw/web", "--subresource=status", "--type=merge", "-p", patch)
    shown = plane.kubectl("get", "-n", namespace, "cw").stdout.split("\n")
    assert shown[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "IMAGE", "NODE", "AGE"]
    assert shown[1].split()[:6] == ["web", "1/2", "CrashLoopBackOff", "3", "web:1", "n1,n2"]
    assert plane.kubectl("get", "-n", namespace, "moorage", "-o", "name").stdout.split() == [
        "containerinstance.moorage.dev/one",
        "containerworkload.moorage.dev/web",
    ]


def test_kubectl_explains(plane: ControlPlane) -> None:
    """Descriptions, defaults and enums reach `kubectl explain`."""
    text = plane.kubectl("explain", "cw.spec.update.type").stdout
    assert "at most maxUnavailable at a time" in text
    assert "RollingUpdate" in text
