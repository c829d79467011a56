"""Letting go of instances, when the API server is busy and when an agent is still there."""

import asyncio
from typing import Any

import pytest

from controller.api.labels import FINALIZER
from controller.cli import removal
from controller.cli.errors import CommandError
from controller.cli.removal import Removal
from controller.kube.client import Client, Object, Objects
from controller.kube.errors import ApiUnavailable
from controller.kube.resources import Resource


class Cluster(Client):
    """Instances that are held by a finalizer, and how often it can be taken off."""

    def __init__(self, *, busy: int = 0, put_back: bool = False) -> None:
        self.busy, self.put_back, self.held = busy, put_back, True

    async def list(self, *_: object, **__: object) -> Objects:
        """The instance, as it is now."""
        meta: Object = {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "1"}
        return [{"metadata": meta | ({"finalizers": [FINALIZER]} if self.held else {}), "spec": {"nodeName": "n1"}}]

    async def patch(self, resource: Resource, name: str, body: Object, namespace: str = "", subresource: str = "") -> Object:
        """Take it off, if there is time."""
        del resource, name, body, namespace, subresource
        self.busy -= 1
        if self.busy >= 0:
            raise ApiUnavailable("too many requests")
        self.held = self.put_back
        return {}


async def let_go(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, seconds: float = 60.0) -> list[str]:
    """Take finalizers off; what was said."""
    monkeypatch.setattr(removal, "RETURN_SECONDS", 0.0)
    said: list[str] = []
    connection: Any = None
    deadline = asyncio.get_running_loop().time() + seconds
    await Removal(connection, cluster, "moorage-system", deadline, said.append)._release()
    return said


async def test_a_busy_api_server_is_asked_until_it_takes_the_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """No agent is blamed for what could not be written; only what was done is told."""
    said = await let_go(Cluster(busy=5), monkeypatch)
    assert said[-1] == "took the agents' finalizer off 1 instance"
    assert said.count(said[-1]) == 1


async def test_an_api_server_that_stays_busy_is_given_up_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is left, and what to do."""
    with pytest.raises(CommandError, match="1 instance could not be let go of in time: try again"):
        await let_go(Cluster(busy=10**6), monkeypatch, seconds=0.05)


async def test_an_agent_that_puts_it_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its node."""
    with pytest.raises(CommandError, match="an agent still runs on n1"):
        await let_go(Cluster(put_back=True), monkeypatch)
