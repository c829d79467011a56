"""Profiles of the node: read from its folder, and from nowhere else."""

import os
from pathlib import Path

import pytest

from controller.agent.seccomp import MOST_BYTES, ProfileError, read_profile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node's folder, with a secret beside it and every way to it."""
    (tmp_path / "secret").write_text("secret")
    made = tmp_path / "seccomp"
    (made / "team" / "deep").mkdir(parents=True)
    (made / "a.json").write_text("{}")
    (made / "team" / "deep" / "b.json").write_text("[1]")
    (made / "link.json").symlink_to(tmp_path / "secret")
    (made / "inner.json").symlink_to("a.json")
    (made / "out").symlink_to(tmp_path)
    os.mkfifo(made / "pipe")
    (made / "large").write_bytes(b"x" * (MOST_BYTES + 1))
    return made


@pytest.mark.parametrize(("name", "text"), [("a.json", "{}"), ("team/deep/b.json", "[1]"), ("./a.json", "{}")])
def test_a_profile_is_read_by_its_path_below_the_folder(folder: Path, name: str, text: str) -> None:
    """Also from folders below it."""
    assert read_profile(folder, name) == text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../secret", "no path below"),
        ("team/../../secret", "no path below"),
        ("/etc/passwd", "no path below"),
        ("", "no path below"),
        ("a.json/", "no path below"),
        ("a\0.json", "no path below"),
        ("link.json", "links are not followed"),
        ("inner.json", "links are not followed"),
        ("out/secret", "cannot be read"),
        ("none.json", "No such file"),
        ("a.json/b", "Not a directory"),
        ("team", "Is a directory"),
        ("pipe", "no regular file"),
        ("large", "larger than"),
    ],
)
def test_nothing_else_is_read(folder: Path, name: str, message: str) -> None:
    """Neither what is outside, nor what would not end; the message names field, path and folder."""
    with pytest.raises(ProfileError, match=message) as caught:
        read_profile(folder, name)
    assert "localhostProfile" in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_node_without_the_folder(tmp_path: Path) -> None:
    """Says so, and it is tried again."""
    with pytest.raises(ProfileError, match="No such file"):
        read_profile(tmp_path / "none", "a.json")
