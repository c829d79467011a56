"""Containers, init containers and sidecars: what is taken and what is refused."""

from typing import Any

import pytest

from tests.harness import Object
from tests.integration.crds.cases import CONTAINER, TEMPLATE, Case, check_refused, take, within, workload
from tools.lab import ControlPlane

PROBE = {"tcpSocket": {"port": 80}}
RESTART_RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
TWO_PORTS = [{"containerPort": 80, "name": "http"}, {"containerPort": 81, "name": "http"}]
SAME_PORT = [{"containerPort": 80}, {"containerPort": 80}]


def initially(**fields: Any) -> Object:
    """An instance with one init container."""
    return {"initContainers": [{"name": "a", "image": "a", **fields}]}


CONTAINERS: dict[str, Case] = {
    "an unknown field deep inside": ({"livenessCheck": {}}, ".livenessCheck", "unknown field"),
    "a missing image": ({"image": None}, ".image", "Required value"),
    "two ports of one name": ({"ports": TWO_PORTS}, ".ports", "names of ports are unique"),
    "one port twice": ({"ports": SAME_PORT}, ".ports[1]", "Duplicate value"),
    "a port that is none": (
        {"ports": [{"containerPort": 70000}]},
        ".ports[0].containerPort",
        "less than or equal to 65535",
    ),
    "a port name without a letter": (
        {"ports": [{"containerPort": 80, "name": "80"}]},
        ".ports[0].name",
        "should match",
    ),
    "a container name that is no DNS label": ({"name": "Web_1"}, ".name", "should match"),
    "a relative working directory": ({"workingDir": "srv"}, ".workingDir", "must be an absolute path"),
    "an unknown pull policy": (
        {"imagePullPolicy": "Sometimes"},
        ".imagePullPolicy",
        'supported values: "Always", "IfNotPresent", "Never"',
    ),
    "exceptions from no restart policy": (
        {"restartPolicyRules": [RESTART_RULE]},
        ".restartPolicyRules",
        "set that, too",
    ),
    "an exception with an unknown action": (
        {"restartPolicy": "Never", "restartPolicyRules": [RESTART_RULE | {"action": "Wait"}]},
        ".restartPolicyRules[0].action",
        'supported values: "Restart"',
    ),
    "an exception for an exit code that there is not": (
        {
            "restartPolicy": "Never",
            "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [256]}}],
        },
        ".restartPolicyRules[0].exitCodes.values[0]",
        "less than or equal to 255",
    ),
}

INIT_CONTAINERS: dict[str, Case] = {
    "an init container by a container's name": (
        initially(name="web"),
        ".initContainers",
        "names are unique in the instance",
    ),
    "two init containers by one name": (
        {"initContainers": [{"name": "a", "image": "a"}] * 2},
        ".initContainers[1]",
        "Duplicate value",
    ),
    "a probe of an init container that is no sidecar": (
        initially(readinessProbe=PROBE),
        ".initContainers",
        "readinessProbe is for sidecars",
    ),
    "a handler of an init container that is no sidecar": (
        initially(lifecycle={"preStop": {"sleep": {"seconds": 1}}}),
        ".initContainers",
        "lifecycle is for sidecars",
    ),
    "a port of the node for an init container that is no sidecar": (
        initially(ports=[{"containerPort": 80, "hostPort": 80}]),
        ".initContainers",
        "hostPort is for sidecars",
    ),
    "an init container that is stopped alone": (
        initially(suspend=True),
        ".initContainers",
        "suspend is for sidecars",
    ),
    "exceptions of a sidecar": (
        initially(restartPolicy="Always", restartPolicyRules=[RESTART_RULE]),
        ".initContainers",
        "remove its restartPolicyRules",
    ),
}

BAD = within(CONTAINER, CONTAINERS) | within(TEMPLATE, INIT_CONTAINERS)


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_refused(plane: ControlPlane, sentence: str) -> None:
    """At apply, with the path of the field and what is wrong with it."""
    check_refused(plane, BAD[sentence])


GOOD = {
    "an image that cannot be parsed: its instance tells": workload(**{f"{CONTAINER}.image": "not an image"}),
}


@pytest.mark.parametrize("sentence", GOOD)
def test_good_input_is_taken(plane: ControlPlane, sentence: str) -> None:
    """With strict field validation, as kubectl asks for it."""
    take(plane, GOOD[sentence])
