"""The cache: never older than what the manager was told, and indexed."""

from typing import Any

from controller.api.amounts import Amounts
from controller.api.hostports import HostPort
from controller.manager.cache import Cache, Places
from controller.manager.decide.values import Key
from tests.unit.manager.world import World, condition, node

KEY = Key("default", "web-n1")


def stored(version: int, **metadata: Any) -> dict[str, Any]:
    """An instance as the API server has it."""
    world = World.of(node("n1"), mode="Global")
    world.apply(world.decide())
    obj = world.objects["web-n1"]
    return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(version)} | metadata}


def test_an_older_event_does_not_take_an_answer_back() -> None:
    """The answer to a write came first: the event that was under way meanwhile is old news."""
    cache = Cache()
    assert cache.put_instance(stored(9, generation=2)) is not None
    assert cache.put_instance(stored(10, generation=2)) is not None
    assert cache.put_instance(stored(9)) is None
    assert cache.instances[KEY].generation == 2


def test_a_late_answer_does_not_bring_back_what_is_gone() -> None:
    """Created, deleted by somebody, and only then answered."""
    cache = Cache()
    cache.drop_instance(KEY, stored(1)["metadata"]["uid"])
    assert cache.put_instance(stored(5)) is None
    assert cache.instances == {}


def test_a_successor_of_the_same_name_is_another_object() -> None:
    """The deletion of the old one does not remove the new one, in whatever order they arrive."""
    cache = Cache()
    cache.put_instance(stored(5, uid="old"))
    cache.put_instance(stored(7, uid="new"))
    assert cache.drop_instance(KEY, "old") is None
    assert cache.instances[KEY].uid == "new"
    assert [i.uid for i in cache.owned_by("uid-of-workload")] == ["new"]


def test_instances_are_found_by_owner_and_by_node() -> None:
    """Both indices follow changes and deletions."""
    cache = Cache()
    cache.put_instance(stored(5))
    assert [i.key for i in cache.on_node("n1")] == [KEY]
    cache.drop_instance(KEY, stored(5)["metadata"]["uid"])
    assert cache.on_node("n1") == []
    assert cache.owned_by("uid-of-workload") == []


def test_an_accepted_deletion_is_known_before_its_event() -> None:
    """So that it is not deleted twice."""
    cache = Cache()
    cache.put_instance(stored(5))
    cache.mark_deleting(cache.instances[KEY])
    assert cache.instances[KEY].deleting
    assert cache.owned_by("uid-of-workload")[0].deleting


def test_what_is_about_to_be_created_counts_for_others() -> None:
    """Concurrent decisions spread as well as one after the other."""
    cache = Cache()
    port = HostPort(80, 8080)
    places = Places(("n1", "n1", "n2"), (port,))
    cache.reserve(places)
    assert cache.fleet(0.0, 0.0).load == {"n1": 2, "n2": 1}
    assert cache.fleet(0.0, 0.0).ports == {"n1": [port, port], "n2": [port]}
    cache.release(places, KEY)
    assert cache.fleet(0.0, 0.0).load == {}
    assert cache.fleet(0.0, 0.0).ports == {}


def test_room_is_told_when_an_instance_goes_or_gives_up_a_host_port() -> None:
    """Whether the watch brings it or the answer to an own write: workloads that wait for room look again."""
    cache = Cache()
    told: list[Key | None] = []
    cache.room_made = told.append
    taken = {"containers": [{"name": "a", "image": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}]}
    for version in (5, 6):
        cache.put_instance(stored(version) | {"spec": {"nodeName": "n1", **taken}})
    assert told == []
    cache.put_instance(stored(7, generation=2))
    cache.drop_instance(KEY, cache.instances[KEY].uid)
    assert told == [None, None]
    cache.reserve(places := Places(("n1",), (HostPort(80, 80),)))
    cache.release(places, KEY)
    assert told == [None, None, KEY], "a creation that failed; its own workload knows"


def test_what_instances_ask_for_is_added_up_by_node() -> None:
    """Those that are about to be created count, not those that ran to their end or never fit; who asks for less makes room."""
    cache = Cache()
    told: list[Key | None] = []
    cache.room_made = told.append

    def put(version: int, cpu: str, phase: str = "Running", *stalled: dict[str, Any]) -> None:
        container = {"name": "a", "image": "a", "resources": {"requests": {"cpu": cpu}}}
        changed = stored(version, generation=version)
        spec = {"nodeName": "n1", "containers": [container]}
        cache.put_instance(changed | {"spec": spec, "status": {"phase": phase, "conditions": list(stalled)}})

    put(5, "1")
    cache.reserve(places := Places(("n1", "n2"), (), Amounts(500, 0)))
    assert cache.fleet(0.0, 0.0).requested == {"n1": Amounts(1500, 0), "n2": Amounts(500, 0)}
    cache.release(places, KEY)
    assert told == [KEY]
    put(6, "2")
    assert (cache.fleet(0.0, 0.0).requested, told) == ({"n1": Amounts(2000, 0)}, [KEY])
    put(7, "1")
    put(8, "1", "Succeeded")
    assert (cache.fleet(0.0, 0.0).requested, told) == ({}, [KEY, None, None])
    put(9, "9", "Pending")
    put(10, "9", "Pending", condition("True", "OutOfcpu").to_json() | {"type": "Stalled"})
    assert cache.fleet(0.0, 0.0).requested == {}
    cache.drop_instance(KEY, cache.instances[KEY].uid)
    assert cache.fleet(0.0, 0.0).requested == {}


def test_a_missing_node_is_noticed_with_its_time() -> None:
    """Instances without a RuntimeNode: since when that has been seen."""
    cache = Cache()
    cache.put_instance(stored(5))
    assert cache.fleet(100.0, 1000.0).absent == {"n1": 1000.0}
    assert cache.fleet(130.0, 1030.0).absent == {"n1": 1000.0}


def test_names_of_somebody_else_are_taken() -> None:
    """A hand-made instance of the same name, but not the workload's own."""
    cache = Cache()
    cache.put_instance(stored(5))
    workload = World.of(node("n1")).workload
    assert "web-n1" not in cache.taken(workload)
    cache.put_instance(stored(6, ownerReferences=[]))
    assert "web-n1" in cache.taken(workload)
