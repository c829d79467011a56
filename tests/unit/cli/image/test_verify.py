"""`moorage image verify`: what is damaged, and what to do."""

import json

import pytest

from controller.runtime.port import Damage, DamageKind
from tests.unit.cli.world import IMAGES, World, instance

BLOB = "sha256:" + "b" * 64


@pytest.fixture
def damaged(world: World) -> World:
    """A node whose first image has a layer that is cut short."""
    world.node.damage[IMAGES[0]] = (Damage(DamageKind.BLOB, BLOB, "it has 12 bytes, and not 34"),)
    return world


def test_all_is_well(world: World) -> None:
    """A line for each image, and exit code 0."""
    result = world.run("image", "verify")
    assert result.exit_code == 0
    assert sorted(result.stdout.splitlines()) == sorted(f"{name}: whole" for name in IMAGES)


def test_damage_is_told_with_what_to_do(damaged: World) -> None:
    """Which blob, how, and the command that mends it; exit code 1."""
    result = damaged.run("image", "verify", IMAGES[0], "busybox:1")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{IMAGES[0]}: damaged",
        f"  blob {BLOB}: it has 12 bytes, and not 34",
        f"  mend it: moorage image verify --discard {IMAGES[0]} ; moorage image pull {IMAGES[0]}",
        f"{IMAGES[1]}: whole",
    ]


def test_what_is_damaged_is_discarded_when_asked(damaged: World) -> None:
    """Then a pull brings it anew, and all is well."""
    result = damaged.run("image", "verify", "--discard", IMAGES[0])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == f"  that is discarded; fetch it anew: moorage image pull {IMAGES[0]}"
    assert damaged.run("image", "pull", IMAGES[0]).exit_code == 0
    assert damaged.run("image", "verify", IMAGES[0]).exit_code == 0


def test_what_runs_keeps_what_it_uses(world: World) -> None:
    """Who that is, is told."""
    made = world.make(world.want(instance("web-0")))
    world.node.damage[IMAGES[0]] = (Damage(DamageKind.FILE, BLOB, "/bin/sh has other content"),)
    result = world.run("image", "verify", "--discard", IMAGES[0])
    assert result.exit_code == 1
    assert f"that cannot be discarded now: what is damaged of it is used by {made}" in result.stdout


def test_json_for_machines(damaged: World) -> None:
    """Also of what is not there, which hides no other."""
    result = damaged.run("image", "verify", "-o", "json", "nope:1", IMAGES[0], IMAGES[1])
    assert result.exit_code == 1
    missing, first, second = json.loads(result.stdout)
    assert "no image 'nope:1'" in missing["error"]
    assert first["damage"] == [{"what": "blob", "digest": BLOB, "message": "it has 12 bytes, and not 34"}]
    assert (first["whole"], first["discarded"], second["whole"], second["error"]) == (False, False, True, None)


def test_a_node_without_images_is_no_error(world: World) -> None:
    """There is nothing that could be damaged."""
    world.node.images.clear()
    result = world.run("image", "verify")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no images on this node" in result.stderr
