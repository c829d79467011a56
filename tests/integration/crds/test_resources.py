"""Requests and limits of containers: what is taken and what is refused."""

import pytest

from tests.integration.crds.cases import CONTAINER, check_refused, take, within, workload
from tools.lab import ControlPlane

BAD = within(
    f"{CONTAINER}.resources",
    {
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
        "devices by name": ({"limits": {"example.com/gpu": 1}}, ".limits.example.com/gpu", "unknown field"),
        "a bad quantity": ({"limits.cpu": "lots"}, ".limits.cpu", "not a quantity: write for example 500m"),
        "a negative quantity": ({"limits.memory": "-1Gi"}, ".limits.memory", "not a quantity"),
    },
)


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_refused(plane: ControlPlane, sentence: str) -> None:
    """At apply, with the path of the field and what is wrong with it."""
    check_refused(plane, BAD[sentence])


GOOD = {
    "a whole number as a quantity": workload(**{f"{CONTAINER}.resources.limits": {"cpu": 1, "memory": 1073741824}}),
}


@pytest.mark.parametrize("sentence", GOOD)
def test_good_input_is_taken(plane: ControlPlane, sentence: str) -> None:
    """With strict field validation, as kubectl asks for it."""
    take(plane, GOOD[sentence])
