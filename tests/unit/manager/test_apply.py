"""Carrying out decisions: what waits for what."""

import pytest

from controller.kube.client import Client, Object
from controller.kube.errors import ApiFailure, ApiForbidden, ApiUnavailable
from controller.kube.resources import Resource
from controller.manager.apply import Writer
from controller.manager.cache import Cache
from controller.manager.decide.decision import Create, Decision, Delete
from controller.manager.decide.values import parse_instance
from tests.unit.manager.world import World, node


class Refusing(Client):
    """An API server that takes no deletion; what it is asked to create is counted."""

    def __init__(self, failure: ApiFailure | None) -> None:
        self.failure, self.created = failure, 0

    async def delete(self, *_: object, **__: object) -> None:
        """Not now, or never."""
        if self.failure is not None:
            raise self.failure

    async def create(
        self, resource: Resource, body: Object, namespace: str = "", name: str = "", subresource: str = ""
    ) -> Object:
        """Take it."""
        del resource, name, subresource
        self.created += 1
        return {**body, "metadata": {**body["metadata"], "namespace": namespace, "uid": "new", "resourceVersion": "9"}}


def replacement(world: World) -> Decision:
    """Give one instance up for another of the same ordinal."""
    world.apply(world.decide())
    (obj,) = world.objects.values()
    body = {key: value for key, value in obj.items() if key != "status"}
    body["metadata"] = {**obj["metadata"], "name": "other"}
    return Decision(creates=(Create("other", "n2", body),), deletes=(Delete(parse_instance(obj, None), "moved"),))


@pytest.mark.parametrize(
    ("failure", "created"),
    [(None, 1), (ApiUnavailable("away"), 0), (ApiForbidden("no"), 0)],
    ids=["a deletion that is taken", "one that fails for now", "one that is refused"],
)
async def test_a_place_is_given_up_before_it_is_taken_anew(failure: ApiFailure | None, created: int) -> None:
    """Else two instances of one ordinal would live side by side, neither of them on its way out."""
    world = World.of(node("n1"), node("n2"))
    client, decision = Refusing(failure), replacement(world)
    writer = Writer(client, Cache())
    if isinstance(failure, ApiUnavailable):
        with pytest.raises(ApiUnavailable):
            await writer.apply(world.workload, decision)
    else:
        refusal = await writer.apply(world.workload, decision)
        assert (refusal is not None) == (failure is not None)
    assert client.created == created
