"""Instances, by hand or of a workload: what is taken and what is refused."""

import pytest

from tests.integration.crds.cases import TEMPLATE, check_refused, instance, take, within
from tools.lab import ControlPlane

TWINS = [{"name": "web", "image": "a"}, {"name": "web", "image": "b"}]

BAD = within(
    TEMPLATE,
    {
        "no container": ({"containers": []}, ".containers", "at least 1"),
        "two containers of one name": ({"containers": TWINS}, ".containers[1]", 'Duplicate value: {"name":"web"}'),
        "an unknown restart policy": (
            {"restartPolicy": "Maybe"},
            ".restartPolicy",
            'supported values: "Always", "OnFailure", "Never"',
        ),
        "two networks": ({"network": "None"}, ".network", "exclude each other"),
        "process ids of the node and of the instance": (
            {"hostPID": True, "shareProcessNamespace": True},
            ".shareProcessNamespace",
            "exclude each other",
        ),
        "a runtime class that cannot be one": ({"runtimeClassName": "No Class"}, ".runtimeClassName", "should match"),
        "a network that is none": ({"network": "bridge"}, ".network", 'supported values: "None"'),
        "a back-off that begins above its end": (
            {"backoff.initialSeconds": 61},
            ".backoff.initialSeconds",
            "must not exceed maxSeconds",
        ),
        "hostPid for hostPID": ({"hostPid": True}, ".hostPid", "unknown field"),
    },
) | {
    "an instance without a node": (instance(**{"spec.nodeName": None}), "spec.nodeName", "Required value"),
    "an instance with an empty node": (instance(**{"spec.nodeName": ""}), "spec.nodeName", "at least 1 chars"),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_refused(plane: ControlPlane, sentence: str) -> None:
    """At apply, with the path of the field and what is wrong with it."""
    check_refused(plane, BAD[sentence])


GOOD = {
    "an instance by hand": instance(),
}


@pytest.mark.parametrize("sentence", GOOD)
def test_good_input_is_taken(plane: ControlPlane, sentence: str) -> None:
    """With strict field validation, as kubectl asks for it."""
    take(plane, GOOD[sentence])
