"""Containers: created, started, ended, removed."""

import asyncio
import time

import pytest

from controller.runtime.port import (
    AlreadyExists,
    CommandFailure,
    Conflict,
    EventKind,
    InvalidConfig,
    NotFound,
    Phase,
    Resources,
    Unavailable,
)
from tests.contract.subject import FOREVER, TRAPPED, Subject


async def test_a_new_container_is_created_and_not_started(subject: Subject) -> None:
    """`create` starts nothing, and all calls tell the same of it."""
    await subject.pull()
    before = time.time()
    config = subject.config(labels={"a": "1", "moorage.dev/b": "two"})
    created = await subject.runtime.create(config)
    image = await subject.runtime.image(config.image)
    assert created == await subject.runtime.inspect(config.id)
    assert (created,) == await subject.runtime.list()
    assert created.phase is Phase.CREATED
    assert (created.pid, created.started_at, created.exited_at, created.exit_code) == (0, None, None, None)
    assert created.labels == config.labels
    assert (created.image, created.image_digest) == (config.image, image.digest)
    assert before - 1 < created.created_at < time.time() + 1


async def test_a_started_container_runs(subject: Subject) -> None:
    """`start` returns what `inspect` and `list` tell after it."""
    before = time.time()
    started = await subject.run()
    assert started.phase is Phase.RUNNING
    assert started.pid > 0
    assert started.started_at is not None
    assert before - 1 < started.started_at < time.time() + 1
    assert started == await subject.runtime.inspect(started.id)
    assert (started,) == await subject.runtime.list()


@pytest.mark.parametrize("code", [0, 1, 42, 255])
async def test_the_exit_code_is_kept(subject: Subject, code: int) -> None:
    """What a process ends with is told, by event and by state."""
    async with subject.watch() as watch:
        started = await subject.run("sh", "-c", f"exit {code}")
        event = await watch.until(lambda event: event.kind is EventKind.EXITED)
        ended = await subject.runtime.inspect(started.id)
    assert (event.container_id, event.exit_code, event.pid) == (started.id, code, started.pid)
    assert (ended.phase, ended.exit_code, ended.pid, ended.oom_killed) == (Phase.EXITED, code, 0, False)
    assert ended.started_at == started.started_at
    assert ended.exited_at == pytest.approx(event.at, abs=0.5)
    assert (ended,) == await subject.runtime.list()


async def test_sigkill_ends_anything(subject: Subject) -> None:
    """128 + 9, as shells have it."""
    started = await subject.run(*FOREVER)
    await subject.runtime.signal(started.id, "SIGKILL")
    assert (await subject.ended(started.id)).exit_code == 137


async def test_a_signal_reaches_the_process(subject: Subject) -> None:
    """A process that handles SIGTERM ends as it likes."""
    started = await subject.run(*TRAPPED)
    await subject.wait_for_output(started.id, "ready")
    await subject.runtime.signal(started.id, "SIGTERM")
    assert (await subject.ended(started.id)).exit_code == 3


async def test_a_first_process_without_a_handler_ignores_sigterm(subject: Subject) -> None:
    """As the kernel has it for PID 1: agents that simulate a stop meet the same."""
    started = await subject.run("sh", "-c", "echo ready; while true; do sleep 0.02; done")
    await subject.wait_for_output(started.id, "ready")  # before, it is runc's own first process, which does not
    await subject.runtime.signal(started.id, "SIGTERM")
    assert (await subject.runtime.inspect(started.id)).phase is Phase.RUNNING


async def test_what_is_no_signal_is_refused(subject: Subject) -> None:
    """A wrong name is an error of the caller."""
    started = await subject.run()
    with pytest.raises(InvalidConfig, match="SIGNONE"):
        await subject.runtime.signal(started.id, "SIGNONE")


async def test_signals_to_what_does_not_run_are_not_found(subject: Subject) -> None:
    """Whether there is no such container, or it was not started, or it ended."""
    created = await subject.create()
    ended = await subject.ended((await subject.run("true")).id)
    for container_id in ("none", created, ended.id):
        with pytest.raises(NotFound):
            await subject.runtime.signal(container_id, "SIGTERM")


async def test_what_does_not_exist_is_not_found(subject: Subject) -> None:
    """Every call that needs a container says so."""
    calls = (
        subject.runtime.inspect("none"),
        subject.runtime.start("none"),
        subject.runtime.signal("none", "SIGTERM"),
        subject.runtime.update_resources("none", Resources(cpu_millis=100)),
        subject.runtime.set_labels("none", {"a": "1"}),
        subject.runtime.pause("none"),
        subject.runtime.resume("none"),
    )
    for call in calls:
        with pytest.raises(NotFound):
            await call


async def test_an_id_is_taken_once(subject: Subject) -> None:
    """The second container of an id is refused, and the first is not disturbed."""
    await subject.pull()
    config = subject.config()
    await subject.runtime.create(config)
    with pytest.raises(AlreadyExists):
        await subject.runtime.create(config)
    assert (await subject.runtime.start(config.id)).phase is Phase.RUNNING


async def test_a_container_needs_its_image(subject: Subject) -> None:
    """Nothing is left of a container that could not be made."""
    with pytest.raises(NotFound, match="busybox"):
        await subject.runtime.create(subject.config())
    assert await subject.runtime.list() == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"args": ()},
        {"cwd": "relative"},
        {"user": "nobody-has-this-name"},
        {"user": "0:no-such-group"},
        {"resources": Resources(cpu_millis=0)},
        {"resources": Resources(memory_bytes=1000)},
    ],
    ids=str,
)
async def test_what_cannot_work_is_refused_and_leaves_nothing(subject: Subject, changes: dict[str, object]) -> None:
    """`InvalidConfig` is raised before anything is made."""
    await subject.pull()
    with pytest.raises(InvalidConfig):
        await subject.runtime.create(subject.config(**{"args": FOREVER} | changes))
    assert await subject.runtime.list() == ()


async def test_a_command_that_is_not_there(subject: Subject) -> None:
    """The message names it; the container stays as it was, never started."""
    container_id = await subject.create("nosuchcommand")
    with pytest.raises(CommandFailure, match=r"nosuchcommand.*not found"):
        await subject.runtime.start(container_id)
    assert (await subject.runtime.inspect(container_id)).phase is Phase.CREATED
    with pytest.raises(CommandFailure, match="nosuchcommand"):
        await subject.runtime.start(container_id)


async def test_a_container_is_started_once(subject: Subject) -> None:
    """What runs, or has run, is not started again."""
    running = await subject.run()
    ended = await subject.ended((await subject.run("true")).id)
    for container_id in (running.id, ended.id):
        with pytest.raises(Conflict):
            await subject.runtime.start(container_id)


async def test_removing_takes_whatever_there_is(subject: Subject) -> None:
    """A container that was not started, one that runs, one that ended, none at all; and all of it twice."""
    ids = [
        await subject.create(),
        (await subject.run()).id,
        (await subject.ended((await subject.run("true")).id)).id,
        "none",
    ]
    for container_id in (*ids, *ids):
        await subject.runtime.remove(container_id)
    assert await subject.runtime.list() == ()
    with pytest.raises(NotFound):
        await subject.runtime.inspect(ids[1])


async def test_an_id_may_be_used_again(subject: Subject) -> None:
    """After its removal nothing of the old container is left that the new one would meet."""
    config = subject.config("sh", "-c", "exit 5")
    await subject.pull()
    for _ in range(3):
        await subject.runtime.create(config)
        await subject.runtime.start(config.id)
        assert (await subject.ended(config.id)).exit_code == 5
        await subject.runtime.remove(config.id)


async def test_labels_are_written_one_by_one(subject: Subject) -> None:
    """`set_labels` leaves the others alone, in whatever phase; an empty value takes a label away."""
    container_id = await subject.create(labels={"a": "1", "b": "2", "d": "5", "e": ""})
    await subject.runtime.set_labels(container_id, {"b": "3", "moorage.dev/c": "4"})
    await subject.runtime.start(container_id)
    await subject.runtime.set_labels(container_id, {"d": ""})
    assert (await subject.runtime.inspect(container_id)).labels == {"a": "1", "b": "3", "moorage.dev/c": "4"}


async def test_a_new_connection_finds_everything_as_it_was(subject: Subject) -> None:
    """Nothing is kept in the connection: an agent that is restarted sees created, running and ended containers as before."""
    await subject.create(labels={"is": "created"})
    await subject.run(labels={"is": "running"})
    await subject.ended((await subject.run("false", labels={"is": "ended"})).id)
    before = await subject.runtime.list()
    await subject.runtime.close()
    subject.runtime = await subject.connect()
    assert sorted(await subject.runtime.list(), key=str) == sorted(before, key=str)
    assert {state.labels["is"]: state.phase for state in before} == {
        "created": Phase.CREATED,
        "running": Phase.RUNNING,
        "ended": Phase.EXITED,
    }


async def test_a_container_may_be_started_by_another_connection(subject: Subject) -> None:
    """An agent that is killed between create and start loses nothing."""
    container_id = await subject.create()
    await subject.runtime.close()
    subject.runtime = await subject.connect()
    assert (await subject.runtime.start(container_id)).phase is Phase.RUNNING


async def test_a_closed_connection_is_not_available(subject: Subject) -> None:
    """It must not look as if nothing were there."""
    runtime = await subject.connect()
    await runtime.close()
    with pytest.raises(Unavailable):
        await runtime.list()


async def test_many_at_once(subject: Subject) -> None:
    """All calls may run at the same time."""
    await subject.pull()
    configs = [subject.config() for _ in range(10)]

    async def run(index: int) -> None:
        await subject.runtime.create(configs[index])
        await subject.runtime.start(configs[index].id)

    await asyncio.gather(*(run(index) for index in range(10)))
    states = await subject.runtime.list()
    assert {state.id for state in states} == {config.id for config in configs}
    assert {state.phase for state in states} == {Phase.RUNNING}
    await asyncio.gather(*(subject.runtime.remove(config.id) for config in configs))
    assert await subject.runtime.list() == ()
