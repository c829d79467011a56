"""`moorage image push`: to which registry, by what credentials, and what is told."""

import json

import pytest

from controller.runtime.memory import MemoryImage
from controller.runtime.port import Credential
from tests.unit.cli.image.test_pull import config
from tests.unit.cli.world import IMAGES, World

ROBOT = Credential("robot", "s3cret")
PRIVATE = "registry.test/team/private:1"


def test_it_goes_to_where_its_name_says(world: World) -> None:
    """Or by another name to another place; the digest is told, to be named by it."""
    digest = world.node.images[IMAGES[0]].digest
    result = world.run("image", "push", IMAGES[0])
    assert (result.exit_code, result.stdout) == (0, f"{IMAGES[0]}: {digest}, sent 1kB in 0s\n")
    assert world.run("image", "push", "-q", IMAGES[0], "registry.test/copy:2").stdout == f"registry.test/copy:2@{digest}\n"
    assert world.node.registry["registry.test/copy:2"].state().digest == digest
    made = json.loads(world.run("image", "push", digest[7:19], "registry.test/copy:3", "-o", "json").stdout)
    assert made == {"target": "registry.test/copy:3", "digest": digest, "sentBytes": 1000}


def test_credentials_are_those_of_the_node_or_the_typed_ones(world: World) -> None:
    """As for a pull."""
    world.node.registry[PRIVATE] = MemoryImage(PRIVATE, credentials=(ROBOT,))
    refused = world.run("image", "push", IMAGES[0], PRIVATE)
    assert refused.exit_code == 1
    assert "credentials are needed" in refused.stderr
    typed = world.run("image", "push", "-u", "robot", "--password-stdin", IMAGES[0], PRIVATE, stdin="s3cret\n")
    assert typed.exit_code == 0, typed.stderr
    world.node.registry[PRIVATE] = MemoryImage(PRIVATE, credentials=(ROBOT,))
    config(world.state_dir)
    assert world.run("image", "push", IMAGES[0], PRIVATE).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nope:1",), "no image 'nope:1' on this node"),
        ((IMAGES[0], "No Name"), "is not a repository name"),
        ((IMAGES[0], "elsewhere.test/x:1"), "elsewhere.test"),
    ],
)
def test_what_cannot_be_done_is_one_line(world: World, arguments: tuple[str, ...], told: str) -> None:
    """With exit code 1."""
    result = world.run("image", "push", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
