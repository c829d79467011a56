"""`moorage image import` and `export`: what goes through a file comes out of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.world import IMAGES, World


@pytest.fixture
def archive(world: World, tmp_path: Path) -> Path:
    """Two images of the node."""
    path = tmp_path / "two.tar"
    assert world.run("image", "export", *IMAGES[:2], "-o", str(path)).exit_code == 0
    return path


def test_what_was_exported_can_be_imported(world: World, archive: Path) -> None:
    """By the same names; what is printed says what is in it."""
    world.node.images.clear()
    result = world.run("image", "import", str(archive))
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == list(IMAGES[:2])
    assert set(world.node.images) == set(IMAGES[:2])


def test_names_are_for_machines(world: World, archive: Path) -> None:
    """JSON has digests and sizes; -q what can be named."""
    told = json.loads(world.run("image", "import", "-o", "json", str(archive)).stdout)
    assert [one["name"] for one in told] == list(IMAGES[:2])
    assert all(one["digest"].startswith("sha256:") and one["size"] > 0 for one in told)
    assert world.run("image", "import", "-q", str(archive)).stdout.splitlines()[0] == f"{told[0]['name']}@{told[0]['digest']}"


def test_the_one_image_can_get_another_name(world: World, tmp_path: Path) -> None:
    """With two in it, it is told that it cannot."""
    world.node.images[IMAGES[1]] = replace(world.node.images[IMAGES[1]], created_at=5.0)
    single, double = tmp_path / "one.tar", tmp_path / "two.tar"
    world.run("image", "export", IMAGES[0], "-o", str(single))
    world.run("image", "export", *IMAGES[:2], "-o", str(double))
    assert world.run("image", "import", str(single), "--name", "web:new").exit_code == 0
    assert "docker.io/library/web:new" in world.node.images
    refused = world.run("image", "import", str(double), "--name", "web:other")
    assert refused.exit_code == 1
    assert str(double) in refused.stderr


def test_an_export_says_what_is_in_the_file(world: World, tmp_path: Path) -> None:
    """Each image once, by its whole name; -q says nothing."""
    path = tmp_path / "a.tar"
    digest = world.node.images[IMAGES[1]].digest
    result = world.run("image", "export", "busybox:1", digest[7:19], "--output", str(path))
    assert result.stdout.startswith(f"{path}: ")
    assert result.stdout.endswith(f"B, with {IMAGES[1]}\n")
    assert world.run("image", "export", "-q", "busybox:1", "-o", str(path)).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("export", "nope:1", "-o", "{}/a.tar"), 1, "no image 'nope:1' on this node"),
        (("export", IMAGES[0]), 2, "--output"),
        (("export", IMAGES[0], "-o", "{}/nowhere/a.tar"), 1, "nowhere/a.tar"),
        (("import", "{}/nothing.tar"), 2, "does not exist"),
        (("import", "{}/text"), 1, "{}/text"),
    ],
)
def test_what_cannot_be_done_is_said(world: World, tmp_path: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    """And no half of a file is left."""
    (tmp_path / "text").write_text("no archive")
    result = world.run("image", *(argument.format(tmp_path) for argument in arguments))
    assert result.exit_code == code
    assert "".join(told.format(tmp_path).split()) in "".join(result.stderr.replace("│", "").split())
    assert not list(tmp_path.glob("*.tar*"))
