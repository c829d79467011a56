"""What is told of an image."""

from dataclasses import replace
from typing import Any

import pytest

from controller.api.image import MOST_FAILURES
from controller.api.reasons import Reason
from tests.unit.manager.images.world import DIGEST, ImageWorld

OTHER = "sha256:" + "2" * 64


def verdict(told: dict[str, Any]) -> tuple[str, str]:
    """Status and reason of Ready."""
    return told["conditions"][0]["status"], told["conditions"][0]["reason"]


def message(told: dict[str, Any]) -> str:
    """What is said to people."""
    return str(told["conditions"][0]["message"])


def test_an_image_on_its_way() -> None:
    """Waiting nodes are not counted as pulling; the generation is not settled before the end."""
    world = ImageWorld.of(5, parallelism=2)
    world.decide()
    told = world.status()
    assert verdict(told) == ("Unknown", Reason.PULLING)
    assert message(told) == "0 of 5 nodes have it, 2 pull it, 3 wait for their turn"
    assert told["nodes"] == {"wanted": 5, "ready": 0, "pulling": 2, "failed": 0, "removed": 0}
    assert (told["ready"], told["observedGeneration"]) == ("0/5", -1)
    assert [c["type"] for c in told["conditions"]] == ["Ready", "Reconciling"]


HOW_FAR: dict[str, tuple[dict[str, int], str]] = {
    "nothing is known": ({}, "Pulling"),
    "less than a step": ({"n00": 39}, "Pulling"),
    "each node counts alike": ({"n00": 50, "n01": 50}, "Pulling 20%"),
    "a node that has it counts as a whole": ({"n00": 100, "n01": 40}, "Pulling 20%"),
    "all of it on all of them, and not unpacked yet": ({f"n0{n}": 100 for n in range(5)}, "Pulling 100%"),
}


@pytest.mark.parametrize("case", HOW_FAR)
def test_how_far_an_image_is(case: str) -> None:
    """Over all the nodes that are to have it, in tens."""
    percents, expected = HOW_FAR[case]
    world = ImageWorld.of(5, parallelism="100%")
    world.decide()
    for name, percent in percents.items():
        world.pulls(name, percent)
    assert world.status()["summary"] == expected


def test_how_far_a_pull_of_yesterday_is_does_not_count() -> None:
    """After an edit, until the agent speaks of the new revision; and when it is over, nothing is left of it."""
    world = ImageWorld.of(1)
    world.decide()
    world.pulls("n00", 90)
    world.apply(image="web:2")
    world.decide()
    assert world.status()["summary"] == "Pulling"
    world.pulls("n00", 30)
    assert world.status()["summary"] == "Pulling 30%"
    world.settle()
    assert world.status()["summary"] == "Pulled"


def test_an_image_that_is_there() -> None:
    """Its digest, its size, and the settled generation."""
    world = ImageWorld.of(5)
    world.settle()
    told = world.status()
    assert verdict(told) == ("True", Reason.PULLED)
    assert (told["ready"], told["size"], told["observedGeneration"]) == ("5/5", "41.9MB", 1)
    assert told["image"] == "docker.io/library/web:1"
    assert told["digests"] == [{"digest": DIGEST, "bytes": 41_900_000, "nodes": 5}]
    assert "failures" not in told or told["failures"] == []


def test_a_tag_that_was_moved_in_between_is_told() -> None:
    """Ready it is: every node has what the tag stood for when it asked."""
    world = ImageWorld.of(3)
    world.settle()
    world.report("n01", "Ready", digest=OTHER, bytes=5)
    told = world.status()
    assert verdict(told) == ("True", Reason.PULLED)
    assert [(d["digest"], d["nodes"]) for d in told["digests"]] == [(DIGEST, 2), (OTHER, 1)]
    assert "2 different digests" in message(told)


def test_failing_nodes_are_named_with_reasons() -> None:
    """By name, at most so many; the condition tells the first, and how many more."""
    world = ImageWorld.of(30, parallelism="100%")
    world.decide()
    for number in range(25):
        world.report(f"n{number:02}", "Failed", reason="ErrImagePull", message=f"no such tag ({number})")
    told = world.status()
    assert verdict(told) == ("Unknown", "ErrImagePull")
    assert message(told) == "0 of 30 nodes have it; n00: no such tag (0) (and 24 more)"
    assert [f["node"] for f in told["failures"]] == [f"n{number:02}" for number in range(MOST_FAILURES)]
    assert told["failures"][3] == {"node": "n03", "reason": "ErrImagePull", "message": "no such tag (3)"}
    assert told["nodes"]["failed"] == 25


def test_it_is_stalled_when_nobody_else_is_about_to_get_it() -> None:
    """After the deadline; a node on its way, or one that waits for its turn, still is progress."""
    world = ImageWorld.of(3, parallelism=1, progressDeadlineSeconds=60)
    world.decide()
    world.report("n00", "Failed", reason="ErrImagePull")
    world.decide()
    world.now += 100
    assert (*verdict(world.status()), world.deadline) == ("Unknown", "ErrImagePull", None)
    world.report("n01", "Ready")
    world.decide()
    world.report("n02", "Ready")
    assert world.deadline == world.now + 60
    world.now += 61
    told = world.status()
    assert verdict(told) == ("False", "ErrImagePull")
    assert [c["type"] for c in told["conditions"]] == ["Ready", "Stalled"]
    assert told["observedGeneration"] == 1
    world.report("n00", "Ready")
    assert verdict(world.status()) == ("True", Reason.PULLED)


def test_what_is_no_reference_is_stalled_at_once() -> None:
    """Nobody can ever pull it."""
    told = ImageWorld.of(2, image="Not an image").status()
    assert verdict(told) == ("False", Reason.INVALID_IMAGE_NAME)
    assert "'Not an image'" in message(told)


def test_no_node_is_settled_too() -> None:
    """As a DaemonSet that wants no pod."""
    told = ImageWorld.of(2, placement={"nodeName": "elsewhere"}).status()
    assert verdict(told) == ("True", Reason.PULLED)
    assert (message(told), told["ready"]) == ("no node is selected", "0/0")


def test_a_lost_node_that_lacks_it_is_told() -> None:
    """One that had it is taken to have it still."""
    world = ImageWorld.of(2)
    world.lose("n01")
    world.settle()
    told = world.status()
    assert verdict(told) == ("Unknown", Reason.NODE_LOST)
    assert message(told) == "1 of 2 nodes have it; n01: its agent does not report"
    world.nodes["n01"] = replace(world.nodes["n01"], alive=True)
    world.settle()
    world.lose("n01")
    assert verdict(world.status()) == ("True", Reason.PULLED)


def test_a_node_without_room_is_told() -> None:
    """It waits for no turn: it gets none."""
    world = ImageWorld.of(3, parallelism=1)
    world.nodes["n01"] = replace(world.nodes["n01"], pressed=True)
    world.decide()
    assert message(world.status()) == "0 of 3 nodes have it, 1 pull it, 1 wait for their turn"
    world.settle()
    told = world.status()
    assert verdict(told) == ("Unknown", Reason.HAS_DISK_PRESSURE)
    assert message(told) == "2 of 3 nodes have it; n01: it has disk pressure, and gets no turn until it has room again"


def test_an_agent_that_knows_of_no_images_is_told() -> None:
    """Of an older release, or about to start."""
    world = ImageWorld.of(1)
    world.held["n00"] = replace(world.held["n00"], speaks=False)
    world.decide()
    told = world.status()
    assert verdict(told) == ("Unknown", Reason.PENDING)
    assert message(told).startswith("n00: its agent has said nothing of images yet")


def test_what_is_not_pinned_may_be_removed() -> None:
    """It did what it was there for: that stays settled, and is told."""
    world = ImageWorld.of(2, pin=False)
    world.settle()
    world.report("n01", "Removed")
    told = world.status()
    assert verdict(told) == ("True", Reason.PULLED)
    assert (told["ready"], told["nodes"]["removed"]) == ("1/2", 1)
    assert message(told) == "1 of 2 nodes had it and removed it"


def test_a_report_of_yesterday_does_not_count() -> None:
    """After an edit a node is ready when its agent says so of the new revision."""
    world = ImageWorld.of(1)
    world.settle()
    world.status()
    world.apply(image="web:2")
    world.decide()
    told = world.status()
    assert verdict(told) == ("Unknown", Reason.PULLING)
    assert told["observedGeneration"] == 1
    world.agents()
    assert world.status()["observedGeneration"] == 2
