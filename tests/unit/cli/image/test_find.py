"""From what somebody types to one image."""

import pytest

from controller.cli.errors import CommandError
from controller.cli.image import find
from controller.runtime.port import ImageName
from tests.unit.cli.image.table import BY_DIGEST, DATA, EARLY, NAMES, OLD, WEB

ODD = ImageName("import-2026", "sha256:" + "9" * 64)
"""Not every tool writes names that can be parsed as they are."""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (WEB, WEB),
        ("data:7", DATA),
        ("docker.io/data:7", DATA),
        (BY_DIGEST, BY_DIGEST),
        ("bbbb", OLD),
        ("sha256:bbbbbbbbbbbb", OLD),
        ("import-2026", "import-2026"),
    ],
)
def test_one_image_fits(text: str, name: str) -> None:
    """By any spelling of its name, or the beginning of its digest."""
    assert find.image(text, (*NAMES, ODD)).name == name


def test_a_digest_with_two_names_lists_them() -> None:
    """Which of them is meant has to be said: to remove one is not to remove the other."""
    with pytest.raises(CommandError, match="more than one image") as failure:
        find.image("aaaaaaaaaaaa", NAMES)
    assert WEB in str(failure.value)
    assert EARLY in str(failure.value)


def test_another_tag_of_a_repository_that_is_here_is_shown() -> None:
    """Whoever mistyped a tag sees those that there are, and nothing else."""
    with pytest.raises(CommandError, match="of that repository there are") as failure:
        find.image("registry.test/team/web", NAMES)
    assert str(failure.value).splitlines()[1:] == [f"  {WEB}", f"  {OLD}"]


@pytest.mark.parametrize("text", ["nope", "", "abc", "Not A Name", "sha256:123"])
def test_what_is_not_there_is_told(text: str) -> None:
    """With where to look."""
    with pytest.raises(CommandError, match="moorage image ls"):
        find.image(text, NAMES)
