"""Which nodes are asked for an image, and when: turns, edits, deletions, nodes that come and go."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.api.image import MOST_PULL_SECRETS
from controller.api.nodeimages import MOST_BYTES, MOST_IMAGES
from controller.manager.decide.images.turns import limit
from controller.manager.decide.images.values import Held, Standing
from controller.manager.decide.values import Key
from tests.unit.manager.images.world import ImageWorld
from tests.unit.manager.world import node

LIMITS: dict[str, tuple[int | str, int, int]] = {
    "a number": (3, 100, 3),
    "a number that is more than there are": (30, 5, 30),
    "a percentage": ("25%", 8, 2),
    "a percentage is rounded down": ("25%", 7, 1),
    "and is at least one": ("10%", 3, 1),
    "all of them": ("100%", 7, 7),
}


@pytest.mark.parametrize("case", LIMITS)
def test_parallelism_is_a_number_or_a_percentage(case: str) -> None:
    """As `maxUnavailable` is."""
    parallelism, nodes, expected = LIMITS[case]
    assert limit(ImageWorld.of(0, parallelism=parallelism).image, nodes) == expected


def test_turns_go_round_until_every_node_has_it() -> None:
    """No more than so many at once; each that has ended makes room for another; a second run writes nothing."""
    world = ImageWorld.of(25, parallelism=4)
    assert world.settle() == 4
    assert len(world.asked()) == world.writes == 25
    assert world.decide() == 0


def test_a_node_that_fails_holds_up_nobody() -> None:
    """It goes on trying; the others get their turns."""
    world = ImageWorld.of(5, parallelism=1)
    for _ in range(5):
        world.decide()
        world.agents(lambda name: "Failed" if name == "n00" else "Ready")
    assert len(world.asked()) == 5


def test_nobody_is_asked_who_is_not_heard_or_does_not_know_of_images() -> None:
    """A lost node gets its turn when it is back; one whose agent never said anything of images, when it does."""
    world = ImageWorld.of(4)
    world.lose("n01")
    world.held["n02"] = replace(world.held["n02"], speaks=False)
    del world.held["n03"]
    world.decide()
    assert world.asked() == ["n00"]
    world.nodes["n01"] = replace(world.nodes["n01"], alive=True)
    world.held["n02"] = replace(world.held["n02"], speaks=True)
    world.held["n03"] = Held("n03", "a", speaks=True)
    world.decide()
    assert world.asked() == ["n00", "n01", "n02", "n03"]


def test_a_node_with_disk_pressure_gets_no_turn() -> None:
    """Until it has room again; what it has it keeps, and a turn that it has already goes on."""
    world = ImageWorld.of(3, parallelism=1)
    world.decide()
    for name in ("n00", "n01"):
        world.nodes[name] = replace(world.nodes[name], pressed=True)
    world.settle()
    assert world.asked() == ["n00", "n02"]
    assert world.place(world.nodes["n00"], world.image).standing(world.image) is Standing.READY
    world.nodes["n01"] = replace(world.nodes["n01"], pressed=False)
    world.settle()
    assert world.asked() == ["n00", "n01", "n02"]


def test_a_node_that_is_lost_in_its_turn_gives_it_to_another() -> None:
    """Else a node that never comes back would hold the image up for ever."""
    world = ImageWorld.of(3, parallelism=1)
    world.decide()
    world.lose("n00")
    world.decide()
    assert world.asked() == ["n00", "n01"]


def test_an_edit_of_the_image_takes_turns_and_replaces() -> None:
    """Nodes whose turn has not come keep the image that they have."""
    world = ImageWorld.of(3, parallelism=1)
    world.settle()
    world.apply(image="web:2")
    world.decide()
    names = [held.entries[world.image.key].image for held in world.held.values()]
    assert names == ["docker.io/library/web:2", *["docker.io/library/web:1"] * 2]
    world.settle()
    assert {held.entries[world.image.key].image for held in world.held.values()} == {"docker.io/library/web:2"}


def test_an_edit_while_nodes_are_at_work_costs_no_further_turns() -> None:
    """What they fetch is of yesterday: they are told at once, and nobody besides."""
    world = ImageWorld.of(6, parallelism=2)
    world.decide()
    at_work = world.asked()
    world.apply(image="web:2")
    world.decide()
    assert world.asked() == at_work
    assert world.busy() == 2


REVISIONS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "another image": ({}, {"image": "web:2"}, True),
    "another spelling of the same": ({}, {"image": "docker.io/library/web:1"}, False),
    "refreshedAt": ({"pullPolicy": "Always"}, {"refreshedAt": "1"}, True),
    "Always from now on": ({}, {"pullPolicy": "Always"}, True),
    "no longer pinned": ({}, {"pin": False}, False),
    "another parallelism": ({}, {"parallelism": 3}, False),
    "another placement": ({}, {"placement": {"nodeSelector": {"a": "b"}}}, False),
}


@pytest.mark.parametrize("case", REVISIONS)
def test_what_has_nodes_fetch_it_once_more(case: str) -> None:
    """And what does not."""
    before, change, again = REVISIONS[case]
    world = ImageWorld.of(1, **before)
    revision = world.image.revision
    world.apply(**change)
    assert (world.image.revision != revision) is again


def test_a_pin_that_is_taken_off_needs_no_turn() -> None:
    """Every node is told at once, and pulls nothing by it."""
    world = ImageWorld.of(5, parallelism=1)
    world.settle()
    world.apply(pin=False)
    assert world.decide() == 5
    assert [held.entries[world.image.key].pin for held in world.held.values()] == [False] * 5
    assert world.busy() == 0


def test_a_deletion_and_a_placement_that_moves_on_take_it_off_the_nodes() -> None:
    """At once, without turns."""
    world = ImageWorld.of(3)
    world.settle()
    world.apply(placement={"nodeName": "n01"})
    world.decide()
    assert [name for name, held in world.held.items() if held.entries] == ["n01"]
    world.objects.clear()
    world.decide()
    assert not any(held.entries for held in world.held.values())


def test_placement_is_that_of_workloads() -> None:
    """Labels, taints and tolerations as for a Global workload; a cordon keeps no image away."""
    world = ImageWorld.of(0, placement={"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]})
    ssd = {"disk": "ssd"}
    world.nodes = {
        "plain": node("plain"),
        "fits": node("fits", labels=ssd),
        "gpu": node("gpu", labels=ssd, taints=("gpu=yes:NoSchedule",)),
        "tainted": node("tainted", labels=ssd, taints=("other=yes:NoExecute",)),
        "cordoned": node("cordoned", labels=ssd, unschedulable=True),
    }
    assert [place.node.name for place in world.places(world.image)] == ["fits", "gpu", "cordoned"]


def test_a_typing_error_does_not_take_the_image_away() -> None:
    """What is no reference is asked of nobody, and what nodes have stays."""
    world = ImageWorld.of(2)
    world.settle()
    world.apply(image="Not an image")
    assert world.decide() == 0
    assert world.image.invalid
    assert {held.entries[world.image.key].image for held in world.held.values()} == {"docker.io/library/web:1"}


def test_one_image_of_two_namespaces_is_two_entries() -> None:
    """Each namespace's own is kept apart: taking one away leaves the other."""
    world = ImageWorld.of(1)
    other = world.apply(namespace="other", pin=False)
    world.settle()
    assert set(world.held["n00"].entries) == {world.image.key, other}
    del world.objects[other]
    world.settle()
    assert set(world.held["n00"].entries) == {world.image.key}


def test_a_node_takes_only_so_many() -> None:
    """What it has stays, what comes then is told as failed, and comes in when there is room."""
    world = ImageWorld.of(1)
    world.objects.clear()
    for number in range(MOST_IMAGES):
        world.apply(f"image-{number:03}", image=f"image:{number}")
    world.settle()
    late = world.apply("late")
    world.settle()
    assert len(world.held["n00"].entries) == MOST_IMAGES
    image = world.find(late)
    assert image is not None
    assert [place.standing(image) for place in world.places(image)] == [Standing.FAILED]
    del world.objects[Key("default", "image-000")]
    world.settle()
    assert late in world.held["n00"].entries


def test_a_node_takes_only_so_much() -> None:
    """Long names do not make its object one that etcd refuses."""
    world = ImageWorld.of(1)
    world.objects.clear()
    secrets = [{"name": f"{n}-{'s' * 250}"} for n in range(MOST_PULL_SECRETS)]
    for number in range(MOST_IMAGES):
        path = "/".join(["a" * 60] * 3)
        image = f"host.example/{path}:{'t' * 125}{number:03}"
        world.apply("n" * 240 + f"-{number:03}", namespace="s" * 63, image=image, pullSecrets=secrets)
    world.settle()
    entries = world.held["n00"].entries.values()
    assert MOST_BYTES * 0.9 < len(json.dumps([e.to_json() for e in entries])) < MOST_BYTES * 1.1
    assert len(entries) < MOST_IMAGES


def test_secrets_that_change_are_told_without_a_turn() -> None:
    """Whoever fails for want of them tries at once; nobody else has anything to do."""
    world = ImageWorld.of(3, parallelism=1)
    world.settle()
    world.apply(pullSecrets=[{"name": "regcred"}])
    assert world.decide() == 3
    assert {held.entries[world.image.key].pull_secrets for held in world.held.values()} == {("regcred",)}
    assert world.busy() == 0


class Turns(RuleBasedStateMachine):
    """Whatever people, agents and nodes do, no turn is given beyond the parallelism, and in the end all have it."""

    @initialize(count=st.integers(1, 8), parallelism=st.sampled_from([1, 2, 5, "30%", "100%"]))
    def begin(self, count: int, parallelism: int | str) -> None:
        """Some nodes and an image."""
        self.world = ImageWorld.of(count, parallelism=parallelism)

    @rule()
    def decide(self) -> None:
        """The manager looks; no turn is given while so many are at work."""
        before, world = self.world.busy(), self.world
        places = world.places(world.image)
        most = limit(world.image, len(places))
        world.decide()
        assert world.busy() <= max(most, before)

    @rule(data=st.data(), state=st.sampled_from(["Pulling", "Ready", "Failed"]))
    def report(self, data: st.DataObject, state: str) -> None:
        """An agent says something."""
        asked = [name for name, held in self.world.held.items() if held.entries and self.world.nodes[name].alive]
        if asked:
            self.world.report(data.draw(st.sampled_from(asked)), state)

    @rule(image=st.sampled_from(["web:1", "web:2"]), pin=st.booleans())
    def edit(self, image: str, *, pin: bool) -> None:
        """Somebody edits the image."""
        self.world.apply(image=image, pin=pin)

    @rule(data=st.data(), alive=st.booleans())
    def node(self, data: st.DataObject, *, alive: bool) -> None:
        """A node is lost or is back."""
        name = data.draw(st.sampled_from(sorted(self.world.nodes)))
        self.world.nodes[name] = replace(self.world.nodes[name], alive=alive)

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def counts_agree(self) -> None:
        """Every node is counted once, and the status is made from whatever there is."""
        told = self.world.status()
        nodes = told["nodes"]
        assert nodes["ready"] + nodes["pulling"] + nodes["failed"] + nodes["removed"] <= nodes["wanted"]

    def teardown(self) -> None:
        """With all nodes back and agents at work, every node has it, and a second run writes nothing."""
        if hasattr(self, "world"):
            self.world.nodes = {name: replace(found, alive=True) for name, found in self.world.nodes.items()}
            self.world.settle()
            assert sorted(self.world.asked()) == sorted(self.world.nodes)
            assert self.world.status()["conditions"][0]["status"] == "True"
            assert self.world.decide() == 0


TestTurns = Turns.TestCase


@given(count=st.integers(1, 30), parallelism=st.one_of(st.integers(1, 40), st.sampled_from(["1%", "50%", "100%"])))
def test_at_no_moment_more_than_parallelism_are_at_work(count: int, parallelism: int | str) -> None:
    """Over the whole way, for fleets and limits of any size."""
    world = ImageWorld.of(count, parallelism=parallelism)
    most = limit(world.image, count)
    assert world.settle(rounds=2 * count + 2) <= most
    assert len(world.asked()) == count
