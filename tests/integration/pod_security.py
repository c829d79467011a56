"""What the tests of Pod Security share: specs, namespaces, and requests that change nothing."""

import http.client
import json
import random
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.api.podsecurity.levels import ENFORCE, ENFORCE_VERSION
from tests.harness import GROUP
from tools.lab import ControlPlane

Object = dict[str, Any]

IDLE_SECONDS: Final = 30.0
"""A connection that was idle for longer is opened anew: the API server closes such after 90 s, maybe just when it is used."""

HARDENED: Final[Object] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""A container's securityContext that `restricted` has nothing against."""


@dataclass(frozen=True)
class Answer:
    """What the API server says."""

    status: int
    message: str
    warnings: tuple[str, ...]

    @property
    def violation(self) -> str:
        """From `violates PodSecurity` on; empty when the object would be let in."""
        start = self.message.find("violates PodSecurity")
        if self.status == 201:
            return ""
        assert self.status == 403, self.message
        assert start >= 0, self.message
        return self.message[start:]


class Api:
    """Creates objects as the admin, over one kept connection a thread."""

    def __init__(self, plane: ControlPlane) -> None:
        self._port = int(plane.url.rpartition(":")[2])
        self._headers = {"Authorization": f"Bearer {plane.token}", "Content-Type": "application/json"}
        self._tls = ssl.create_default_context(cafile=str(plane.ca))
        self._own = threading.local()
        self._made: list[http.client.HTTPSConnection] = []
        """One for each thread; closed when it was idle for long, as the API server does, and opened again by itself."""

    def close(self) -> None:
        """Close all connections."""
        for connection in self._made:
            connection.close()

    def send(self, path: str, body: Object, *, method: str = "POST", dry: bool = True) -> Answer:
        """Create (or replace) an object; by default only as if."""
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = http.client.HTTPSConnection(
                "127.0.0.1", self._port, timeout=15, context=self._tls
            )
            self._made.append(connection)
        elif time.monotonic() - self._own.used > IDLE_SECONDS:
            connection.close()
        connection.request(method, path + ("?dryRun=All" if dry else ""), json.dumps(body), self._headers)
        with connection.getresponse() as response:
            found = json.load(response)
            warnings = tuple(response.headers.get_all("Warning", ()))
            self._own.used = time.monotonic()
            return Answer(response.status, str(found.get("message", "")), warnings)

    def create(self, namespace: str, body: Object) -> Answer:
        """Whether this object would be let into the namespace."""
        kind = body["kind"]
        root = "/api/v1" if kind == "Pod" else GROUP
        return self.send(f"{root}/namespaces/{namespace}/{kind.lower()}s", body)


def all_containers(spec: Object) -> list[Object]:
    """Init containers and containers."""
    return [*spec.get("initContainers", ()), *spec["containers"]]


def pod(spec: Object) -> Object:
    """An instance spec as a Pod. Kubernetes only takes an unmasked /proc in a user namespace."""
    unmasked = any(c.get("securityContext", {}).get("procMount") == "Unmasked" for c in all_containers(spec))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": spec | ({"hostUsers": False} if unmasked else {}),
    }


def instance(spec: Object, name: str = "x") -> Object:
    """A ContainerInstance of that spec."""
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerInstance",
        "metadata": {"name": name},
        "spec": spec | {"nodeName": "nowhere"},
    }


def workload(spec: Object, name: str = "x") -> Object:
    """A ContainerWorkload of that spec."""
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerWorkload",
        "metadata": {"name": name},
        "spec": {"replicas": 0, "template": {"spec": spec}},
    }


def enforced(level: str, version: str = "") -> dict[str, str]:
    """Labels of a namespace."""
    return {ENFORCE: level} | ({ENFORCE_VERSION: version} if version else {})


def namespace(name: str, labels: Mapping[str, str]) -> Object:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}


def container(name: str, **security: Any) -> Object:
    """A container with that securityContext."""
    return {"name": name, "image": "web:1", **({"securityContext": security} if security else {})}


CONTAINER_FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "privileged": (True, False),
    "allowPrivilegeEscalation": (True, False),
    "runAsNonRoot": (True, False),
    "runAsUser": (0, 1000),
    "procMount": ("Default", "Unmasked"),
    "seccompProfile": (
        {"type": "RuntimeDefault"},
        {"type": "Unconfined"},
        {"type": "Localhost", "localhostProfile": "audit.json"},
    ),
    "capabilities": (
        {"drop": ["ALL"]},
        {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
        {"add": ["SYS_ADMIN", "NET_ADMIN", "CHOWN"]},
        {"add": ["NET_RAW"], "drop": ["ALL", "MKNOD"]},
        {"add": ["ALL"], "drop": ["CHOWN"]},
        {},
    ),
}
INSTANCE_FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "sysctls": (
        [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
        [{"name": "net.ipv4.tcp_rmem", "value": "4096 87380 6291456"}, {"name": "net.ipv4.tcp_fin_timeout", "value": "30"}],
        [{"name": "net.ipv4.ip_local_reserved_ports", "value": "8080"}, {"name": "kernel.shm_rmid_forced", "value": "1"}],
        [{"name": "net.core.somaxconn", "value": "1024"}, {"name": "kernel.msgmax", "value": "65536"}],
        [{"name": "net/ipv4/tcp_syncookies", "value": "1"}],
    ),
    "runAsNonRoot": (True, False),
    "runAsUser": (0, 1000),
    "seccompProfile": CONTAINER_FIELDS["seccompProfile"],
}
HOST_FIELDS: Final = ("hostNetwork", "hostPID", "hostIPC")


def specs(random_ones: int) -> list[Object]:
    """Every value of every field, upon nothing and upon what is hardened; and combinations by chance, always the same."""
    return [spec for spec in _specs(random_ones) if sound(spec)]


def _specs(random_ones: int) -> Iterator[Object]:
    yield {"containers": [container("web")]}
    yield {"containers": [container("web", **HARDENED)]}
    for field in HOST_FIELDS:
        yield {field: True, "containers": [container("web", **HARDENED)]}
    for field, values in CONTAINER_FIELDS.items():
        for value in values:
            yield {"containers": [container("web", **{field: value})]}
            yield {"containers": [container("web", **HARDENED), container("b", **(HARDENED | {field: value}))]}
    for field, values in INSTANCE_FIELDS.items():
        for value in values:
            yield {"securityContext": {field: value}, "containers": [container("web"), container("b", **HARDENED)]}
    port, other, none = ({"containerPort": 80, "hostPort": n} for n in (8080, 10080, 0))
    for listed in (
        [[port]],
        [[other, port | {"containerPort": 81}], [port | {"protocol": "UDP"}]],
        [[none], [{"containerPort": 1}, other]],
        [[none]],
    ):
        yield {"containers": [container(n, **HARDENED) | {"ports": p} for n, p in zip(("web", "b"), listed, strict=False)]}
    host, other_host = ({"name": name, "hostPath": {"path": path}} for name, path in (("root", "/"), ("logs", "/var/log")))
    for volumes in ([host], [other_host, {"name": "own", "emptyDir": {}}, host], [{"name": "own", "emptyDir": {}}]):
        yield {"volumes": volumes, "containers": [container("web", **HARDENED)]}
    yield from _with_inits(port)
    chance = random.Random(11)
    for _ in range(random_ones):
        yield _any(chance)


def _with_inits(port: Object) -> Iterator[Object]:
    """Init containers and sidecars, judged as all others."""
    for init in ({}, HARDENED, HARDENED | {"privileged": True, "allowPrivilegeEscalation": True}, HARDENED | {"runAsUser": 0}):
        for policy in ({}, {"restartPolicy": "Always"}):
            first = container("first", **init) | policy
            yield {"initContainers": [first], "containers": [container("web", **HARDENED)]}
            yield {"initContainers": [first], "containers": [container("web"), container("b", **init)]}
    serving = container("proxy", **HARDENED) | {"restartPolicy": "Always", "ports": [port]}
    yield {"initContainers": [serving], "containers": [container("web", **HARDENED)]}


def _any(chance: random.Random) -> Object:
    def some(fields: Mapping[str, tuple[Any, ...]]) -> Object:
        return {name: chance.choice(values) for name, values in fields.items() if chance.random() < 0.5}

    spec: Object = {field: True for field in HOST_FIELDS if chance.random() < 0.2}
    base = HARDENED if chance.random() < 0.5 else {}
    names = ["web", "a", "logs"][: chance.randint(1, 3)]
    spec["containers"] = [container(name, **(base | some(CONTAINER_FIELDS))) for name in names]
    if chance.random() < 0.3:
        spec["initContainers"] = [container(f"init-{name}", **(base | some(CONTAINER_FIELDS))) for name in names]
    if chance.random() < 0.7:
        spec["securityContext"] = some(INSTANCE_FIELDS)
    return spec


def sound(spec: Object) -> bool:
    """Whether Kubernetes, and we, would take it at all: nobody can escalate and not escalate, nor set what is the node's."""
    for context in (c.get("securityContext", {}) for c in all_containers(spec)):
        escalates = context.get("privileged") or "SYS_ADMIN" in context.get("capabilities", {}).get("add", ())
        if context.get("allowPrivilegeEscalation") is False and escalates:
            return False
    names = [s["name"] for s in spec.get("securityContext", {}).get("sysctls", ())]
    shared = {"net": spec.get("hostNetwork"), "kernel": spec.get("hostIPC")}
    return not any(shared[name.partition(".")[0].partition("/")[0]] for name in names)


def comparable(spec: Object, minor: int) -> bool:
    """Whether Kubernetes would take it as a Pod but for its Pod Security; else there is nothing to compare with.

    An unmasked /proc needs a user namespace there, which excludes the node's namespaces, and relaxes other rules from v1.35 on.
    """
    if any(c.get("securityContext", {}).get("procMount") == "Unmasked" for c in all_containers(spec)):
        return not any(spec.get(f) for f in HOST_FIELDS) and minor < 35
    return True
