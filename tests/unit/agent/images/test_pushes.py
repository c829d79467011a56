"""Pushes of a node's images: once, by the Secrets that are named for it and by no others, and again after a pause."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.api.nodeimages import NodeImage
from controller.runtime.memory import MemoryRuntime
from controller.runtime.port import Credential, RegistryUnreachable
from tests.private import docker_config
from tests.unit.agent.clock import until
from tests.unit.agent.images.nodeimages import PRIVATE, STATUS, TEAM, WEB, Rig, entry, regcred
from tests.unit.agent.sources import secret

OPEN = "registry.test/open:1"
WRONG = Credential("team", "mistaken")


def pushing(*targets: str, secrets: tuple[str, ...] = (), **more: Any) -> NodeImage:
    """What a node is asked for that is to push an image."""
    return entry(push=[{"image": target, "secrets": list(secrets)} for target in targets], **more)


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    await rig.stop()


def pushes(rig: Rig) -> dict[str, str]:
    """How far each push of the first image is told to be."""
    told = rig.status.get("images") or [{}]
    return {push["image"]: push["state"] for push in told[0].get("pushes", [])}


async def told(rig: Rig, **states: str) -> list[dict[str, Any]]:
    """The pushes of the first image, once they are told as being in these states, in their order."""
    await until(lambda: list(pushes(rig).values()) == list(states.values()), 200)
    return list(rig.status["images"][0]["pushes"])


async def test_an_image_is_pushed_when_it_is_there(rig: Rig) -> None:
    """Not before; and once, whatever else happens. The digest at the registry is told."""
    await rig.want(pushing(OPEN))
    await rig.until(web="Pulling")
    assert rig.runtime.pushes == []
    (push,) = await told(rig, it="Pushed")
    assert push["digest"] == push["source"] == rig.node.images[WEB].digest == rig.node.registry[OPEN].digest
    writes = rig.api.written(STATUS)
    for _ in range(5):
        rig.keeper.wake()
        await asyncio.sleep(5)
    await rig.want(pushing(OPEN), entry(name="other"))
    await rig.until(web="Ready", other="Ready")
    assert rig.runtime.pushes == [(OPEN, "")]
    assert rig.api.written(STATUS) == writes + 1


async def test_the_next_agent_does_not_push_it_again(rig: Rig) -> None:
    """It is on the disk, until nobody asks for it any more, or for another revision."""
    await rig.want(pushing(OPEN))
    before = await told(rig, it="Pushed")
    await asyncio.sleep(5)
    await rig.stop()
    rig.start()
    await rig.want(pushing(OPEN))
    await asyncio.sleep(20)
    assert (rig.runtime.pushes, rig.status["images"][0]["pushes"]) == ([], before)
    await rig.want(pushing(OPEN, revision="r2"))
    await until(lambda: rig.runtime.pushes == [(OPEN, "")])
    await told(rig, it="Pushed")
    await rig.want(entry())
    await rig.want(pushing(OPEN))
    await until(lambda: rig.runtime.pushes == [(OPEN, "")] * 2)


async def test_what_the_name_stands_for_anew_is_pushed(rig: Rig) -> None:
    """The digest is another one."""
    await rig.want(pushing(OPEN))
    await told(rig, it="Pushed")
    old = rig.node.images[WEB]
    rig.node.name(WEB, await MemoryRuntime(rig.node).pull(PRIVATE, credential=TEAM))
    await until(lambda: rig.status["images"][0]["pushes"][0]["source"] != old.digest)
    await told(rig, it="Pushed")
    assert len(rig.runtime.pushes) == 2


async def test_only_the_secrets_of_the_push_are_shown(rig: Rig) -> None:
    """Neither the node's own nor those that the image was pulled by: nobody writes by a right that is not his."""
    (rig.folder / "config.json").write_text(docker_config("registry.test", TEAM))
    rig.objects[secret("regcred")] = regcred(TEAM)
    await rig.want(pushing(PRIVATE, pull_secrets=("regcred",)))
    (push,) = await told(rig, it="Failed")
    assert set(rig.runtime.pushes) == {(PRIVATE, "")}
    assert push["reason"] == "ErrImagePush"
    await rig.want(pushing(PRIVATE, secrets=("regcred",)))
    await told(rig, it="Pushed")
    assert rig.runtime.pushes[-1] == (PRIVATE, TEAM.password)


async def test_credentials_are_tried_in_their_order(rig: Rig) -> None:
    """What was tried, and which Secret is missing, is told; a Secret that changes is tried at once."""
    rig.objects[secret("robot")] = regcred(WRONG)
    await rig.want(pushing(PRIVATE, secrets=("absent", "robot")))
    (push,) = await told(rig, it="Failed")
    assert rig.runtime.pushes[:2] == [(PRIVATE, WRONG.password), (PRIVATE, "")]
    assert "tried with Secret robot" in push["message"]
    assert 'secret "absent" not found' in push["message"]
    assert WRONG.password not in str(rig.api.objects)
    await asyncio.sleep(100)
    rig.sources.change(secret("robot"), regcred(TEAM))
    await asyncio.sleep(2)
    assert rig.runtime.pushes[-1] == (PRIVATE, TEAM.password)
    await told(rig, it="Pushed")


async def test_a_failed_push_is_tried_again_with_pauses(rig: Rig) -> None:
    """Since when it fails stays; other pushes go on."""
    rig.runtime.broken = RegistryUnreachable("registry registry.test is out of order")
    await rig.want(pushing(OPEN))
    (first,) = await told(rig, it="Failed")
    assert first["reason"] == "RegistryUnavailable"
    await asyncio.sleep(300)
    (push,) = await told(rig, it="Failed")
    assert push["since"] == first["since"]
    assert 6 <= len(rig.runtime.pushes) <= 13
    rig.runtime.broken = None
    await told(rig, it="Pushed")


async def test_of_two_places_one_may_fail(rig: Rig) -> None:
    """Each has its own state."""
    await rig.want(pushing(PRIVATE, OPEN))
    assert [push["image"] for push in await told(rig, one="Failed", other="Pushed")] == [PRIVATE, OPEN]


async def test_what_is_not_wanted_any_more_is_given_up(rig: Rig) -> None:
    """Nothing is told of it, and nothing tried."""
    rig.runtime.broken = RegistryUnreachable("gone")
    await rig.want(pushing(OPEN))
    await told(rig, it="Failed")
    await rig.want(entry())
    await told(rig)
    tried = len(rig.runtime.pushes)
    await asyncio.sleep(200)
    assert len(rig.runtime.pushes) == tried


async def test_nobody_pushes_what_he_may_not_use(rig: Rig) -> None:
    """A private image that is on the node for another namespace goes nowhere."""
    rig.objects[secret("regcred")] = regcred(TEAM)
    stranger = entry(PRIVATE, "stranger", namespace="other", push=[{"image": OPEN}])
    await rig.want(stranger, entry(PRIVATE, "web", pull_secrets=("regcred",)))
    await rig.until(web="Ready", stranger="Failed")
    await asyncio.sleep(100)
    assert rig.runtime.pushes == []
