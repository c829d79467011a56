"""Metrics are named by the rules of Prometheus ("Metric and label naming") and Kubernetes ("Metric instrumentation")."""

import re

import pytest

from tests.registry import SERIES, labels, ours

UNITS = ("_seconds", "_bytes")
"""The base units in use; Prometheus knows a few more."""

OTHER_UNITS = r"_(ms|millis|milliseconds|us|ns|minutes|hours|days|kb|kib|mb|mib|gb|kilobytes|megabytes|percent|percentage)(_|$)"

OF_ONE_OBJECT = {"name", "namespace", "uid", "instance", "workload", "container", "pod", "node", "image", "message", "id"}
"""Labels that would make a series for each object, or clash with those that Prometheus gives to a target."""


@pytest.mark.parametrize("name", sorted(ours()))
def test_a_name_says_type_and_unit(name: str) -> None:
    """Lower case, in base units; a counter ends in _total, nothing else does, and a histogram is of a unit."""
    metric = ours()[name]
    assert re.fullmatch(r"moorage(_[a-z]+)+", name)
    assert metric.type in SERIES
    assert not re.search(OTHER_UNITS, name)
    assert name.endswith("_total") == (metric.type == "counter")
    assert not name.endswith(("_count", "_sum", "_bucket"))
    if metric.type == "histogram":
        assert name.endswith(UNITS)
    if "timestamp" in name:
        assert name.endswith("_timestamp_seconds")
        assert metric.type == "gauge"
    if any(unit in name for unit in UNITS):
        assert name.removesuffix("_total").endswith(UNITS)


@pytest.mark.parametrize("name", sorted(ours()))
def test_help_is_a_sentence(name: str) -> None:
    """Every metric says what it is, and says more than its name."""
    text = ours()[name].documentation
    assert re.fullmatch(r"[A-Z0-9].*[a-z]\.", text)
    assert len(text.split()) > 3


def test_labels_are_bounded() -> None:
    """No label holds the name of an object: the number of series does not grow with the fleet."""
    for name, found in labels().items():
        assert not OF_ONE_OBJECT & set(found), name
        assert all(re.fullmatch(r"[a-z]+", label) for label in found), name
        assert len(found) <= 3, name


def test_all_labels_are_known() -> None:
    """The test above sees every metric."""
    assert labels().keys() == ours().keys()
    assert labels()["moorage_api_calls_total"] == ("verb", "resource", "code")
    assert labels()["moorage_instances"] == ("phase", "reason")
