"""One workload's way through the reconciler, where the order of writes by different people matters."""

from typing import Any

from controller.kube.client import Client, Object
from controller.kube.resources import Resource
from controller.manager.cache import Cache
from controller.manager.decide.values import Key
from controller.manager.reconciler import Reconciler

KEY = Key("default", "wide")


def workload(replicas: int, generation: int, version: int) -> dict[str, Any]:
    """A workload as the API server has it."""
    spec = {"replicas": replicas, "template": {"spec": {"network": "None", "containers": [{"name": "main", "image": "a:1"}]}}}
    meta = {
        "namespace": KEY.namespace,
        "name": KEY.name,
        "uid": "u1",
        "generation": generation,
        "resourceVersion": str(version),
    }
    return {"metadata": meta, "spec": spec, "status": {}}


class Edited(Client):
    """An API server where somebody scales the workload just before its status is written for the first time."""

    def __init__(self) -> None:
        self.version = 1

    async def patch(self, resource: Resource, name: str, body: Object, namespace: str = "", subresource: str = "") -> Object:
        """The answer has the other's change in it, and a later version than the event of that change."""
        del resource, name, namespace, subresource
        self.version += 2
        return workload(3, 2, self.version) | {"status": body["status"]}


async def test_a_change_that_comes_with_an_answer_is_acted_on() -> None:
    """The watch brings it too, but as something older than what is known: nothing else would ever wake the workload."""
    cache = Cache()
    assert cache.put_workload(workload(1, 1, 1))
    reconciler = Reconciler(Edited(), cache, hold_seconds=0.0)
    assert await reconciler.reconcile(KEY) == 0.0
    assert not cache.put_workload(workload(3, 2, 2)), "the event is no news"
    await reconciler.reconcile(KEY)
    told = cache.workloads[KEY].status
    assert (told.desired_replicas, cache.workloads[KEY].generation) == (3, 2)
