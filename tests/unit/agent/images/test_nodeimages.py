"""The images that ContainerImages want on a node: fetched, kept, told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.agent.decide.nodeimages import Finding, find, summarize
from controller.agent.decide.observation import ImageView, Pull
from controller.agent.nodeimages.keeper import WATCHER
from controller.agent.nodeimages.wanted import Wanted
from controller.agent.nodeimages.writer import CHANGE_SECONDS, PROGRESS_SECONDS
from controller.agent.sources.port import Unread
from controller.api.nodeimages import MOST_MESSAGE
from controller.api.reasons import Reason
from controller.kube.errors import ApiForbidden, ApiInvalid
from controller.runtime.memory import MemoryImage, MemoryRuntime
from controller.runtime.port import ImageState
from tests.unit.agent.clock import until
from tests.unit.agent.images.nodeimages import DATABASE, GONE, PRIVATE, STATUS, TEAM, WEB, Rig, entry, regcred
from tests.unit.agent.sources import secret

PRESENT = ImageState(WEB, "sha256:abc", 7)
LATER = 2e9
FAILED = Pull(running=False, reason=Reason.ERR_IMAGE_PULL, message="no such tag", retry_at=LATER)


ALWAYS = {"pullPolicy": "Always"}
LOOSE = {"pin": False}

FINDINGS: dict[str, tuple[dict[str, Any], ImageView, bool, tuple[str, bool]]] = {
    "it is there": ({}, ImageView(PRESENT), False, ("Ready", False)),
    "it is missing": ({}, ImageView(), False, ("Pulling", True)),
    "it is there, and the registry is to be asked": (ALWAYS, ImageView(PRESENT), False, ("Pulling", True)),
    "it is there, and the registry was asked": (ALWAYS, ImageView(PRESENT), True, ("Ready", False)),
    "it was removed by hand, and is pinned": ({}, ImageView(), True, ("Pulling", True)),
    "it was removed, and is not pinned": (LOOSE, ImageView(), True, ("Removed", False)),
    "it is not pinned, and never was there": (LOOSE, ImageView(), False, ("Pulling", True)),
    "somebody pulls it": ({}, ImageView(None, Pull(running=True)), False, ("Pulling", True)),
    "its pull failed just now": ({}, ImageView(None, FAILED), False, ("Failed", False)),
    "its pull failed, and the pause is over": (
        {},
        ImageView(None, Pull(running=False, reason=Reason.ERR_IMAGE_PULL, retry_at=1.0)),
        False,
        ("Failed", True),
    ),
    "it is tried again after a failure": (
        {},
        ImageView(None, Pull(running=True, reason=Reason.IMAGE_PULL_BACK_OFF)),
        False,
        ("Failed", True),
    ),
    "it is there, and the registry does not answer": (ALWAYS, ImageView(PRESENT, FAILED), False, ("Failed", False)),
    "it is there, and a later pull of somebody failed": ({}, ImageView(PRESENT, FAILED), False, ("Ready", False)),
    "it can never be pulled": (
        {},
        ImageView(None, Pull(running=False, reason=Reason.INVALID_IMAGE_NAME, terminal=True)),
        False,
        ("Failed", False),
    ),
}


@pytest.mark.parametrize("case", FINDINGS)
def test_what_is_found_and_what_follows(case: str) -> None:
    """State, and whether it is pulled."""
    wanted, view, had, expected = FINDINGS[case]
    finding = find(entry(**wanted), view, 1000.0, had=had)
    assert (finding.status.state, finding.fetch) == expected
    assert finding.had is (had or finding.status.state == "Ready")
    assert finding.wake_at == (LATER if view.pull is FAILED and finding.status.state == "Failed" else None)


def test_what_is_told_of_a_failure_is_bounded() -> None:
    """What a registry answers may be long."""
    pull = Pull(running=False, reason=Reason.ERR_IMAGE_PULL, message="x" * 9999, retry_at=LATER)
    assert len(find(entry(), ImageView(None, pull), 1000.0, had=False).status.message) == MOST_MESSAGE


def verdict(*findings: Finding) -> tuple[str, str, str, int]:
    """Ready of the whole: its status and reason, and what of it is told."""
    told = summarize(findings, 3, 1000.0)
    return told.conditions[0].status, told.conditions[0].reason, told.ready, told.observed_generation


def test_the_whole_is_told_by_the_status_contract() -> None:
    """Settled with all there; a failure comes first; stalled when nothing else can come."""
    there = find(entry(), ImageView(PRESENT), 1000.0, had=False)
    missing = find(entry(DATABASE, "db"), ImageView(), 1000.0, had=False)
    failed = find(entry(DATABASE, "db"), ImageView(None, FAILED), 1000.0, had=False)
    invalid = find(entry(name="bad"), FINDINGS["it can never be pulled"][1], 1000.0, had=False)
    assert verdict() == ("True", "Pulled", "0/0", 3)
    assert verdict(there) == ("True", "Pulled", "1/1", 3)
    assert verdict(there, missing) == ("Unknown", "Pulling", "1/2", -1)
    assert verdict(there, missing, failed) == ("Unknown", "ErrImagePull", "1/3", -1)
    assert verdict(there, invalid) == ("False", "InvalidImageName", "1/2", 3)


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    await rig.stop()


async def test_what_is_missing_is_pulled_and_told(rig: Rig) -> None:
    """Two images of three ContainerImages: two pulls, and few writes."""
    await rig.want(entry(), entry(name="twin", revision="r2"), entry(DATABASE, "db"))
    await rig.until(web="Pulling", twin="Pulling", db="Pulling")
    await rig.until(web="Ready", twin="Ready", db="Ready")
    assert sorted(rig.runtime.pulls) == [DATABASE, WEB]
    told = rig.status["images"][0]
    assert (told["digest"], told["bytes"]) == (rig.node.images[WEB].digest, 7)
    assert (rig.status["ready"], rig.status["observedGeneration"]) == ("3/3", 1)
    assert rig.api.written(STATUS) == 2
    await asyncio.sleep(100)
    assert rig.api.written(STATUS) == 2


async def test_how_far_a_pull_is_is_told_every_two_seconds(rig: Rig) -> None:
    """And not more often, however often the runtime tells it; at the end nothing of it is left."""
    rig.runtime.parts = 100
    await rig.want(entry())
    await until(lambda: rig.status.get("images", [{}])[0].get("pull", {}).get("percent", 0) >= 50)
    pull = rig.status["images"][0]["pull"]
    assert (pull["image"], pull["bytesTotal"], pull["bytesPerSecond"]) == (WEB, 100_000, 1000)
    assert pull["bytesDone"] == 1000 * pull["percent"]
    assert rig.status["conditions"][0]["message"] == f"pulling {WEB}, {pull['percent']}% 1.0kB/s"
    await rig.until(web="Ready")
    assert "pull" not in rig.status["images"][0]
    assert 40 < rig.api.written(STATUS) <= 100 / PROGRESS_SECONDS + 2


async def test_what_people_wait_for_waits_for_no_pause_of_progress(rig: Rig) -> None:
    """That an image is ready is told as soon as it is, though it was told just before how far it is."""
    rig.runtime.parts = 3
    await rig.want(entry())
    await until(lambda: WEB in rig.node.images)
    assert await rig.until(web="Ready") <= CHANGE_SECONDS + 0.1


async def test_how_far_it_is_is_nobody_elses_affair(rig: Rig) -> None:
    """That a private image is being pulled is told to those alone who have the credentials."""
    rig.runtime.parts = 20
    rig.objects[secret("regcred")] = regcred(TEAM)
    await rig.want(entry(PRIVATE, pull_secrets=("regcred",)), entry(PRIVATE, "stranger", namespace="other"))
    await until(lambda: any("pull" in told for told in rig.status.get("images", [])))
    assert [told["name"] for told in rig.status["images"] if "pull" in told] == ["web"]


async def test_an_empty_list_is_told_too(rig: Rig) -> None:
    """So the manager knows that this agent knows of images."""
    await rig.want()
    await until(lambda: rig.status.get("conditions"))
    assert rig.status["ready"] == "0/0"


async def test_what_was_removed_by_hand_comes_back(rig: Rig) -> None:
    """A pinned one; another stays away until it is asked for anew."""
    await rig.want(entry(), entry(DATABASE, "db", pin=False))
    await rig.until(web="Ready", db="Ready")
    await rig.runtime.remove_image(WEB)
    await rig.runtime.remove_image(DATABASE)
    await rig.until(web="Pulling", db="Removed")
    await rig.until(web="Ready", db="Removed")
    await rig.want(entry(), entry(DATABASE, "db", pin=False, revision="r2"))
    await rig.until(web="Ready", db="Ready")


async def test_what_was_found_damaged_is_fetched_again(rig: Rig) -> None:
    """A pinned one, whoever has found it."""
    await rig.want(entry())
    await rig.until(web="Ready")
    rig.node.damage_image(WEB)
    found: list[str] = []
    assert rig.images.suspect(rig.node.images[WEB], lambda damage: found.append(damage.message if damage else ""))
    await rig.until(web="Pulling")
    assert "damaged" in found[0]
    await rig.until(web="Ready")
    assert rig.node.damage == {}


async def test_always_asks_the_registry_once_for_each_revision(rig: Rig) -> None:
    """Also over a restart of the agent, and not again when somebody else's revision changes."""
    await MemoryRuntime(rig.node).pull(WEB)
    await rig.want(entry(pull_policy="Always"))
    await rig.until(web="Ready")
    assert rig.runtime.pulls == [WEB]
    await asyncio.sleep(5)
    await rig.stop()
    rig.start()
    await rig.want(entry(pull_policy="Always"), entry(name="other"))
    await rig.until(web="Ready", other="Ready")
    assert rig.runtime.pulls == []
    await rig.want(entry(pull_policy="Always", revision="r2"), entry(name="other"))
    await rig.until(web="Pulling", other="Ready")
    await rig.until(web="Ready", other="Ready")
    assert rig.runtime.pulls == [WEB]


async def test_pins_hold_without_an_api_server(rig: Rig) -> None:
    """A new agent knows them from the disk, and goes on fetching; one that knows nothing says so."""
    assert rig.keeper.pinned() is None
    await rig.want(entry(), entry(DATABASE, "db", pin=False))
    assert rig.keeper.pinned() == frozenset({WEB})
    await asyncio.sleep(5)
    await rig.stop()
    rig.api.down = True
    rig.start()
    assert rig.keeper.pinned() == frozenset({WEB})
    await until(lambda: WEB in rig.node.images)
    rig.api.down = False


async def test_an_object_that_vanished_takes_no_pin_away(rig: Rig) -> None:
    """The manager makes another one; what that says holds."""
    await rig.want(entry())
    rig.keeper.seen(None)
    assert rig.keeper.pinned() == frozenset({WEB})
    await rig.want(entry(DATABASE, "db"), uid="u2")
    assert rig.keeper.pinned() == frozenset({DATABASE})
    await rig.until(db="Ready")


async def test_what_is_no_longer_wanted_stays_on_the_node_and_is_pinned_no_more(rig: Rig) -> None:
    """Whether it goes is a question of room."""
    await rig.want(entry())
    await rig.until(web="Ready")
    await rig.want()
    await rig.until()
    assert rig.keeper.pinned() == frozenset()
    assert WEB in rig.node.images


async def test_a_failure_is_told_with_its_reason_and_tried_again(rig: Rig) -> None:
    """Since when it fails stays; when it comes after all, that is told."""
    await rig.want(entry(GONE, "gone"), entry())
    await rig.until(gone="Failed", web="Ready")
    told = rig.status["images"][0]
    assert told["reason"] in {"ErrImagePull", "ImagePullBackOff"}
    assert "none" in told["message"]
    assert rig.status["conditions"][0]["reason"] == told["reason"]
    await asyncio.sleep(200)
    assert rig.status["images"][0]["since"] == told["since"]
    rig.node.registry[GONE] = MemoryImage(GONE)
    await until(lambda: rig.states() == {"gone": "Ready", "web": "Ready"}, 200)


async def test_one_pull_is_left_to_instances(rig: Rig) -> None:
    """Ten images that are to be there early do not keep an instance waiting that needs one now."""
    for number in range(10):
        rig.node.registry[f"registry.test/{number}:1"] = MemoryImage(f"registry.test/{number}:1")
    await rig.want(*(entry(f"registry.test/{n}:1", f"i{n}") for n in range(10)))
    await until(lambda: len(rig.node.images) == 10, 100)
    assert rig.runtime.most_at_once == 2


async def test_writes_in_a_row_keep_their_distance(rig: Rig) -> None:
    """A longer one each time, whatever changes meanwhile: the sixth comes after five seconds. After a rest, soon again."""
    counts: list[int] = []
    for number in range(60):
        await rig.want(*(entry(name=f"i{n}") for n in range(number)))
        await asyncio.sleep(0.1)
        counts.append(rig.api.written(STATUS))
    assert counts[0] == 1
    assert 5 <= counts[-1] <= 6
    await asyncio.sleep(20)
    assert rig.status["ready"] == "59/59"
    await rig.want(entry(name="one"))
    assert await rig.until(one="Ready") <= CHANGE_SECONDS


async def test_a_refusal_is_not_the_end(rig: Rig) -> None:
    """A right may be given later, and an API server come back: both are asked again. What is invalid is not sent again."""
    rig.api.refusal = ApiForbidden("not today")
    await rig.want(entry())
    await asyncio.sleep(20)
    assert rig.states() == {}
    rig.api.refusal = None
    assert await rig.until(web="Ready") < 15
    rig.api.refusal = ApiInvalid("what is that")
    await rig.want(entry(), entry(DATABASE, "db"))
    await asyncio.sleep(20)
    rig.api.refusal = None
    await asyncio.sleep(20)
    assert rig.states() == {"web": "Ready"}
    await rig.want(entry(DATABASE, "db"))
    await rig.until(db="Ready")
    rig.api.down = True
    await rig.want(entry())
    await asyncio.sleep(60)
    rig.api.down = False
    assert await rig.until(web="Ready") < 15


async def test_a_runtime_that_is_away_is_waited_for(rig: Rig) -> None:
    """Nothing is told of images that nobody can see; when it is back, the view wakes the keeper."""
    rig.node.stop_answering()
    await rig.want(entry())
    await asyncio.sleep(30)
    assert rig.states() == {}
    rig.node.answer_again()
    rig.images.doubt()
    rig.keeper.wake()
    await rig.until(web="Ready")


async def test_a_private_image_is_pulled_by_the_secrets_of_its_own_namespace(rig: Rig) -> None:
    """Another namespace hears nothing of it, though it is there; a Secret that comes is taken at once."""
    rig.objects[secret("regcred")] = regcred(TEAM)
    mine, wrong = entry(PRIVATE, pull_secrets=("regcred",)), entry(PRIVATE, "wrong", namespace="other", pull_secrets=("late",))
    stranger = entry(PRIVATE, "stranger", namespace="other")
    await rig.want(mine, stranger, wrong)
    await rig.until(web="Ready", stranger="Failed", wrong="Failed")
    assert rig.sources.followed == {WATCHER: {secret("regcred"), secret("late", "other")}}
    told = {status["name"]: status for status in rig.status["images"]}
    assert told["web"]["digest"]
    assert not told["stranger"]["digest"]
    assert 'secret "late" not found' in told["wrong"]["message"]
    rig.sources.change(secret("late", "other"), regcred(TEAM))
    assert await rig.until(web="Ready", stranger="Failed", wrong="Ready") < 15
    assert "hidden" not in str(rig.api.objects)
    await rig.want()
    await rig.until()
    assert rig.sources.followed == {}


async def test_a_secret_that_is_just_being_read_is_waited_for(rig: Rig) -> None:
    """No pull without it is tried, which would be refused."""
    rig.objects[secret("regcred")] = Unread()
    await rig.want(entry(PRIVATE, pull_secrets=("regcred",)))
    await rig.until(web="Pulling")
    assert rig.runtime.pulls == []
    rig.sources.change(secret("regcred"), regcred(TEAM))
    await rig.until(web="Ready")
    assert rig.runtime.pulls == [PRIVATE]


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And then nothing is known, which is not the same as nothing being pinned."""
    path = tmp_path / "nodeimages.json"
    path.write_text('{"images": [{"name": 1}]}')
    wanted = Wanted(path)
    wanted.load()
    assert not wanted.known
    assert str(path) in caplog.text
