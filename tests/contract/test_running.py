"""What can be done with a container that runs."""

from typing import Any

import pytest

from controller.runtime.port import Conflict, InvalidConfig, NotFound, Phase, Resources
from tests.contract.subject import Subject


async def test_pause_and_resume(subject: Subject) -> None:
    """The phase follows; what is not in the state that the call needs is a conflict."""
    started = await subject.run()
    await subject.runtime.pause(started.id)
    paused = await subject.runtime.inspect(started.id)
    assert (paused.phase, paused.pid, paused.started_at) == (Phase.PAUSED, started.pid, started.started_at)
    with pytest.raises(Conflict):
        await subject.runtime.pause(started.id)
    await subject.runtime.resume(started.id)
    assert (await subject.runtime.inspect(started.id)).phase is Phase.RUNNING
    with pytest.raises(Conflict):
        await subject.runtime.resume(started.id)


async def test_a_paused_container_can_be_removed(subject: Subject) -> None:
    """It need not be thawed first."""
    started = await subject.run()
    await subject.runtime.pause(started.id)
    await subject.runtime.remove(started.id)
    assert await subject.runtime.list() == ()


async def test_what_does_not_run_is_not_found(subject: Subject) -> None:
    """Pausing, thawing and limiting need something that runs."""
    ended = await subject.ended((await subject.run("true")).id)
    for container_id in (await subject.create(), ended.id):
        for call in (
            subject.runtime.pause(container_id),
            subject.runtime.resume(container_id),
            subject.runtime.update_resources(container_id, Resources(cpu_millis=100)),
        ):
            with pytest.raises(NotFound):
                await call


async def test_limits_are_checked(subject: Subject) -> None:
    """A limit that cannot work is refused."""
    started = await subject.run()
    for resources in (
        Resources(cpu_millis=-1),
        Resources(memory_bytes=10),
        Resources(cpu_request_millis=-1),
        Resources(pids=0),
    ):
        with pytest.raises(InvalidConfig):
            await subject.runtime.update_resources(started.id, resources)


async def test_limits_change_without_a_restart(subject: Subject) -> None:
    """The process stays the same."""
    started = await subject.run(resources=Resources(cpu_millis=100))
    await subject.runtime.update_resources(started.id, Resources(cpu_millis=200, memory_bytes=64 << 20))
    await subject.runtime.update_resources(started.id, Resources())
    assert await subject.runtime.inspect(started.id) == started


async def test_what_is_in_use_cannot_be_taken_away(subject: Subject) -> None:
    """A limit of memory below it is a conflict, for now, and changes nothing; what is above it can be had."""
    script = "dd if=/dev/zero of=/dev/shm/full bs=1M count=24; echo full; sleep 1000000"
    started = await subject.run("sh", "-c", script, resources=Resources(memory_bytes=64 << 20))
    await subject.wait_for_output(started.id, "full")
    with pytest.raises(Conflict, match="in use"):
        await subject.runtime.update_resources(started.id, Resources(memory_bytes=8 << 20))
    await subject.runtime.update_resources(started.id, Resources(memory_bytes=48 << 20))
    assert await subject.runtime.inspect(started.id) == started


async def test_stats_tell_of_what_runs(subject: Subject) -> None:
    """Only of that, and all of it in one call."""
    await subject.create()
    await subject.ended((await subject.run("true")).id)
    running = {(await subject.run()).id for _ in range(2)}
    stats = {one.id: one for one in await subject.runtime.stats()}
    assert running <= stats.keys()
    for container_id in running:
        assert stats[container_id].memory_bytes > 0
        assert stats[container_id].pids >= 1
        assert stats[container_id].cpu_seconds >= 0


async def test_reading_is_at_its_end_at_once(subject: Subject) -> None:
    """A container that asks for no standard input reads nothing."""
    assert (await subject.ended((await subject.run("cat")).id)).exit_code == 0


@pytest.mark.parametrize("log", [True, False], ids=["log", "no log"])
@pytest.mark.parametrize("how", [{"stdin": True}, {"tty": True}, {"stdin": True, "tty": True}], ids=str)
async def test_reading_waits(subject: Subject, how: dict[str, bool], *, log: bool) -> None:
    """With a standard input or a terminal there is nobody who ends it; it can be killed and removed as any other."""
    changes: dict[str, Any] = how if log else how | {"log_path": ""}
    started = await subject.run("cat", **changes)
    again = await subject.connect()
    assert (await again.inspect(started.id)) == started
    await again.signal(started.id, "SIGKILL")
    assert (await subject.ended(started.id)).exit_code == 137
    await again.remove(started.id)
    assert await again.list() == ()
