"""What a table of cases is made of: a manifest, and the state of the world that it must lead to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.harness import Object, ready
from tools.lab import Registry

Spec = dict[str, Any]
Check = Callable[[Object], bool]


@dataclass(frozen=True)
class Case:
    """One instance, and what must come of it."""

    sentence: str
    """The rule."""
    container: Spec
    then: Check
    """Of the instance, as the API server has it."""
    spec: Spec = field(default_factory=dict)
    """More of the instance's spec."""
    events: tuple[str, ...] = ()
    """Beginnings of `REASON: message` of Events that there must be."""


def instance(name: str, case: Case, registry: Registry, node: str) -> Object:
    """The ContainerInstance of a case: one container `main` of busybox in a network of its own, unless it says otherwise."""
    main = {"name": "main", "image": f"{registry.host}/busybox:1", "command": ["sleep", "1000000"]} | case.container
    spec: Spec = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [main]} | case.spec
    if inits := spec.get("initContainers"):
        spec["initContainers"] = [{"image": main["image"]} | c for c in inits]
    if not spec.get("hostNetwork"):
        spec["network"] = "None"
    return {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "ContainerInstance",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def shell(text: str) -> Spec:
    """A container that runs a script."""
    return {"command": ["sh", "-c", text]}


def command(*words: str) -> Spec:
    """A handler that runs a command."""
    return {"exec": {"command": list(words)}}


def init(obj: Object, name: str) -> Spec:
    """Status of an init container; empty while there is none."""
    found: list[Spec] = obj.get("status", {}).get("initContainers") or []
    return next((c for c in found if c["name"] == name), {})


def summary(word: str) -> Check:
    """STATUS, as kubectl shows it, is this."""
    return lambda obj: bool(obj.get("status", {}).get("summary") == word)


def both(*checks: Check) -> Check:
    """All of them."""
    return lambda obj: all(check(obj) for check in checks)


def main(obj: Object) -> Spec:
    """Status of the container; empty while there is none."""
    found: list[Spec] = obj.get("status", {}).get("containers") or [{}]
    return found[0]


def is_ready(obj: Object) -> bool:
    """The instance is Ready, its container ready and started, and was never restarted."""
    return ready(obj) and main(obj)["ready"] and main(obj)["started"] and main(obj)["restartCount"] == 0


def unready(*told: str) -> Check:
    """The container runs and was not restarted, and Ready says that it is not ready, in these words."""

    def true(obj: Object) -> bool:
        found = [c for c in obj.get("status", {}).get("conditions", []) if c["type"] == "Ready"]
        return (
            bool(found)
            and found[0]["status"] == "Unknown"
            and found[0]["reason"] == "ContainersNotReady"
            and all(t in found[0]["message"] for t in told)
            and not main(obj)["ready"]
            and "running" in main(obj)["state"]
            and main(obj)["restartCount"] == 0
        )

    return true


def restarted(times: int = 1, **last: Any) -> Check:
    """It was restarted at least so often, and its last end was like this."""

    def true(obj: Object) -> bool:
        before = main(obj).get("lastState", {}).get("terminated") or {}
        return main(obj).get("restartCount", 0) >= times and last.items() <= before.items()

    return true


def ended(phase: str, **end: Any) -> Check:
    """It has ended, like this, and is not started again."""

    def true(obj: Object) -> bool:
        found = main(obj).get("state", {}).get("terminated") or {}
        return bool(found) and obj["status"]["phase"] == phase and end.items() <= found.items()

    return true
