"""Environment variables of containers: what is refused."""

import pytest

from tests.integration.crds.cases import CONTAINER, Case, check_refused, within
from tools.lab import ControlPlane

FIELD = {"fieldRef": {"fieldPath": "metadata.name"}}
CPU = {"resource": "limits.cpu"}
TWICE = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]

VARIABLES: dict[str, Case] = {
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
"""Of one variable, but for its name."""

BAD = within(
    CONTAINER,
    {
        **{
            sentence: ({"env": [{"name": "A", **variable}]}, f".env[0]{path}", message)
            for sentence, (variable, path, message) in VARIABLES.items()
        },
        "a number where a text belongs": (
            {"env": [{"name": "PORT", "value": 8080}]},
            ".env[0].value",
            "must be of type string",
        ),
        "two variables of one name": ({"env": TWICE}, ".env[1]", 'Duplicate value: {"name":"A"}'),
        "a variable with = in its name": ({"env": [{"name": "A=B"}]}, ".env[0].name", "should match"),
        "variables from nowhere": (
            {"envFrom": [{"prefix": "A"}]},
            ".envFrom[0]",
            "needs exactly one of configMapRef and secretRef",
        ),
        "variables from two places": (
            {"envFrom": [{"configMapRef": {"name": "a"}, "secretRef": {"name": "a"}}]},
            ".envFrom[0]",
            "needs exactly one of configMapRef and secretRef",
        ),
        "a prefix with =": (
            {"envFrom": [{"prefix": "A=", "secretRef": {"name": "a"}}]},
            ".envFrom[0].prefix",
            "should match",
        ),
    },
)


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_refused(plane: ControlPlane, sentence: str) -> None:
    """At apply, with the path of the field and what is wrong with it."""
    check_refused(plane, BAD[sentence])
