"""From what somebody types to an instance and a container."""

import pytest

from controller.agent.decide.observation import Desired
from controller.cli import find
from controller.cli.errors import CommandError
from controller.cli.inventory import Known
from tests.unit.cli.world import instance

WEB = Known("1a2b", "default", "web-0", Desired(instance("web-0", uid="1a2b")))
SHOP = Known("3c4d", "shop", "web-0", Desired(instance("web-0", namespace="shop", uid="3c4d")))
PROXY = Known("1a99", "default", "web-proxy", Desired(instance("web-proxy", uid="1a99", containers=["main", "side"])))
GONE = Known("5e6f", "default", "web-0")
ALL = (WEB, SHOP, PROXY)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("default/web-0", WEB),
        ("shop/web-0", SHOP),
        ("web-proxy", PROXY),
        ("web-p", PROXY),
        ("default/web-p", PROXY),
        ("3c4d", SHOP),
        ("1a2", WEB),
    ],
)
def test_one_instance_fits(text: str, found: Known) -> None:
    """A full name, a name, or a beginning of a name or uid is enough when only one instance fits it."""
    assert find.instance(text, ALL) is found


def test_an_exact_name_goes_before_a_beginning() -> None:
    """`web` is web, although web-0 begins with it, too."""
    web = Known("9", "default", "web", Desired(instance("web")))
    assert find.instance("web", (WEB, web)) is web


def test_of_two_with_one_name_the_wanted_one_is_meant() -> None:
    """An instance that was deleted and made anew is meant as it is now."""
    assert find.instance("default/web-0", (GONE, WEB)) is WEB


@pytest.mark.parametrize("text", ["web-0", "web", "1a"])
def test_an_ambiguous_text_lists_the_candidates(text: str) -> None:
    """Whoever is not precise enough sees what to choose from."""
    with pytest.raises(CommandError, match="more than one") as failure:
        find.instance(text, ALL)
    assert "default/web-0  (uid 1a2b)" in str(failure.value)


@pytest.mark.parametrize("text", ["db", "", "other/web-0"])
def test_an_unknown_text_lists_what_there_is(text: str) -> None:
    """Whoever mistyped sees the names that there are."""
    with pytest.raises(CommandError, match="no instance") as failure:
        find.instance(text, ALL)
    assert "shop/web-0" in str(failure.value)


def test_an_empty_node_says_so() -> None:
    """Where there is nothing, nothing is listed."""
    with pytest.raises(CommandError, match="there is none on this node"):
        find.instance("web", ())


def test_the_first_container_is_the_default_and_told() -> None:
    """Without -c it is the spec's first container, with a word about the others."""
    said: list[str] = []
    assert find.container("", PROXY, said.append) == "main"
    assert said == ["container 'main' of main, side (choose with -c)"]
    assert find.container("side", PROXY, said.append) == "side"
    assert len(said) == 1


def test_an_unknown_container_lists_the_known_ones() -> None:
    """A mistyped container name shows the right ones."""
    with pytest.raises(CommandError, match="main, side"):
        find.container("mian", PROXY, print)
