"""Damaged images: what makes them suspicious, what is told, and how instances come up again by themselves."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from controller.agent.decide import damage
from controller.agent.decide.damage import Found
from controller.runtime.memory import MemoryRuntime
from controller.runtime.port import (
    CommandFailure,
    ContainerState,
    Damage,
    DamageKind,
    ImageFailure,
    ImageState,
    InvalidConfig,
    NotFound,
    Phase,
    RuntimeFailure,
    StartFailure,
    Unavailable,
)
from tests.unit.agent import rig as rigs
from tests.unit.agent.api import Object
from tests.unit.agent.clock import until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.values import container

FILE = Damage(DamageKind.FILE, "sha256:1", "file /bin/app is 0 bytes long in place of 9 (layer sha256:2)")


@pytest.mark.parametrize(
    ("failure", "wanted"),
    [
        (NotFound("image x went away while a container was made from it"), True),
        (ImageFailure("image x: sha256:1 is not JSON"), True),
        (CommandFailure("command 'app' not found in PATH"), True),
        (CommandFailure("command '/app' is not for this node's architecture"), True),
        (StartFailure("the root file system cannot be mounted: no such file or directory"), True),
        (StartFailure("open /etc/passwd: input/output error"), True),
        (InvalidConfig("the image has no user 'app'"), True),
        (StartFailure("memory limit of 1 bytes is too low: 2 are in use before the command even runs"), False),
        (InvalidConfig("the node has no runtime handler 'x'"), False),
        (CommandFailure("permission denied: '/app' is not executable for this user"), False),
        (Unavailable("containerd is not available"), False),
        (RuntimeFailure("no such file or directory"), False),
        (OSError("no such file or directory"), False),
    ],
)
def test_what_a_damaged_image_can_be_the_cause_of(failure: Exception, wanted: bool) -> None:  # noqa: FBT001
    """What says of itself that it is something else is not looked into."""
    assert damage.suspicious(failure) is wanted


@pytest.mark.parametrize(
    ("code", "seconds", "wanted"),
    [
        (255, 0.1, True),
        (127, 1.0, True),
        (135, 9.0, True),
        (139, 11.0, False),
        (1, 0.1, False),
        (0, 0.1, False),
        (137, 0.1, False),
    ],
)
def test_which_ends_are_looked_into(code: int, seconds: float, wanted: bool) -> None:  # noqa: FBT001
    """Those of programs that cannot be executed or read, and soon."""
    state = ContainerState("c", Phase.EXITED, {}, started_at=100.0, exited_at=100.0 + seconds, exit_code=code)
    assert damage.suspicious_end(state) is wanted
    assert not damage.suspicious_end(replace(state, phase=Phase.RUNNING))
    assert not damage.suspicious_end(replace(state, exited_at=None))


def test_a_row_grows_while_fetching_does_not_help() -> None:
    """The first time it is fetched at once; then after pauses that double, up to five minutes. An hour later it begins anew."""
    found = Found(ImageState("x:1", "sha256:3"), "file /bin/app is missing", at=1000.0)
    assert damage.row(None, 1000.0) == 1
    assert found.retry_at == 0.0
    pauses = []
    for _ in range(8):
        found = replace(found, row=damage.row(found, found.at + 60.0), at=found.at + 60.0)
        pauses.append(found.retry_at - found.at)
    assert pauses == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
    assert damage.row(found, found.at + damage.ROW_SECONDS) == 1


@pytest.mark.parametrize(
    ("found", "policy", "words"),
    [
        ({}, "Always", "image x:1 on this node is damaged: file /bin/app is missing; it is fetched again"),
        ({}, "Never", "it is not used any more, and with imagePullPolicy Never somebody has to bring it anew"),
        ({"row": 2, "at": 5.0}, "Always", "for the 2. time in a row: does the node's disk fail?"),
        ({"row": 2, "at": 5.0}, "Always", "it is fetched again in 10 s"),
        ({"kept_by": "c1 uses it"}, "Always", "it stays for now, since c1 uses it"),
    ],
)
def test_what_an_instance_is_told(found: dict[str, object], policy: str, words: str) -> None:
    """One sentence: what is damaged, and what becomes of it."""
    values = {"image": ImageState("x:1", "sha256:3"), "what": "file /bin/app is missing"} | found
    assert words in damage.told(Found(**values), policy)  # type: ignore[arg-type]


def test_much_damage_is_told_in_few_words() -> None:
    """The first, and how many more there are."""
    assert damage.summary([FILE]) == FILE.message
    assert damage.summary([FILE, FILE, FILE]).endswith(" (and 2 more)")


# --- in the agent


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def app(**fields: Any) -> Object:
    """A container of the image that the registry has."""
    return container(image=IMAGE, **fields)


def told(rig: Rig) -> list[str]:
    """Messages of the Events that tell of a damaged image."""
    events = [o for (plural, _, _), o in rig.api.objects.items() if plural == "events"]
    return [event["message"] for event in events if event["reason"] == "ImageDamaged"]


def message(rig: Rig) -> str:
    """Of the instance's Ready condition in the API."""
    return str((rig.api.instance("web") or {})["status"]["conditions"][0]["message"])


def counted() -> float:
    """Images that were found damaged so far."""
    return REGISTRY.get_sample_value("moorage_agent_images_damaged_total") or 0.0


@pytest.mark.parametrize("what", [DamageKind.FILE, DamageKind.SNAPSHOT])
async def test_an_instance_with_a_damaged_image_comes_up_by_itself(rig: Rig, what: DamageKind) -> None:
    """Whether its program cannot be executed or its files cannot be mounted."""
    before = counted()
    await MemoryRuntime(rig.node).pull(IMAGE)
    rig.node.damage_image(IMAGE, what)
    rig.apply(app(imagePullPolicy="IfNotPresent"))
    await rig.settle()
    assert rig.node.damage == {}
    await until(lambda: told(rig))
    assert "it is fetched again" in told(rig)[0]
    assert counted() == before + 1


async def test_what_fails_by_itself_is_read_once(rig: Rig) -> None:
    """A command that the image does not have: the image is whole, and is not read at each try."""
    reads = []
    real = rig.runtime.verify

    async def verify(reference: str) -> tuple[Damage, ...]:
        reads.append(reference)
        return await real(reference)

    rig.runtime.verify = verify  # type: ignore[method-assign]
    rig.apply(app(command=["nosuch"], imagePullPolicy="IfNotPresent"))
    await until(lambda: rig.reason() == "ContainerCannotRun" and len(rig.runtime.started) > 2)
    assert reads == [IMAGE]
    assert told(rig) == []


async def test_an_image_that_may_not_be_fetched(rig: Rig) -> None:
    """It is told why it is not used, until somebody brings it."""
    await MemoryRuntime(rig.node).pull(IMAGE)
    rig.node.damage_image(IMAGE)
    rig.apply(app(imagePullPolicy="Never"))
    await rig.settle("ErrImageNeverPull")
    assert "damaged" in message(rig)
    await MemoryRuntime(rig.node).pull(IMAGE)
    await rig.settle()


async def test_an_image_that_cannot_be_fetched(rig: Rig) -> None:
    """The registry is away: both are told, and it is tried again."""
    await MemoryRuntime(rig.node).pull(IMAGE)
    rig.node.damage_image(IMAGE)
    known = dict(rig.node.registry)
    rig.node.registry.clear()
    rig.apply(app(imagePullPolicy="IfNotPresent"))
    await until(lambda: rig.reason() == "RegistryUnavailable")
    assert "damaged" in message(rig)
    rig.node.registry.update(known)
    await rig.settle()


async def test_one_that_is_damaged_each_time_is_not_fetched_at_full_speed(rig: Rig) -> None:
    """Fetching has not helped, so there are pauses, and it is told."""
    await MemoryRuntime(rig.node).pull(IMAGE)
    rig.node.damage_image(IMAGE)
    pulled = 0
    real = rig.runtime.pull

    async def pull(*args: object, **more: object) -> ImageState:
        nonlocal pulled
        image = await real(*args, **more)  # type: ignore[arg-type]
        pulled += 1
        rig.node.damage_image(IMAGE)
        return image

    rig.runtime.pull = pull  # type: ignore[method-assign]
    rig.apply(app(imagePullPolicy="IfNotPresent"))
    await asyncio.sleep(120)
    assert 2 <= pulled <= 5
    assert any("in a row" in event for event in told(rig))


async def test_a_neighbour_runs_on(rig: Rig) -> None:
    """What is damaged stays under it; the other waits for its end, and is told so."""
    rig.apply(app(imagePullPolicy="IfNotPresent"), name="neighbour")
    await rig.settle(name="neighbour")
    rig.node.damage_image(IMAGE)
    rig.apply(app(imagePullPolicy="IfNotPresent"))
    await until(lambda: rig.reason() in {"ErrImagePull", "ImagePullBackOff"} and "is used by" in message(rig))
    assert rig.reason("neighbour") == "Running"
    rig.api.delete("neighbour")
    await rig.settle()


async def test_a_blob_alone_is_fetched_under_what_runs(rig: Rig) -> None:
    """Found beside a failure that has another cause."""
    await MemoryRuntime(rig.node).pull(IMAGE)
    rig.node.damage_image(IMAGE, DamageKind.BLOB)
    rig.apply(app(command=["nosuch"], imagePullPolicy="IfNotPresent"))
    await until(lambda: rig.node.damage == {})
    await until(lambda: told(rig))
