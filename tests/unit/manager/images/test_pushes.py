"""Who pushes an image to where, and what is told of it."""

from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from controller.api.conditions import timestamp
from controller.api.reasons import Reason
from tests.unit.manager.images.test_status import message, verdict
from tests.unit.manager.images.world import DIGEST, ImageWorld

THERE = "there.test/web:1"
ALSO = "also.test/web:1"
PUSH = [{"image": THERE, "secrets": [{"name": "robot"}]}]
OTHER = "sha256:" + "2" * 64


def world(count: int = 3, push: Any = PUSH, **spec: Any) -> ImageWorld:
    """Nodes that have an image which is to be pushed, and nobody has begun to."""
    found = ImageWorld.of(count, push=push, **spec)
    found.settle()
    found.status()
    found.decide()
    return found


def asked(world: ImageWorld) -> dict[str, list[str]]:
    """Where each node is asked to push the first image to."""
    entries = {name: held.entries.get(world.image.key) for name, held in world.held.items()}
    return {name: [push.image for push in entry.push] for name, entry in entries.items() if entry is not None and entry.push}


def say(world: ImageWorld, name: str, state: str, target: str = THERE, **more: Any) -> None:
    """An agent says how far a push is."""
    report = world.held[name].reports[world.image.key]
    others = [push.to_json() for push in report.pushes if push.image != target]
    told = {"image": target, "state": state, "source": report.digest, "since": timestamp(world.now)} | more
    world.report(name, "Ready", pushes=[*others, told])


def test_one_node_pushes_when_it_has_the_image() -> None:
    """The first one by name, with the names of the Secrets; and Ready is only when it is done."""
    found = world()
    assert asked(found) == {"n00": [THERE]}
    assert found.held["n00"].entries[found.image.key].push[0].secrets == ("robot",)
    told = found.status()
    assert verdict(told) == ("Unknown", Reason.PUSHING)
    assert (message(told), told["summary"], told["ready"]) == ("pushed to 0 of 1 places", "Pushing", "3/3")
    assert told["pushes"] == [{"image": THERE, "state": "Pending"} | dict.fromkeys(EMPTY, "")]
    say(found, "n00", "Pushing")
    assert found.status()["pushes"][0]["state"] == "Pushing"
    say(found, "n00", "Pushed", digest=OTHER)
    told = found.status()
    assert verdict(told) == ("True", Reason.PULLED)
    (push,) = told["pushes"]
    assert (push["state"], push["node"], push["source"], push["digest"]) == ("Pushed", "n00", DIGEST, OTHER)


EMPTY = ("node", "revision", "source", "digest", "reason", "message")


def test_what_is_told_as_pushed_is_asked_of_nobody_any_more() -> None:
    """Also by another manager, when the node says nothing of it any more, or is gone: the status tells."""
    found = world()
    say(found, "n00", "Pushed", digest=OTHER)
    assert found.decide() == 0, "not before it is told"
    before = found.status()
    assert found.decide() == 1
    assert asked(found) == {}
    found.report("n00", "Ready", pushes=[])
    assert found.status() == before
    found.lose("n00")
    assert (found.decide(), found.status()) == (0, before)
    del found.nodes["n00"], found.held["n00"]
    found.settle()
    assert asked(found) == {}
    assert found.status()["pushes"] == before["pushes"]


def test_it_is_pushed_again_when_it_is_another_one() -> None:
    """Another image, another refreshedAt, another place; and not for anything else."""
    found = world(pullPolicy="Always")
    say(found, "n00", "Pushed", digest=OTHER)
    found.status()
    found.settle()
    found.apply(parallelism=3, pin=False)
    found.settle()
    assert asked(found) == {}
    found.apply(refreshedAt="2")
    found.settle()
    assert asked(found) == {"n00": [THERE]}
    say(found, "n00", "Pushed", digest=OTHER)
    found.status()
    found.settle()
    found.apply(push=[*PUSH, {"image": ALSO}])
    found.settle()
    assert asked(found) == {"n00": [ALSO]}
    told = found.status()
    assert [push["state"] for push in told["pushes"]] == ["Pushed", "Pending"]
    assert message(told) == "pushed to 1 of 2 places"


def test_it_is_pushed_again_when_no_node_has_what_was_pushed() -> None:
    """The tag stands for something else by now."""
    found = world(2)
    say(found, "n00", "Pushed", digest=DIGEST)
    found.status()
    found.report("n00", "Ready", digest=OTHER)
    found.decide()
    assert asked(found) == {}, "one still has it"
    found.report("n01", "Ready", digest=OTHER)
    found.decide()
    assert asked(found) == {"n00": [THERE]}


def test_a_node_keeps_the_task_until_it_is_lost_or_has_the_image_no_more() -> None:
    """Also when it fails, and when one comes that would have been chosen in its place."""
    found = world(3, pin=False)
    found.lose("n00")
    found.settle()
    assert asked(found) == {"n01": [THERE]}
    found.nodes["n00"] = replace(found.nodes["n00"], alive=True)
    say(found, "n01", "Failed", reason="ErrImagePush")
    found.decide()
    assert asked(found) == {"n01": [THERE]}
    found.report("n01", "Removed")
    found.decide()
    assert asked(found) == {"n00": [THERE]}


def test_a_push_that_fails_is_told_and_stalls_in_the_end() -> None:
    """With the registry's words; it goes on being tried, and is ready when it succeeds after all."""
    found = world(progressDeadlineSeconds=60)
    say(found, "n00", "Failed", reason="ErrImagePush", message="registry there.test wants credentials")
    told = found.status()
    assert verdict(told) == ("Unknown", "ErrImagePush")
    assert message(told) == f"pushed to 0 of 1 places; {THERE}: registry there.test wants credentials"
    assert found.deadline == found.now + 60
    found.now += 61
    told = found.status()
    assert verdict(told) == ("False", "ErrImagePush")
    assert [c["type"] for c in told["conditions"]] == ["Ready", "Stalled"]
    say(found, "n00", "Pushed", digest=OTHER)
    assert verdict(found.status()) == ("True", Reason.PULLED)


def test_a_place_that_is_none_is_stalled_at_once() -> None:
    """And keeps no other from being pushed to."""
    found = world(push=[{"image": "Not a place"}, {"image": ALSO}])
    assert asked(found) == {"n00": [ALSO]}
    told = found.status()
    assert verdict(told) == ("False", Reason.INVALID_IMAGE_NAME)
    assert [push["state"] for push in told["pushes"]] == ["Failed", "Pending"]


def test_nobody_pushes_where_nobody_has_it() -> None:
    """Without a node there is no push; that is told, and waits for one."""
    found = world(0)
    assert verdict(found.status()) == ("Unknown", Reason.PENDING)
    assert "no node has it that could push it" in message(found.status())


def test_two_spellings_of_a_place_are_one() -> None:
    """A node is asked once."""
    found = world(push=[{"image": "web:1"}, {"image": "docker.io/library/web:1"}])
    assert asked(found) == {"n00": ["docker.io/library/web:1"]}


HAPPENINGS = st.tuples(st.sampled_from(["lose", "find", "fail", "push", "forget"]), st.integers(0, 3))


@given(st.lists(HAPPENINGS, max_size=20))
@example([("fail", 0), ("lose", 0)])  # the next one pushes it, and the lost one still tells of its failure
def test_no_two_nodes_push_at_once_and_it_comes_to_an_end(happens: list[tuple[str, int]]) -> None:
    """Whatever becomes of nodes; what was told as pushed stays so; and a second look changes nothing."""
    found = world(4)
    pushed = False
    for what, number in happens:
        name = f"n{number:02}"
        alive = found.nodes[name].alive
        if what in {"lose", "find"}:
            found.nodes[name] = replace(found.nodes[name], alive=what == "find")
        elif alive and what in {"fail", "push"} and name in asked(found):
            say(found, name, "Failed" if what == "fail" else "Pushed", digest=OTHER)
        elif alive and what == "forget":
            found.report(name, "Ready", pushes=[])
        found.status()
        found.decide()
        assert found.decide() == 0
        assert len([name for name in asked(found) if found.nodes[name].alive]) <= 1
        state = found.status()["pushes"][0]["state"]
        assert state == "Pushed" or not pushed
        pushed = pushed or state == "Pushed"
    for name in found.nodes:
        found.nodes[name] = replace(found.nodes[name], alive=True)
    found.decide()
    for name in asked(found):
        say(found, name, "Pushed", digest=OTHER)
    assert verdict(found.status()) == ("True", Reason.PULLED)
    found.decide()
    assert asked(found) == {}
