"""Small parts of the containerd adapter that need no containerd."""

import asyncio
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as AnyMessage

from controller.runtime.containerd import methods
from controller.runtime.containerd.about import check_version
from controller.runtime.containerd.api import happenings_pb2
from controller.runtime.containerd.api.containers_pb2 import Container
from controller.runtime.containerd.api.types_pb2 import Envelope
from controller.runtime.containerd.container import evidence
from controller.runtime.containerd.container.groups import Groups
from controller.runtime.containerd.container.records import EXTENSION, Facts, decode_facts, was_started
from controller.runtime.containerd.events import decode, deleted_task
from controller.runtime.port import EventKind, InvalidConfig, RuntimeEvent, RuntimeFailure, Unsupported
from controller.runtime.signals import signal_number

METHODS = {
    name: value for name, value in vars(methods).items() if isinstance(value, methods.Unary | methods.Streamed | methods.Duplex)
}


@pytest.mark.parametrize("version", ["v2.0.0", "2.0.0-rc.1", "v2.4.2", "3.0", "v2.1.0-beta.0-12-gabc.m", "10.0.0"])
def test_new_enough_versions(version: str) -> None:
    """Whatever stands behind the numbers."""
    check_version(version)


@pytest.mark.parametrize("version", ["v1.7.29", "1.6.20~ds1", "v1.99.0", "", "unknown"])
def test_old_versions_are_refused(version: str) -> None:
    """In words that say what is needed."""
    with pytest.raises(Unsupported, match=r"2\.0 or newer is needed"):
        check_version(version)


@pytest.mark.parametrize("name", METHODS)
def test_every_rpc_is_in_the_protos(name: str) -> None:
    """With the same messages, and streams where it has streams."""
    method: Any = METHODS[name]
    service, _, rpc = method.path.removeprefix("/").partition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[rpc]
    assert found.input_type is method.request.DESCRIPTOR
    assert found.output_type is method.answer.DESCRIPTOR
    assert found.server_streaming is not isinstance(method, methods.Unary)
    assert method.seconds > 0


@pytest.mark.parametrize(
    ("name", "number"),
    [("SIGTERM", 15), ("TERM", 15), ("sigint", 2), ("9", 9), ("SIGRTMIN+3", 37), ("SIGRTMAX", 64), ("RTMAX-1", 63)],
)
def test_signals_by_name(name: str, number: int) -> None:
    """As images and people write them."""
    assert signal_number(name) == number


@pytest.mark.parametrize("name", ["", "SIGNONE", "0", "65", "-1", "SIGRTMIN+99", "SIG"])
def test_what_is_no_signal(name: str) -> None:
    """Refused, with its name."""
    with pytest.raises(InvalidConfig, match="is not a signal"):
        signal_number(name)


def envelope(message: Any) -> Envelope:
    """An event on the wire."""
    event = AnyMessage(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())
    return Envelope(topic="/x", event=event)


def test_events_of_further_processes_are_not_told() -> None:
    """Their end is not the container's."""
    assert decode(envelope(happenings_pb2.TaskExit(container_id="c", id="e"))) is None
    assert decode(envelope(happenings_pb2.TaskDelete(container_id="c", id="e"))) is None
    assert decode(Envelope(event=AnyMessage(type_url="containerd.events.TaskExecStarted"))) is None
    told = decode(envelope(happenings_pb2.TaskExit(container_id="c", id="c", exit_status=3)))
    assert told
    assert (told.kind, told.container_id, told.exit_code) == (EventKind.EXITED, "c", 3)


def test_an_end_that_was_found_is_told_like_any_other() -> None:
    """With its exit code if containerd still has it; else the task is gone, too."""

    def found(told: happenings_pb2.TaskDelete) -> Envelope:
        return Envelope(event=AnyMessage(type_url="moorage.dev/Ended", value=told.SerializeToString()))

    still_there = happenings_pb2.TaskDelete(container_id="c", pid=7, exit_status=3)
    still_there.exited_at.FromSeconds(10)
    assert decode(found(still_there)) == RuntimeEvent(EventKind.EXITED, "c", pid=7, exit_code=3, at=10.0)
    assert deleted_task(found(still_there)) == ""
    gone = happenings_pb2.TaskDelete(container_id="c", pid=7)
    assert decode(found(gone)) == RuntimeEvent(EventKind.EXITED, "c", pid=7, exit_code=None, at=0.0)
    assert deleted_task(found(gone)) == "c"


def test_facts_survive_the_record() -> None:
    """Also when a later version adds to them; those of other people's containers are empty."""
    facts = Facts("d", "p", "/log", tty=True, cgroup="/c", boot_id="b")
    record = Container(extensions={EXTENSION: facts.encode()})
    assert decode_facts(record) == facts
    record.extensions[EXTENSION].value = b'{"log_path": "/x", "of_tomorrow": 1}'
    assert decode_facts(record) == Facts(log_path="/x")
    assert decode_facts(Container()) == Facts()


def test_another_boot_ends_everything() -> None:
    """Even what has no log: it cannot be known."""
    assert was_started(Container(), Facts(log_path="/none/log", boot_id="another"))
    assert not was_started(Container(), Facts(log_path="/none/log", boot_id=evidence.boot_id()))


# --- shims ------------------------------------------------------------------------------------------------------------


async def start(groups: Groups, container_id: str) -> str:
    """Start a container."""
    async with groups.starting(container_id) as changed:
        return changed


async def end(groups: Groups, container_id: str) -> None:
    """Remove a container."""
    async with groups.ending(container_id):
        pass
    groups.leave(container_id)


async def test_a_group_has_one_shim_as_long_as_somebody_is_in_it() -> None:
    """And another one after."""
    groups = Groups()
    first = groups.join("a", "g")
    assert groups.join("b", "g") == first
    assert await start(groups, "a") == await start(groups, "b") == ""
    await end(groups, "a")
    assert groups.join("c", "g") == first
    await end(groups, "b")
    assert groups.join("d", "g") != first


async def test_a_shim_that_was_left_is_not_joined_late() -> None:
    """One that was chosen before the last container left is changed at the start."""
    groups = Groups()
    first = groups.join("a", "g")
    await start(groups, "a")
    assert groups.join("b", "g") == first
    await end(groups, "a")
    assert await start(groups, "b") not in {"", first}


async def test_a_shim_whose_last_task_somebody_deleted_is_not_joined() -> None:
    """Neither by who chose it before, nor by who comes after; told twice, it is the same."""
    groups = Groups()
    first = groups.join("a", "g")
    await start(groups, "a")
    groups.join("b", "g")
    for container_id in ("a", "a", "unknown"):
        groups.departed(container_id)
    assert await start(groups, "b") not in {"", first}
    assert groups.join("c", "g") != first


async def test_a_failed_first_start_spoils_the_shim() -> None:
    """Since containerd ends one whose first task could not be made."""
    groups = Groups()
    first = groups.join("a", "g")
    with pytest.raises(RuntimeFailure):
        async with groups.starting("a"):
            raise RuntimeFailure("x")
    assert await start(groups, "a") not in {"", first}


async def test_strangers_get_a_shim_of_their_own() -> None:
    """A container made by an agent before this one; and one without a group."""
    groups = Groups()
    assert (await start(groups, "old")).startswith("old.")
    assert groups.join("a", "") != groups.join("b", "")


async def test_one_at_a_time_in_a_group_and_all_at_once_between_them() -> None:
    """Starting in the same shim waits; elsewhere it does not."""
    groups = Groups()
    for container_id, group in (("a", "g"), ("b", "g"), ("c", "h")):
        groups.join(container_id, group)
    async with groups.starting("a"):
        waiting = asyncio.create_task(start(groups, "b"))
        assert await start(groups, "c") == ""
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == ""
