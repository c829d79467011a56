"""The environment of containers, as Kubernetes promises it, on a real containerd.

Source of the rules, unless a case names another: kubernetes.io, "Define Environment Variables for a Container", "Define
Dependent Environment Variables" (docs/tasks/inject-data-application/), and "Downward API" (docs/concepts/workloads/pods/).
"""

import base64
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Object
from tests.integration.semantics.cases import Case, Check, ended, is_ready, main, restarted, shell
from tests.integration.semantics.world import World
from tests.waiting import eventually

NEVER = {"restartPolicy": "Never"}
SAYS = shell('printf "%s" "$A" >/dev/termination-log')
"""Ends with the value of A as its last words."""

PROCESSORS = os.cpu_count() or 1


def taken(**source: Any) -> dict[str, Any]:
    """A container that says the variable A, which is taken from elsewhere."""
    return SAYS | {"env": [{"name": "A", "valueFrom": source}]}


def field(path: str) -> dict[str, Any]:
    """The same from a field of the instance."""
    return taken(fieldRef={"fieldPath": path})


def amount(resource: str, limits: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The same from what a container may use."""
    return taken(resourceFieldRef={"resource": resource, **more}) | {"resources": {"limits": limits or {}}}


def key(kind: str, name: str, of: str) -> dict[str, Any]:
    """The same from a key of an object."""
    return taken(**{f"{kind}KeyRef": {"name": name, "key": of}})


def said(text: str) -> Check:
    """It has ended with success, and these last words."""
    return ended("Succeeded", exitCode=0, message=text)


def refused(*told: str) -> Check:
    """It waits with CreateContainerConfigError, in these words."""

    def true(obj: Object) -> bool:
        found = main(obj).get("state", {}).get("waiting") or {}
        return found.get("reason") == "CreateContainerConfigError" and all(t in found.get("message", "") for t in told)

    return true


CASES = {
    # --- values and references
    "env-order": Case(
        "a variable refers to those before it; what comes later, or is not there, stays as it is written",
        SAYS
        | {"env": [{"name": "B", "value": "1"}, {"name": "A", "value": "$(B) $(C) $$(B) $(NO)"}, {"name": "C", "value": "2"}]},
        said("1 $(C) $(B) $(NO)"),
        NEVER,
    ),
    "env-args": Case(
        "command and args refer to all of them",
        {
            "command": ["sh", "-c", 'printf "%s" "$0" >/dev/termination-log', "$(A)-$$(A)-$(NO)"],
            "env": [{"name": "A", "value": "1"}],
        },
        said("1-$(A)-$(NO)"),
        NEVER,
    ),
    # --- the downward API
    "env-name": Case("metadata.name", field("metadata.name"), said("env-name"), NEVER),
    "env-namespace": Case("metadata.namespace", field("metadata.namespace"), said("default"), NEVER),
    "env-uid": Case("metadata.uid", field("metadata.uid"), lambda o: said(o["metadata"]["uid"])(o), NEVER),
    "env-node": Case("spec.nodeName", field("spec.nodeName"), said("semantics"), NEVER),
    "env-no-label": Case("a label that it does not carry is empty", field("metadata.labels['none']"), said(""), NEVER),
    "env-host": Case(
        "on the node's network, status.podIP is status.hostIP",
        shell('printf "%s" "$A" >/dev/termination-log; test "$A" = "$B"')
        | {
            "env": [
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIPs"}}},
            ]
        },
        lambda o: said(o["status"]["ip"])(o) and o["status"]["ip"] != "",
        NEVER | {"hostNetwork": True},
    ),
    "env-no-ip": Case("without a network there is no address", field("status.podIP"), said(""), NEVER),
    "env-cpu": Case("limits.cpu in thousandths", amount("limits.cpu", {"cpu": "250m"}, divisor="1m"), said("250"), NEVER),
    "env-cpu-whole": Case("a part of a core counts as one", amount("limits.cpu", {"cpu": "250m"}), said("1"), NEVER),
    "env-memory": Case(
        "limits.memory, rounded up", amount("limits.memory", {"memory": "67108865"}, divisor="1Mi"), said("65"), NEVER
    ),
    "env-request": Case(
        "requests.cpu is the limit where nothing else is asked for",
        amount("requests.cpu", {"cpu": "250m"}, divisor="1m"),
        said("250"),
        NEVER,
    ),
    "env-cpu-node": Case("without a limit it is what the node has", amount("limits.cpu"), said(str(PROCESSORS)), NEVER),
    "env-side-none": Case(
        "a container that is not there",
        amount("limits.cpu", containerName="other"),
        refused("container other not found"),
        events=("Failed: container main: container other not found",),
    ),
    # --- ConfigMaps and Secrets
    "env-map": Case("a key of a ConfigMap, not expanded", key("configMap", "settings", "A"), said("$(B)"), NEVER),
    "env-secret": Case("a key of a Secret", key("secret", "password", "A"), said("hidden"), NEVER),
    "env-from": Case(
        "each key of an object is a variable, with the prefix; what is named later counts, and env over all",
        shell('printf "%s" "$P_A,$A,$B,$C" >/dev/termination-log')
        | {
            "envFrom": [
                {"prefix": "P_", "configMapRef": {"name": "settings"}},
                {"configMapRef": {"name": "settings"}},
                {"secretRef": {"name": "password"}},
            ],
            "env": [{"name": "C", "value": "env of $(P_A)"}],
        },
        said("$(B),hidden,from map,env of $(B)"),
        NEVER,
    ),
    "env-from-any": Case(
        "any key makes a variable, also one that a shell cannot name (KEP-4369)",
        shell("tr '\\0' '\\n' </proc/1/environ | grep '^odd' | tr -d '\\n' >/dev/termination-log")
        | {"envFrom": [{"configMapRef": {"name": "odd"}}]},
        said("odd.name-1=x"),
        NEVER,
    ),
    "env-optional": Case(
        "what is optional and not there is left out: object, key, whole object",
        shell('printf "%s" "${A-unset} ${B-unset}" >/dev/termination-log')
        | {
            "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "nosuch", "key": "A", "optional": True}}},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "password", "key": "nosuch", "optional": True}}},
            ],
            "envFrom": [
                {"configMapRef": {"name": "nosuch", "optional": True}},
                {"secretRef": {"name": "nosuch", "optional": True}},
            ],
        },
        said("unset unset"),
        NEVER,
    ),
    "env-no-map": Case(
        "a ConfigMap that is not there",
        key("configMap", "nosuch", "A"),
        refused('configmap "nosuch" not found'),
        events=("Failed: container 'main': configmap \"nosuch\" not found",),
    ),
    "env-no-secret": Case(
        "a Secret that is not there",
        key("secret", "nosuch", "A"),
        refused('secret "nosuch" not found'),
        events=("Failed: container 'main': secret \"nosuch\" not found",),
    ),
    "env-no-key": Case(
        "a key of a ConfigMap that is not there",
        key("configMap", "settings", "nosuch"),
        refused("couldn't find key nosuch in ConfigMap default/settings"),
    ),
    "env-no-secret-key": Case(
        "a key of a Secret that is not there",
        key("secret", "password", "nosuch"),
        refused("couldn't find key nosuch in Secret default/password"),
    ),
    "env-no-from": Case(
        "a whole object that is not there",
        SAYS | {"envFrom": [{"secretRef": {"name": "nosuch"}}]},
        refused('"nosuch" not found'),
    ),
    "env-binary": Case(
        "a value that is no text, which no variable can hold; the message does not say it",
        key("secret", "binary", "A"),
        lambda o: refused("the value of key A in Secret default/binary is no text")(o) and "hidden" not in str(o["status"]),
    ),
}

OBJECTS: list[Object] = [
    {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"A": "$(B)", "B": "from map"}},
    {"kind": "ConfigMap", "metadata": {"name": "odd"}, "data": {"odd.name-1": "x"}},
    {"kind": "Secret", "metadata": {"name": "password"}, "stringData": {"A": "hidden"}},
    {"kind": "Secret", "metadata": {"name": "binary"}, "data": {"A": base64.b64encode(b"hidden\xff").decode()}},
]


def put(world: World, *objects: Object) -> None:
    """Create or change ConfigMaps and Secrets."""
    world.site.apply(*({"apiVersion": "v1", **obj} for obj in objects))


@pytest.fixture(scope="module", autouse=True)
def applied(world: World) -> Iterator[None]:
    """All instances at once, and what they name."""
    try:
        put(world, *OBJECTS)
        world.apply(CASES)
        yield
    finally:
        names = [f"{o['kind'].lower()}/{o['metadata']['name']}" for o in OBJECTS]
        world.site.plane.kubectl("delete", "--ignore-not-found", *names, "configmap/late", "secret/late")


@pytest.mark.parametrize("name", CASES)
def test_case(world: World, name: str) -> None:
    """One rule."""
    world.holds(name, CASES[name])


WAITING = {
    kind: Case(f"it waits for a {kind}, and starts when that comes", key(kind, "late", "A"), said("here"), NEVER)
    for kind in ("configMap", "secret")
}


@pytest.mark.parametrize("kind", WAITING)
def test_what_comes_late_is_waited_for(world: World, kind: str) -> None:
    """By its event: within moments, not at some next look. First the object, then the key."""
    name, case = f"env-late-{kind.lower()}", WAITING[kind]
    held = {"kind": kind[0].upper() + kind[1:], "metadata": {"name": "late"}}
    field = "stringData" if kind == "secret" else "data"
    world.apply({name: case})
    world.until(name, refused('"late" not found'))
    put(world, held | {field: {"B": "no"}})
    world.until(name, refused("couldn't find key A"))
    began = time.monotonic()
    put(world, held | {field: {"A": "here"}})
    world.holds(name, case)
    assert time.monotonic() - began < 10
    assert main(world.until(name, case.then))["restartCount"] == 0


def test_a_changed_value_restarts_nothing_and_the_next_start_has_it(world: World) -> None:
    """Environment variables are those of the start (kubernetes.io, "ConfigMaps", mounted and consumed as variables)."""
    script = 'echo "$A"; while [ ! -e /tmp/end ]; do sleep 0.1; done'
    case = Case("", key("configMap", "changing", "A") | shell(script), is_ready)
    held = {"kind": "ConfigMap", "metadata": {"name": "changing"}}
    try:
        put(world, held | {"data": {"A": "one"}})
        world.apply({"env-changing": case})
        world.holds("env-changing", case)
        before = world.pid("env-changing")
        put(world, held | {"data": {"A": "two"}})
        assert world.agent.value("moorage_agent_object_watches", kind="configmap") >= 3
        assert world.pid("env-changing") == before
        os.kill(before, signal.SIGKILL)
        world.until("env-changing", restarted(1))
        assert world.said("env-changing") == ["one"]
        found = eventually(lambda: world.said("env-changing", attempt=1), lambda lines: lines == ["two"], 10)
        assert found == ["two"]
    finally:
        world.site.plane.kubectl("delete", "configmap/changing")


def test_a_watch_goes_with_the_last_that_names_its_object(world: World) -> None:
    """How many there are is a metric; on the node nothing of the Secret is left."""

    def watched() -> float:
        return world.agent.value("moorage_agent_object_watches", kind="secret")

    before = watched()
    case = Case("", key("secret", "only", "A"), refused('"only" not found'))
    world.apply({"env-only": case})
    world.holds("env-only", case)
    assert watched() == before + 1
    world.delete("env-only")
    assert watched() == before


# --- the image's configuration (kubernetes.io, "Define a Command and Arguments for a Container"; core/v1 `Container`)

IMAGES: dict[str, tuple[str, dict[str, Any], str]] = {
    "img-all": (
        "entrypoint, cmd, env, working directory and user are the image's",
        {},
        "user=app:staff folder=/home/app greeting=ahoy arguments=one two words",
    ),
    "img-args": (
        "args replace the image's cmd, and not its entrypoint",
        {"args": ["three"]},
        "user=app:staff folder=/home/app greeting=ahoy arguments=three",
    ),
    "img-command": (
        "command replaces both",
        {"command": ["sh", "-c", 'echo "command $#"; exec sleep 1000000']},
        "command 0",
    ),
    "img-over": (
        "env, workingDir and runAsUser are over the image's",
        {
            "env": [{"name": "GREETING", "value": "hello"}],
            "workingDir": "/tmp",
            "securityContext": {"runAsUser": 65534, "runAsGroup": 0},
        },
        "user=nobody:root folder=/tmp greeting=hello arguments=one two words",
    ),
}


def test_images(world: World) -> None:
    """What a process is started with, as it says itself; and the image's stop signal ends it."""
    image = {"image": f"{world.site.registry.host}/user:1", "command": []}
    cases = {
        name: Case(rule, image | changes, is_ready, {"terminationGracePeriodSeconds": 20})
        for name, (rule, changes, _) in IMAGES.items()
    }
    world.apply(cases)
    for name, (_, _, line) in IMAGES.items():
        world.until_said(name, line)
    stopped = Case("", cases["img-all"].container, is_ready, cases["img-all"].spec | {"suspend": True})
    world.apply({"img-all": stopped})
    world.until_said("img-all", "stopped by SIGINT")
