"""Further processes in a running container."""

import asyncio

import pytest

from controller.runtime.port import CommandFailure, Conflict, ExecConfig, ExecProcess, InvalidConfig, NotFound, Stream
from tests.contract.subject import SECONDS, Subject


async def collect(process: ExecProcess) -> dict[Stream, bytes]:
    """All output."""
    found: dict[Stream, bytes] = {}
    async with asyncio.timeout(SECONDS):
        async for stream, data in process.output():
            found[stream] = found.get(stream, b"") + data
    return found


async def test_output_and_exit_code(subject: Subject) -> None:
    """Both streams are told apart, and the exit code is that of the process."""
    started = await subject.run()
    config = ExecConfig(("sh", "-c", "echo out; echo err >&2; exit 3"))
    async with await subject.runtime.exec(started.id, config) as process:
        assert await collect(process) == {Stream.STDOUT: b"out\n", Stream.STDERR: b"err\n"}
        assert await process.wait() == 3


async def test_the_exit_code_alone(subject: Subject) -> None:
    """Nobody has to read the output of a process that writes little."""
    started = await subject.run()
    async with await subject.runtime.exec(started.id, ExecConfig(("false",))) as process:
        assert await process.wait() == 1


async def test_a_terminal_has_one_stream(subject: Subject) -> None:
    """With a terminal everything is standard output, with the line ends of one."""
    started = await subject.run()
    config = ExecConfig(("sh", "-c", "echo out; echo err >&2"), tty=True)
    async with await subject.runtime.exec(started.id, config) as process:
        assert await collect(process) == {Stream.STDOUT: b"out\r\nerr\r\n"}
        assert await process.wait() == 0


async def test_standard_input(subject: Subject) -> None:
    """What is written arrives, and closing it is end of file."""
    started = await subject.run()
    async with await subject.runtime.exec(started.id, ExecConfig(("cat",), stdin=True)) as process:
        await process.write(b"one\n")
        await process.write(b"two\n")
        await process.close_stdin()
        assert await collect(process) == {Stream.STDOUT: b"one\ntwo\n"}
        assert await process.wait() == 0


async def test_much_goes_through(subject: Subject) -> None:
    """More than any pipe holds, in both directions at once."""
    started = await subject.run()
    data = bytes(range(256)) * 4096
    async with await subject.runtime.exec(started.id, ExecConfig(("cat",), stdin=True)) as process:
        reading = asyncio.create_task(collect(process))
        await process.write(data)
        await process.close_stdin()
        assert (await reading)[Stream.STDOUT] == data


async def test_closed_input_takes_nothing(subject: Subject) -> None:
    """Writing after the end is an error of the caller, and so is writing to what has ended."""
    started = await subject.run()
    async with await subject.runtime.exec(started.id, ExecConfig(("cat",), stdin=True)) as process:
        await process.close_stdin()
        await process.wait()
        with pytest.raises(Conflict):
            await process.write(b"x")


async def test_a_signal_ends_it(subject: Subject) -> None:
    """128 + the signal's number; a signal to what has ended is not found."""
    started = await subject.run()
    async with await subject.runtime.exec(started.id, ExecConfig(("sleep", "1000"))) as process:
        await process.signal("SIGTERM")
        assert await process.wait() == 143
        with pytest.raises(NotFound):
            await process.signal("SIGTERM")


async def test_a_terminal_has_a_size(subject: Subject) -> None:
    """Resizing works while it runs."""
    started = await subject.run()
    async with await subject.runtime.exec(started.id, ExecConfig(("sleep", "1000"), tty=True)) as process:
        await process.resize(120, 40)


async def test_it_is_killed_when_it_is_left(subject: Subject) -> None:
    """No process stays behind, and the container is not disturbed."""
    started = await subject.run()
    async with await subject.runtime.exec(started.id, ExecConfig(("sleep", "1000"))) as process:
        pass
    assert await process.wait() == 137
    assert await subject.runtime.inspect(started.id) == started


async def test_its_end_is_not_that_of_the_container(subject: Subject) -> None:
    """Further processes neither end the container nor show in its events."""
    async with subject.watch() as watch:
        started = await subject.run()
        async with await subject.runtime.exec(started.id, ExecConfig(("false",))) as process:
            await process.wait()
        await subject.runtime.pause(started.id)
        await watch.until(lambda event: event.kind.value == "paused")
        assert [kind.value for kind in watch.kinds(started.id)] == ["created", "started", "paused"]


async def test_a_command_that_is_not_there(subject: Subject) -> None:
    """The message names it, and nothing stays."""
    started = await subject.run()
    with pytest.raises(CommandFailure, match="nosuchcommand"):
        await subject.runtime.exec(started.id, ExecConfig(("nosuchcommand",)))


async def test_no_command(subject: Subject) -> None:
    """Refused before anything is made."""
    started = await subject.run()
    with pytest.raises(InvalidConfig):
        await subject.runtime.exec(started.id, ExecConfig(()))


async def test_it_needs_a_container_that_runs(subject: Subject) -> None:
    """Absent, not started, ended: not found. Paused: a conflict."""
    created = await subject.create()
    ended = await subject.ended((await subject.run("true")).id)
    for container_id in ("none", created, ended.id):
        with pytest.raises(NotFound):
            await subject.runtime.exec(container_id, ExecConfig(("true",)))
    paused = await subject.run()
    await subject.runtime.pause(paused.id)
    with pytest.raises(Conflict):
        await subject.runtime.exec(paused.id, ExecConfig(("true",)))
