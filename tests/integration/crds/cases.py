"""Objects that the definitions are tried with, and how a table says what is wrong with some of them."""

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from tests.harness import Object
from tools.lab import ControlPlane

TEMPLATE = "spec.template.spec"
CONTAINER = f"{TEMPLATE}.containers.0"

Case = tuple[Object, str, str]
"""What is applied, the path of the field that is wrong with it, and what is said of that."""


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


def changed(obj: Object, changes: Mapping[str, Any]) -> Object:
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


def within(place: str, cases: Mapping[str, Case]) -> dict[str, Case]:
    """Cases of workloads, from cases of what is at one place of theirs: changes below it, and paths that go on from it."""
    told = place.replace(".0", "[0]")
    return {
        sentence: (workload(**{f"{place}.{field}": value for field, value in changes.items()}), told + path, message)
        for sentence, (changes, path, message) in cases.items()
    }


def take(plane: ControlPlane, obj: Object) -> None:
    """Have the API server take an object, without keeping it; with strict field validation, as kubectl asks for it."""
    plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(obj))


def refusal(plane: ControlPlane, obj: Object) -> str:
    """In which words an object is refused."""
    answer = plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(obj), check=False)
    assert answer.returncode != 0, answer.stdout
    return answer.stderr


def check_refused(plane: ControlPlane, case: Case) -> None:
    """Have the API server refuse what a case says, with the path of the field and what is wrong with it."""
    obj, path, message = case
    told = refusal(plane, obj)
    assert path in told, told
    assert message in told, told
