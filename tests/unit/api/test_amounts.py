"""Amounts that add up, and how they are written."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api import quantity
from controller.api.amounts import NOTHING, Amounts, instance_requests, most, total
from controller.api.spec import InstanceSpec

PAGES = st.lists(st.tuples(st.sampled_from(["64Ki", "2Mi", "32Mi", "1Gi"]), st.integers(1, 1 << 40)), unique_by=lambda p: p[0])
ORDER = ["64Ki", "2Mi", "32Mi", "1Gi"]
AMOUNTS = st.builds(
    Amounts,
    st.integers(0, 1 << 20),
    st.integers(0, 1 << 50),
    PAGES.map(lambda pages: tuple(sorted(pages, key=lambda p: ORDER.index(p[0])))),
)


@given(AMOUNTS, AMOUNTS)
def test_what_is_added_can_be_taken_away(one: Amounts, other: Amounts) -> None:
    """And nothing else is left."""
    assert one + other - other == one
    assert one - one == NOTHING
    assert total([one, other]) == total([other, one])


@given(AMOUNTS, AMOUNTS)
def test_what_fits(one: Amounts, other: Amounts) -> None:
    """A part is never more than the whole, and the larger of two is enough for either."""
    assert one.beyond(one + other) == ()
    assert one.beyond(most(one, other)) == ()
    assert set((one + other).beyond(other)) == {name for name, n in one.by_name().items() if n}


def test_what_lacks_is_named() -> None:
    """By its name in core/v1."""
    wanted = Amounts(1, 1, (("2Mi", 1 << 21),))
    assert wanted.beyond(NOTHING) == ("cpu", "memory", "hugepages-2Mi")
    assert NOTHING.beyond(NOTHING) == ()


def test_an_instance_asks_for_what_its_containers_ask_for() -> None:
    """The sum."""
    one = {"name": "a", "image": "x", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": 1, "memory": "1Gi"}}}
    two = {"name": "b", "image": "x", "resources": {"requests": {"cpu": "1.5", "memory": "1Mi"}}}
    spec = InstanceSpec.model_validate({"containers": [one, two]})
    assert instance_requests(spec) == Amounts(1600, (1 << 30) + (1 << 20))


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0"), (1000, "1000"), (1024, "1Ki"), (64 << 20, "64Mi"), (3 << 29, "1536Mi"), (1 << 60, "1Ei")]
)
def test_bytes_in_words(amount: int, text: str) -> None:
    """As short as they can be without losing a byte."""
    assert quantity.of_bytes(amount) == text
    assert quantity.whole(text) == amount


@pytest.mark.parametrize(("amount", "text"), [(0, "0"), (1, "1m"), (1000, "1"), (1500, "1500m"), (12000, "12")])
def test_cores_in_words(amount: int, text: str) -> None:
    """As Kubernetes writes them."""
    assert quantity.of_millis(amount) == text
    assert quantity.millis(text) == amount


def test_init_containers_are_in_what_an_instance_asks_for() -> None:
    """The most that runs at one time: all sidecars and containers, or an init container and the sidecars before it."""

    def asking(name: str, cpu: str, **fields: Any) -> dict[str, Any]:
        return {"name": name, "image": "i", "resources": {"requests": {"cpu": cpu}}, **fields}

    always = {"restartPolicy": "Always"}
    row = [asking("a", "1", **always), asking("b", "3"), asking("c", "1", **always), asking("d", "1")]
    for main, most_of_all in (("1", 4000), ("5", 7000)):
        spec = InstanceSpec.model_validate({"initContainers": row, "containers": [asking("main", main)]})
        assert instance_requests(spec).cpu_millis == most_of_all
