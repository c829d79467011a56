"""From requests and limits to classes, scores and what the runtime is told."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.decide.resources import oom_score_adj, qos_class, resources
from controller.api.instance import ContainerInstanceSpec
from controller.runtime.port import Resources
from tests.unit.agent.values import NODE, container, desired, first

MIB = 1 << 20
GIB = 1 << 30


def spec(*said: dict[str, Any]) -> ContainerInstanceSpec:
    """A spec with a container for each of these resources."""
    return desired(*(container(f"c{n}", resources=r) for n, r in enumerate(said))).instance.spec


FULL = {"limits": {"cpu": "1", "memory": "1Gi"}}

CLASSES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "nothing said is BestEffort": ([{}], "BestEffort"),
    "zeros say nothing": ([{"requests": {"cpu": 0}, "limits": {"memory": "0"}}], "BestEffort"),
    "limits of both are promised, too: Guaranteed": ([FULL], "Guaranteed"),
    "requests that are the limits, in other words: Guaranteed": (
        [{"requests": {"cpu": "1000m", "memory": "1024Mi"}} | FULL],
        "Guaranteed",
    ),
    "a lower request is Burstable": ([{"requests": {"cpu": "500m"}} | FULL], "Burstable"),
    "a request of nothing is lower, too": ([{"requests": {"cpu": 0}} | FULL], "Burstable"),
    "a limit of one alone is Burstable": ([{"limits": {"cpu": "1"}}], "Burstable"),
    "a request alone is Burstable": ([{"requests": {"memory": "1Mi"}}], "Burstable"),
    "one container without limits makes it Burstable": ([FULL, {}], "Burstable"),
    "all with limits: Guaranteed": ([FULL, FULL], "Guaranteed"),
    "huge pages and processes do not count": ([{"limits": {"pids": 5}}], "BestEffort"),
}


@pytest.mark.parametrize("sentence", CLASSES)
def test_qos_class(sentence: str) -> None:
    """Source: kubernetes.io, "Pod Quality of Service Classes"."""
    said, expected = CLASSES[sentence]
    assert qos_class(spec(*said)) == expected


SCORES: dict[str, tuple[dict[str, Any], int]] = {
    "BestEffort goes first": ({}, 1000),
    "Guaranteed goes last": (FULL, -997),
    "who asks for a tenth of the memory stands at 900": ({"requests": {"memory": "100Mi"}}, 900),
    "who asks for all of it still comes before Guaranteed": ({"requests": {"memory": "1000Mi"}}, 3),
    "and who asks for more than there is": ({"requests": {"memory": "2000Mi"}}, 3),
    "who asks for nothing of it comes after BestEffort": ({"requests": {"cpu": "1"}}, 999),
    "and who asks for next to nothing": ({"requests": {"memory": "1Ki"}}, 999),
    "what is limited is promised": ({"limits": {"memory": "100Mi"}}, 900),
}


@pytest.mark.parametrize("sentence", SCORES)
def test_oom_score(sentence: str) -> None:
    """Of a node with 1000 MiB. Source: kubernetes.io, "Node-pressure Eviction", node out of memory behavior."""
    said, expected = SCORES[sentence]
    found = spec(said)
    assert oom_score_adj(found.containers[0], found, 1000 * MIB) == expected


@given(st.integers(0, 4 * GIB), st.integers(0, 4 * GIB), st.integers(1, 4 * GIB))
def test_who_is_promised_more_goes_later(one: int, other: int, node: int) -> None:
    """And Burstable is always between the two other classes."""
    low, high = sorted((one, other))
    found = spec({"requests": {"memory": low, "cpu": "1m"}}, {"requests": {"memory": high}})
    scores = [oom_score_adj(c, found, node) for c in found.containers]
    assert 999 >= scores[0] >= scores[1] >= 3


TOLD: dict[str, tuple[dict[str, Any], Resources]] = {
    "nothing said is the least weight and no limit": ({}, Resources(cpu_request_millis=0)),
    "requests default to limits": (
        {"limits": {"cpu": "1500m", "memory": "64Mi"}},
        Resources(cpu_millis=1500, memory_bytes=64 * MIB, cpu_request_millis=1500),
    ),
    "each by itself": (
        {"requests": {"memory": "32Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
        Resources(cpu_millis=1000, memory_bytes=64 * MIB, cpu_request_millis=1000),
    ),
    "a request of its own stands": (
        {"requests": {"cpu": 0.1}, "limits": {"cpu": 1}},
        Resources(cpu_millis=1000, cpu_request_millis=100),
    ),
    "a limit of 0 is none": ({"limits": {"cpu": 0, "memory": "0"}}, Resources(cpu_request_millis=0)),
    "less than a thousandth is one": ({"limits": {"cpu": "1u"}}, Resources(cpu_millis=1, cpu_request_millis=1)),
    "processes": ({"limits": {"pids": 12}}, Resources(cpu_request_millis=0, pids=12)),
    "huge pages": (
        {"limits": {"memory": "1Mi", "hugepages-2Mi": "4Mi"}},
        Resources(memory_bytes=MIB, cpu_request_millis=0, huge_pages=(("2Mi", 4 * MIB),)),
    ),
}


@pytest.mark.parametrize("sentence", TOLD)
def test_what_the_runtime_is_told(sentence: str) -> None:
    """Each sentence of the table."""
    said, expected = TOLD[sentence]
    assert resources(first(desired(container(resources=said))), NODE) == expected


def test_the_nodes_limit_of_processes_is_for_those_that_say_nothing() -> None:
    """What a container says itself, more or less, counts."""
    node = replace(NODE, pids_limit=100)
    found = {said: resources(first(desired(container(resources=r))), node).pids for said, r in _PIDS.items()}
    assert found == {"nothing": 100, "less": 10, "more": 1000}


_PIDS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "less": {"limits": {"pids": 10}},
    "more": {"limits": {"pids": 1000}},
}
