"""The plan for an instance with volumes: there before the first container, gone after the last."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent.decide.observation import Desired, ImageView, Missing, Observation, Pull, VolumeTrouble
from controller.agent.decide.payload import File
from controller.agent.decide.plan import plan
from controller.agent.decide.volumes.wanted import Files, wanted
from controller.api.podsecurity.levels import BASELINE
from controller.api.reasons import Reason
from controller.runtime.port import Phase
from tests.unit.agent.values import HERE, NOW, PRESENT, container, deleted, desired, kinds, seen, state

CREATED, RUNNING, EXITED = Phase.CREATED, Phase.RUNNING, Phase.EXITED
DATA = {"name": "data", "emptyDir": {}}
MOUNT = {"name": "data", "mountPath": "/data"}
SPEC: dict[str, Any] = {"volumes": [DATA, {"name": "unused", "emptyDir": {}}]}
ONE = desired(container(volumeMounts=[MOUNT]), **SPEC)
TWO = desired(container(volumeMounts=[MOUNT]), container("side"), **SPEC)
HOST = desired(container(volumeMounts=[MOUNT]), volumes=[{"name": "data", "hostPath": {"path": "/srv"}}])
NONE = desired(container(), **SPEC)
GONE = deleted(container(volumeMounts=[MOUNT]), **SPEC)
OLD = "older"
THERE = {volume.id: volume.state for volume in wanted(ONE.instance.spec)}
KNOWN = dict.fromkeys(THERE, "")
OTHER = {"emptyDir~other~00000000": "x"}


def failed(count: int = 1, *, removing: bool = False) -> VolumeTrouble:
    """A failed try just now."""
    return VolumeTrouble("no", NOW, count, removing=removing)


def planned(wanted_: Desired, observation: Observation) -> tuple[str, float | None, str]:
    """Actions in short, seconds until the next look, and the first container's reason."""
    result = plan(wanted_, observation, NOW)
    reason = next((v.reason.value for v in result.verdicts.values()), "")
    return kinds(result.actions), None if result.wake_at is None else round(result.wake_at - NOW, 3), reason


@pytest.mark.parametrize(
    ("sentence", "of", "observation", "then"),
    [
        ("what nobody mounts is not made", NONE, seen(), ("Create main/0, Start main", None, "ContainerCreating")),
        ("volumes come first", ONE, seen(), ("MakeVolumes data", None, "ContainerCreating")),
        ("all wait for them", TWO, seen(), ("MakeVolumes data", None, "ContainerCreating")),
        ("then containers", ONE, seen(volumes=THERE), ("Create main/0, Start main", None, "ContainerCreating")),
        ("a new agent asks for them once", ONE, seen(state(ONE), volumes=KNOWN), ("MakeVolumes data", None, "Running")),
        ("a restart keeps them", ONE, seen(state(ONE, EXITED), volumes=THERE), ("Create main/1, Start main", None, None)),
        ("a restart waits for them", ONE, seen(state(ONE, EXITED), volumes=KNOWN), ("MakeVolumes data", None, None)),
        ("a made container waits, too", ONE, seen(state(ONE, CREATED), volumes=KNOWN), ("MakeVolumes data", None, None)),
        ("a failure is told, and waited for", ONE, seen(volume_trouble=failed()), ("", 1, "FailedMount")),
        ("the pauses double", ONE, seen(volume_trouble=failed(3)), ("", 4, "FailedMount")),
        (
            "then tried again",
            ONE,
            seen(volume_trouble=VolumeTrouble("no", NOW - 2, 1)),
            ("MakeVolumes data", None, "FailedMount"),
        ),
        ("what runs does not care", ONE, seen(state(ONE), volumes=KNOWN, volume_trouble=failed()), ("", 1, "Running")),
        (
            "an older container runs until they are there",
            ONE,
            seen(state(ONE, spec_hash=OLD)),
            ("MakeVolumes data", None, None),
        ),
        ("it is stopped when they are", ONE, seen(state(ONE, spec_hash=OLD), volumes=THERE), ("Stop main-0", None, "Updating")),
        (
            "what left the spec stays while an older container may use it",
            ONE,
            seen(state(ONE, spec_hash=OLD), volumes=THERE | OTHER),
            ("Stop main-0", None, "Updating"),
        ),
        ("and goes then", ONE, seen(state(ONE), volumes=THERE | OTHER), ("RemoveVolumes other", None, "Running")),
        (
            "its removal is tried again",
            ONE,
            seen(state(ONE), volumes=THERE | OTHER, volume_trouble=failed(removing=True)),
            ("", 1, "Running"),
        ),
        (
            "nothing is made on the node for what Pod Security refuses",
            HOST,
            replace(seen(), pod_security=BASELINE),
            ("", None, "PodSecurity"),
        ),
        (
            "containers go before their volumes",
            GONE,
            seen(state(GONE, EXITED), volumes=THERE, volumes_there=True),
            ("Remove main-0", None, ""),
        ),
        ("volumes go last", GONE, seen(volumes=THERE, volumes_there=True), ("RemoveVolumes all", None, "")),
        ("also unknown ones", GONE, seen(volumes_there=True), ("RemoveVolumes all", None, "")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_volumes(sentence: str, of: Desired, observation: Observation, then: tuple[str, float | None, str | None]) -> None:
    """Volumes are there before a container is made, and stay until none can use them."""
    actions, wake, reason = planned(of, observation)
    assert (actions, wake) == then[:2], sentence
    assert then[2] is None or reason == then[2], sentence


ART = "example.com/art:latest"
WITH_IMAGE = desired(container(volumeMounts=[MOUNT]), volumes=[{"name": "data", "image": {"reference": ART}}])
NEVER = desired(container(volumeMounts=[MOUNT]), volumes=[{"name": "data", "image": {"reference": ART, "pullPolicy": "Never"}}])
HELD = {volume.id: volume.state for volume in wanted(WITH_IMAGE.instance.spec)}
THE_IMAGE = replace(PRESENT, name=ART)
BOTH = {**HERE, ART: ImageView(THE_IMAGE)}
PULLED = {"volume data": next(iter(HELD))}


@pytest.mark.parametrize(
    ("sentence", "of", "observation", "then"),
    [
        ("it is pulled first", WITH_IMAGE, seen(), (f"Pull {ART}", None, "Pulling")),
        ("latest is asked for", WITH_IMAGE, seen(images=BOTH), (f"Pull {ART}", None, "Pulling")),
        ("once", WITH_IMAGE, seen(images=BOTH, pulled=PULLED), ("MakeVolumes data", None, "ContainerCreating")),
        ("then it is held", WITH_IMAGE, seen(volumes=HELD), ("Create main/0, Start main", None, "ContainerCreating")),
        (
            "by a new agent, too, without a registry",
            WITH_IMAGE,
            seen(state(WITH_IMAGE, EXITED), volumes=dict.fromkeys(HELD, "")),
            ("MakeVolumes data", None, "ContainerCreating"),
        ),
        ("Never: it is not there", NEVER, seen(), ("", None, "ErrImageNeverPull")),
        ("Never: it is", NEVER, seen(images=BOTH), ("MakeVolumes data", None, "ContainerCreating")),
        (
            "a failed pull is told as a container's",
            WITH_IMAGE,
            seen(images={**HERE, ART: ImageView(None, Pull(False, Reason.ERR_IMAGE_PULL, "no", NOW + 3))}),
            ("", 3, "ErrImagePull"),
        ),
        (
            "a name that is none is final",
            WITH_IMAGE,
            seen(images={**HERE, ART: ImageView(None, Pull(False, Reason.INVALID_IMAGE_NAME, "no", terminal=True))}),
            ("", None, "InvalidImageName"),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_image_volumes(sentence: str, of: Desired, observation: Observation, then: tuple[str, float | None, str]) -> None:
    """The image of a volume is had as a container's, by its pullPolicy; what is held needs no registry any more."""
    assert planned(of, observation) == then, sentence


def test_an_image_volume_that_cannot_be_is_final() -> None:
    """As is a container's image."""
    told = plan(NEVER, seen(), NOW).verdicts["main"]
    assert told.terminal
    assert told.message == f"volume 'data': image '{ART}' is not on the node, and pullPolicy is Never"


MAP = [{"name": "data", "configMap": {"name": "settings"}}]
OF_VALUES = desired(container(volumeMounts=[MOUNT]), volumes=MAP)
(ID,) = (volume.id for volume in wanted(OF_VALUES.instance.spec))
NEW = {"data": Files({"a": File(b"1", 0o644)})}
(STATE,) = (volume.state for volume in wanted(OF_VALUES.instance.spec, NEW))
LACKS = {"data": Missing('configmap "settings" not found')}
WAITS = {"data": Missing("", pending=True)}


@pytest.mark.parametrize(
    ("sentence", "observation", "then"),
    [
        ("it is made of what there is", seen(contents=NEW), ("MakeVolumes data", None, "ContainerCreating")),
        ("and is there", seen(contents=NEW, volumes={ID: STATE}), ("Create main/0, Start main", None, "ContainerCreating")),
        ("what is missing is waited for", seen(contents=LACKS), ("", None, "FailedMount")),
        ("what is being read is not told", seen(contents=WAITS), ("", None, "ContainerCreating")),
        (
            "a change is written while the container runs",
            seen(state(OF_VALUES), contents=NEW, volumes={ID: "older"}),
            ("MakeVolumes data", None, "Running"),
        ),
        ("what is the same is not", seen(state(OF_VALUES), contents=NEW, volumes={ID: STATE}), ("", None, "Running")),
        (
            "what went takes nothing from what runs",
            seen(state(OF_VALUES), contents=LACKS, volumes={ID: STATE}),
            ("", None, "Running"),
        ),
        (
            "nor from a restart",
            seen(state(OF_VALUES, EXITED), contents=LACKS, volumes={ID: STATE}),
            ("Create main/1, Start main", None, "ContainerCreating"),
        ),
        (
            "a new agent looks whether it is there",
            seen(state(OF_VALUES, EXITED), contents=LACKS, volumes={ID: ""}),
            ("MakeVolumes data", None, "ContainerCreating"),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_volumes_of_values(sentence: str, observation: Observation, then: tuple[str, float | None, str]) -> None:
    """Files follow what they are made from; without that, a volume is not made, and one that is there stays as it is."""
    assert planned(OF_VALUES, observation) == then, sentence


def test_what_is_missing_is_told_in_the_kubelets_words() -> None:
    """In an Event as well, once for the instance."""
    told = plan(OF_VALUES, seen(contents=LACKS), NOW).verdicts["main"]
    assert told.message == 'MountVolume.SetUp failed for volume "data" : configmap "settings" not found'
    assert told.missing
    assert told.told("main", told.message) == told.message


def test_no_content_is_shown() -> None:
    """Neither by a value that is printed, nor by the state of a volume."""
    secret = desired(container(volumeMounts=[MOUNT]), volumes=[{"name": "data", "secret": {"secretName": "s"}}])
    contents = {"data": Files({"a": File(b"lovelace", 0o600)})}
    found = plan(secret, seen(contents=contents), NOW)
    assert kinds(found.actions) == "MakeVolumes data"
    assert "lovelace" not in repr((found, contents, wanted(secret.instance.spec, contents)[0].state))


def test_an_instance_is_gone_when_its_volumes_are() -> None:
    """The finalizer stays while there may be anything of a volume on the node."""
    assert not plan(GONE, seen(volumes_there=True), NOW).torn_down
    assert plan(GONE, seen(), NOW).torn_down


def test_the_message_says_which_volume() -> None:
    """What is told of a container that waits is what kept its volumes from being made."""
    told = plan(ONE, seen(volume_trouble=failed()), NOW).verdicts["main"]
    assert told.message == "no"
    assert not told.terminal
