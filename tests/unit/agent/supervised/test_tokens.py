"""Tokens that an instance mounts, from the spec to the status, over its life and those of its agents."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controller.kube.errors import ApiDenied, ApiUnavailable
from tests.unit.agent import rig as rigs
from tests.unit.agent.clock import until
from tests.unit.agent.rig import IMAGE, Rig
from tests.unit.agent.tokens import token_volume
from tests.unit.agent.values import container

UID = "uid-of-web"


@pytest.fixture(name="rig")
async def _rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigs.node(tmp_path) as rig:
        yield rig


def mounting(name: str = "main", **fields: Any) -> dict[str, Any]:
    """A container that mounts the volume."""
    return container(name, image=IMAGE, volumeMounts=[{"name": "token", "mountPath": "/t"}], **fields)


def told(rig: Rig) -> str:
    """Message of the Ready condition."""
    return str(((rig.api.instance() or {}).get("status", {}).get("conditions") or [{"message": ""}])[0]["message"])


def state(rig: Rig) -> str:
    """What the volume was last made as."""
    (found,) = rig.volumes.states[UID].values()
    return found


def asked(rig: Rig) -> int:
    """Requests for a token so far."""
    return len(rig.token_server.asked)


async def test_a_token_is_asked_for_once(rig: Rig) -> None:
    """For all containers and all of their restarts."""
    rig.apply(mounting(), mounting("side"), volumes=[token_volume()])
    await rig.settle()
    running = rig.running()
    assert running is not None
    rig.node.crash(running.id)
    await until(lambda: len(rig.runtime.started) == 3)
    await rig.settle()
    assert asked(rig) == 1


async def test_a_new_token_reaches_what_runs(rig: Rig) -> None:
    """Without a restart."""
    rig.apply(mounting(), volumes=[token_volume()])
    await rig.settle()
    before = state(rig)
    await until(lambda: state(rig) != before, 3600.0, step=1.0)
    assert (rig.token_server.given, len(rig.runtime.started)) == (2, 1)


async def test_what_cannot_be_had_is_told_and_waited_for(rig: Rig) -> None:
    """In status and Event; the container is made when it is there."""
    rig.token_server.refusal = ApiDenied("create serviceaccounts: denied request: namespace default has no label")
    rig.apply(mounting(), volumes=[token_volume()])
    await rig.settle("FailedMount")
    why = 'no token of ServiceAccount "default" (serviceAccountName) is given out: namespace default has no label'
    assert told(rig) == f'MountVolume.SetUp failed for volume "token" : {why}'
    await until(lambda: any(o.get("reason") == "FailedMount" for (p, _, _), o in rig.api.objects.items() if p == "events"))
    assert rig.containers() == []
    rig.token_server.refusal = None
    await rig.settle()


async def test_what_runs_needs_no_api_server(rig: Rig) -> None:
    """Neither a restart of the container nor one of the agent waits for a new token: the file is there."""
    rig.apply(mounting(), volumes=[token_volume()])
    await rig.settle()
    before = state(rig)
    rig.token_server.refusal = ApiUnavailable("create serviceaccounts: the API server does not answer")
    await rig.restart()
    running = rig.running()
    assert running is not None
    rig.node.crash(running.id)
    await until(lambda: len(rig.runtime.started) == 2)
    assert state(rig).startswith("kept")
    rig.token_server.refusal = None
    await until(lambda: state(rig) not in {before, "kept None"})


async def test_what_has_ended_needs_no_token(rig: Rig) -> None:
    """None is asked for any more, also by the next agent; begun anew, it has a new one."""
    spec: dict[str, Any] = {"volumes": [token_volume()], "restartPolicy": "Never"}
    rig.apply(mounting(), **spec)
    await rig.settle()
    running = rig.running()
    assert running is not None
    rig.node.crash(running.id, 0)
    await rig.settle("Completed")
    await rig.restart()
    await rig.settle("Completed")
    before = asked(rig)
    assert rig.tokens.counts() == {("fresh",): 0.0, ("late",): 0.0, ("missing",): 0.0}
    rig.apply(mounting(restartedAt="now"), **spec)
    await until(lambda: rig.running() is not None)
    await until(lambda: rig.token_server.given == 2)
    assert asked(rig) == before + 1


async def test_what_is_suspended_or_deleted_needs_no_token(rig: Rig) -> None:
    """It is forgotten with the containers, and asked for anew."""
    rig.apply(mounting(), volumes=[token_volume()])
    await rig.settle()
    rig.apply(mounting(), volumes=[token_volume()], suspend=True)
    await rig.settle("Suspended")
    await until(lambda: not sum(rig.tokens.counts().values()))
    rig.apply(mounting(), volumes=[token_volume()])
    await rig.settle()
    assert asked(rig) == 2
    rig.api.delete("web")
    await until(lambda: rig.api.instance() is None)
    assert not sum(rig.tokens.counts().values())


async def test_what_pod_security_refuses_gets_no_token(rig: Rig) -> None:
    """Nor does one that nothing mounts."""
    rig.label("restricted")
    rig.apply(mounting(), volumes=[token_volume()])
    rig.apply(container(image=IMAGE), name="other", volumes=[token_volume()])
    await until(lambda: rig.reason() and rig.reason("other"))
    assert asked(rig) == 0


async def test_another_account_is_another_volume_and_another_container(rig: Rig) -> None:
    """The container with the old account runs until the new token is there, and keeps its own until then."""
    rig.apply(mounting(), volumes=[token_volume()])
    await rig.settle()
    (before,) = rig.volumes.there[UID]
    rig.apply(mounting(), volumes=[token_volume()], serviceAccountName="builder")
    await until(lambda: 'ServiceAccount "builder" (serviceAccountName) does not exist' in told(rig))
    assert len(rig.runtime.started) == 1
    assert before in rig.volumes.there[UID]
    rig.token_server.accounts.add("builder")
    await until(lambda: len(rig.runtime.started) == 2)
    await until(lambda: before not in rig.volumes.there[UID])
