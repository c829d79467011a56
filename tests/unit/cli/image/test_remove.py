"""`moorage image rm`, `prune` and `tag`: nothing goes that somebody uses."""

import json

import pytest

from controller.agent.nodeimages.wanted import FILE
from controller.cli.errors import CommandError
from controller.cli.image.local import Found
from controller.cli.image.prune import content, unused
from controller.cli.image.remove import decide
from tests.unit.cli.image.table import BY_DIGEST, EARLY, HALF, OLD, WEB, images
from tests.unit.cli.image.test_ls import pin
from tests.unit.cli.world import IMAGES, World, instance

ALL = Found(tuple(images().values()))
UNKNOWN = Found(tuple(images().values()), ("the notes cannot be understood",), pins_known=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (WEB, "is used by container shop/web-0/main and 1 other"),
        (OLD, "is used by container shop/web-0/side:"),
        ("data:7", "is wanted by instance shop/web-0"),
        ("nope", "no image 'nope' on this node"),
    ],
)
def test_what_is_used_stays_and_who_uses_it_is_told(text: str, told: str) -> None:
    """In one line, with what can be done."""
    (order,) = decide([text], ALL, force=False)
    assert told in order.problem


@pytest.mark.parametrize("text", [EARLY, HALF, BY_DIGEST])
def test_what_nothing_uses_may_go(text: str) -> None:
    """Also what is not complete, and another name of what runs."""
    (order,) = decide([text], ALL, force=False)
    assert order.problem == ""
    assert order.local is not None
    assert order.local.name.name == text


def test_force_removes_what_is_used_but_not_what_is_not_there() -> None:
    """It is said on purpose."""
    first, second = decide([WEB, "nope"], ALL, force=True)
    assert (first.problem, bool(second.problem)) == ("", True)


def test_while_pins_are_not_known_nothing_goes_by_itself() -> None:
    """Not known is not the same as none."""
    (order,) = decide([EARLY], UNKNOWN, force=False)
    assert "may be pinned: the notes cannot be understood" in order.problem
    assert decide([EARLY], UNKNOWN, force=True)[0].problem == ""
    with pytest.raises(CommandError, match="nothing is removed: the notes cannot be understood"):
        unused(UNKNOWN)


def test_prune_takes_all_that_nothing_uses() -> None:
    """And counts content once that has two names."""
    assert [local.name.name for local in unused(ALL)] == sorted([BY_DIGEST, HALF, EARLY])
    found = images()
    assert content([found[WEB], found[EARLY], found[HALF]]) == 41_943_040


# --- the commands


@pytest.fixture
def used(world: World) -> World:
    """A node on which the first image runs, the third is pinned, and the second is free."""
    world.make(world.want(instance("web-0")))
    pin(world, IMAGES[2])
    return world


def test_rm_removes_and_says_so(used: World) -> None:
    """By any spelling, each once."""
    result = used.run("image", "rm", "busybox:1", "docker.io/busybox:1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert set(used.node.images) == {IMAGES[0], IMAGES[2]}
    assert result.stdout.splitlines()[0] == f"removed {IMAGES[1]}"


def test_rm_refuses_what_is_used_and_removes_the_others(used: World) -> None:
    """Exit code 1, and JSON that says which and why."""
    result = used.run("image", "rm", "-o", "json", *IMAGES)
    assert result.exit_code == 1
    errors = {item["name"]: item["error"] for item in json.loads(result.stdout)}
    assert errors[IMAGES[1]] is None
    assert "is used by container default/web-0/main" in errors[IMAGES[0]]
    assert "is pinned by ContainerImage shop/web" in errors[IMAGES[2]]
    assert set(used.node.images) == {IMAGES[0], IMAGES[2]}
    assert used.run("image", "rm", "--force", IMAGES[0], IMAGES[2]).exit_code == 0
    assert used.node.images == {}


def test_prune_keeps_what_is_used(used: World) -> None:
    """A dry run removes nothing, and tells the same images."""
    told = used.run("image", "prune", "--dry-run")
    assert told.stdout.splitlines() == [f"would remove {IMAGES[1]} (1kB)", "1kB at most would be free again"]
    assert set(used.node.images) == set(IMAGES)
    result = used.run("image", "prune", "--yes", "-o", "json")
    assert json.loads(result.stdout) == {"removed": [IMAGES[1]], "unused": [IMAGES[1]], "freedBytes": 1000}
    assert set(used.node.images) == {IMAGES[0], IMAGES[2]}
    assert used.run("image", "prune").stdout == "nothing to remove: every image of this node is used\n"


def test_prune_removes_nothing_unasked(used: World) -> None:
    """Where nobody can answer, it says what to say."""
    result = used.run("image", "prune", stdin="y\n")
    assert result.exit_code == 1
    assert "say --yes" in result.stderr
    assert set(used.node.images) == set(IMAGES)


def test_prune_with_notes_that_cannot_be_understood(used: World) -> None:
    """What is pinned is then not known, so nothing goes."""
    (used.state_dir / FILE).write_text("{")
    result = used.run("image", "prune", "--yes")
    assert result.exit_code == 1
    assert "nothing is removed" in result.stderr
    assert set(used.node.images) == set(IMAGES)


def test_tag_gives_a_further_name(used: World) -> None:
    """Of the same image, which then may go by the one and stay by the other."""
    image = used.node.images[IMAGES[0]]
    result = used.run("image", "tag", image.digest[7:19], "web:good")
    assert result.stdout == f"docker.io/library/web:good is {image.digest}\n"
    assert used.run("image", "rm", "web:good").exit_code == 0
    assert set(used.node.images) == set(IMAGES)
    made = json.loads(used.run("image", "tag", "-o", "json", IMAGES[0], "web:good").stdout)
    assert made == {"name": "docker.io/library/web:good", "digest": image.digest}


@pytest.mark.parametrize(
    ("arguments", "told"), [(("nope", "a:1"), "no image 'nope'"), (("busybox:1", "No Name"), "is not a repository name")]
)
def test_tag_tells_what_it_cannot_do(world: World, arguments: tuple[str, str], told: str) -> None:
    """In one line."""
    result = world.run("image", "tag", *arguments)
    assert result.exit_code == 1
    assert told in result.stderr
