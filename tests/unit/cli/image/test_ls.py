"""`moorage image ls` and `inspect`: what there is, and who uses it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.agent.nodeimages.wanted import FILE, Wanted
from controller.api.nodeimages import NodeImages
from controller.cli.image.local import read_pins
from controller.cli.image.ls import render
from controller.cli.image.rows import as_json, inspected
from controller.cli.image.uses import Uses
from controller.runtime.port import ImageConfig
from tests.unit.cli.image.table import BY_DIGEST, DATA, EARLY, HALF, LONG, OLD, WEB, digest, images
from tests.unit.cli.world import IMAGES, NOW, World, instance

GOLDEN = Path(__file__).parents[1] / "golden"


def shown(width: int | None, **how: bool) -> str:
    """The table as it is printed."""
    return "\n".join(line.rstrip() for line in render(list(images().values()), NOW, width, **how)) + "\n"


def pin(world: World, image: str) -> None:
    """Have the agent's notes say that a ContainerImage pins it, as an agent writes them."""
    wanted = Wanted(world.state_dir / FILE)
    entry = {"namespace": "shop", "name": "web", "image": image, "revision": "1"}
    wanted.put(NodeImages.model_validate({"metadata": {"name": "node1"}, "spec": {"images": [entry]}}).to_json())
    world.state_dir.mkdir(parents=True, exist_ok=True)
    (world.state_dir / FILE).write_text(json.dumps(wanted._table()))


@pytest.mark.parametrize("width", [80, 110, 160])
def test_the_table_fits_the_terminal(width: int) -> None:
    """Narrow terminals lose the beginnings of names first, and never who uses an image."""
    assert shown(width) == (GOLDEN / f"image_ls_{width}.txt").read_text()
    assert max(map(len, shown(width).splitlines())) <= width


def test_what_is_not_complete_is_told_in_red() -> None:
    """It is there by name alone; nothing can be run from it."""
    coloured = shown(160, colour=True)
    assert coloured.count("\x1b[31mincomplete") == 1
    assert "\x1b[" not in shown(160)


def test_wide_shows_names_and_digests_whole() -> None:
    """For those who copy them."""
    assert digest("a") in shown(None, wide=True)
    assert DATA in shown(None, wide=True)


@pytest.mark.parametrize(
    ("name", "uses"),
    [
        (WEB, Uses(("shop/web-0/main", "shop/web-0/side"), (), ("shop/web",))),
        (OLD, Uses(("shop/web-0/side",), ("shop/late-0",))),
        (DATA, Uses((), ("shop/web-0",))),
        (LONG, Uses(("hand.by-hand",))),
        (EARLY, Uses()),
        (HALF, Uses()),
        (BY_DIGEST, Uses()),
    ],
    ids=[
        "containers and a pin",
        "a container of what another name meant before, and an instance",
        "a volume",
        "a container that no agent made",
        "another name of what runs is free, and what is not pinned is",
        "not complete",
        "nothing",
    ],
)
def test_who_uses_an_image(name: str, uses: Uses) -> None:
    """Containers, instances that name it, and ContainerImages that pin it."""
    assert images()[name].uses == uses


def test_json_is_complete_and_typed() -> None:
    """Machines get bytes as numbers, times in RFC 3339, and null for what is not known."""
    web, half = as_json(images()[WEB]), as_json(images()[HALF])
    assert web == {
        "name": WEB,
        "digest": digest("a"),
        "complete": True,
        "platform": "linux/amd64",
        "size": 41_943_040,
        "since": "2027-01-15T07:58:30Z",
        "createdAt": "2027-01-14T08:00:00Z",
        "usedBy": {"containers": ["shop/web-0/main", "shop/web-0/side"], "instances": [], "pinnedBy": ["shop/web"]},
    }
    assert (half["complete"], half["platform"], half["size"], half["createdAt"]) == (False, None, None, None)


def test_inspect_has_layers_and_config_in_the_words_of_the_image_spec() -> None:
    """As those expect it who know other tools; what an image does not say is not there."""
    local = images()[WEB]
    assert local.state is not None
    config = ImageConfig(cmd=("sh",), env=("A=1",), working_dir="/srv", user="app")
    found = inspected(local, replace(local.state, layers=(digest("1"), digest("2")), config=config))
    assert found["layers"] == [digest("1"), digest("2")]
    assert found["config"] == {"Cmd": ["sh"], "Env": ["A=1"], "WorkingDir": "/srv", "User": "app"}
    assert found["name"] == WEB
    half = inspected(images()[HALF], None)
    assert (half["complete"], half["layers"], half["config"]) == (False, None, None)


# --- the commands


def listed(world: World) -> dict[str, dict[str, Any]]:
    """What `image ls -o json` says, by name."""
    result = world.run("image", "ls", "-o", "json")
    assert result.exit_code == 0, result.stderr
    return {item["name"]: item for item in json.loads(result.stdout)}


def test_a_node_is_listed(world: World) -> None:
    """With what runs there, and what its agent has noted as pinned."""
    world.make(world.want(instance("web-0")))
    pin(world, IMAGES[2])
    found = listed(world)
    assert set(found) == set(IMAGES)
    assert found[IMAGES[0]]["usedBy"]["containers"] == ["default/web-0/main"]
    assert found[IMAGES[2]]["usedBy"]["pinnedBy"] == ["shop/web"]
    table = world.run("image", "ls").stdout
    assert [line.split()[0] for line in table.splitlines()] == ["NAME", "busybox:1", IMAGES[2], IMAGES[0]]


def test_without_an_agent_that_is_said(world: World) -> None:
    """What is pinned is not known then; the images are listed all the same, and no folder appears."""
    result = world.run("image", "ls")
    assert result.exit_code == 0
    assert f"no agent keeps its state in {world.state_dir}" in result.stderr
    assert not world.state_dir.exists()


def test_notes_that_cannot_be_understood_hide_no_image(world: World) -> None:
    """But it is told that pins are not known."""
    world.state_dir.mkdir()
    (world.state_dir / FILE).write_text("{")
    result = world.run("image", "ls")
    assert "busybox:1" in result.stdout
    assert "which images are pinned is not known" in result.stderr


def test_the_notes_are_read_as_the_agent_writes_them(world: World) -> None:
    """The commands and the agent agree on the format."""
    assert read_pins(world.state_dir) == ()
    pin(world, IMAGES[0])
    (entry,) = read_pins(world.state_dir)
    assert (entry.image, entry.pin) == (IMAGES[0], True)


def test_a_node_without_images_is_no_error(world: World) -> None:
    """Nothing to list is said on stderr, and is an empty list in JSON."""
    world.node.images.clear()
    result = world.run("image", "ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no images on this node" in result.stderr
    assert listed(world) == {}


@pytest.mark.parametrize(
    "command", [("ls",), ("inspect", "x"), ("rm", "x"), ("prune",), ("tag", "x", "y"), ("pull", "x"), ("push", "x")]
)
def test_a_silent_runtime_is_one_line(world: World, command: tuple[str, ...]) -> None:
    """A runtime that does not answer is told in one line, with exit code 1."""
    world.node.stop_answering()
    result = world.run("image", *command)
    assert result.exit_code == 1
    assert result.stderr == "moorage: the runtime does not answer\n"


def test_inspect_prints_what_is_there_and_tells_what_is_not(world: World) -> None:
    """One that is missing hides no other, and makes the exit code 1."""
    result = world.run("image", "inspect", "busybox:1", "nope", world.node.images[IMAGES[0]].digest[7:17])
    assert [item["name"] for item in json.loads(result.stdout)] == [IMAGES[1], IMAGES[0]]
    assert result.exit_code == 1
    assert result.stderr.startswith("moorage: no image 'nope' on this node")
