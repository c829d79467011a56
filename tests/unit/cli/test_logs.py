"""`moorage logs`, and reading over rotation."""

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.agent.logs import LogFiles
from controller.cli.inventory import read_state, take
from controller.cli.logfiles import BLOCK, LogReader, attempts
from controller.cli.logs import followed
from controller.runtime.memory import MemoryRuntime
from tests.unit.cli.world import World, instance

SECONDS = 10.0


def read(reader: LogReader) -> bytes:
    """All that is new."""
    return b"".join(reader.read())


def rotate(folder: Path, files: int = 3) -> None:
    """Rotate as the agent does, whatever the size."""
    LogFiles(folder.parent.parent, max_bytes=0, max_files=files).rotate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A container's log folder, where the agent has it: `<instance>/<container>` below the log folder."""
    path = tmp_path / "default_web_u1" / "main"
    path.mkdir(parents=True)
    return path


# --- reading


def test_all_that_rotation_kept_is_read_in_order(folder: Path) -> None:
    """The rotated files come first, the oldest of them before the others."""
    log = folder / "0.log"
    for part in (b"one\n", b"two\n"):
        log.write_bytes(part)
        rotate(folder)
    log.write_bytes(b"three\n")
    with LogReader(folder, 0) as reader:
        assert read(reader) == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("lines", range(8))
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_tail_is_counted_over_files(folder: Path, lines: int, end: bytes) -> None:
    """`--tail N` is the last N lines of the run, whichever file they are in; a last line without an end is one, too."""
    log = folder / "0.log"
    log.write_bytes(b"1\n2\n3")
    rotate(folder)
    log.write_bytes(b"3\n4\n\n6" + end)
    everything = [b"1\n", b"2\n", b"33\n", b"4\n", b"\n", b"6" + end]
    with LogReader(folder, 0, tail=lines) as reader:
        assert read(reader) == b"".join(everything[max(6 - lines, 0) :])


def test_a_long_tail_is_found_block_by_block(folder: Path) -> None:
    """Lines longer than a block, and many blocks of short ones, are counted right."""
    text = b"first\n" + b"x" * (2 * BLOCK) + b"\n" + b"yy\n" * BLOCK
    (folder / "0.log").write_bytes(text)
    for lines, expected in ((BLOCK + 1, text[6:]), (3, b"yy\n" * 3)):
        with LogReader(folder, 0, tail=lines) as reader:
            assert read(reader) == expected


def test_nothing_is_lost_or_told_twice_over_a_rotation(folder: Path) -> None:
    """What was written before a rotation and not read yet is read from the copy; then it goes on in the shrunken file."""
    log = folder / "0.log"
    log.write_bytes(b"one\n")
    with LogReader(folder, 0) as reader, log.open("ab", buffering=0) as writer:
        assert read(reader) == b"one\n"
        writer.write(b"two\n")
        rotate(folder)
        writer.write(b"3\n")
        assert read(reader) == b"two\n3\n"
        assert read(reader) == b""


def test_a_rotation_that_keeps_no_copy_is_survived(folder: Path) -> None:
    """With one file kept, what was not read in time is gone, and reading goes on."""
    log = folder / "0.log"
    log.write_bytes(b"one\n")
    with LogReader(folder, 0) as reader:
        assert read(reader) == b"one\n"
        rotate(folder, files=1)
        log.write_bytes(b"2\n")
        assert read(reader) == b"2\n"


def test_only_logs_of_attempts_count(folder: Path) -> None:
    """Attempts are read from the names of the current files; rotated ones and strangers are none."""
    for name in ("10.log", "9.log", "9.log.1", "x.log", "3.txt"):
        (folder / name).touch()
    assert attempts(folder) == [9, 10]
    assert attempts(folder / "nowhere") == []


# --- the command


def test_the_newest_run_is_printed_as_it_is(world: World) -> None:
    """Bytes come out as the container wrote them, even if they are no text."""
    web = world.want(instance("web-0"))
    world.log(web, attempt=0).write_bytes(b"old\n")
    world.log(web, attempt=1).write_bytes(b"\xff\x00new")
    result = world.run("logs", "web")
    assert result.stdout_bytes == b"\xff\x00new"
    assert world.run("logs", "web", "--previous").stdout_bytes == b"old\n"


def test_the_runtime_is_not_needed(world: World) -> None:
    """With the runtime away, and even the store, logs are found by their folders."""
    world.log(instance("web-0", uid="u1")).write_bytes(b"hello\n")
    world.node.stop_answering()
    assert world.run("logs", "default/web-0").stdout == "hello\n"
    assert world.run("logs", "u1").stdout == "hello\n"
    assert not world.state_dir.exists()


def test_another_log_folder_is_found_by_the_runtime(world: World, tmp_path: Path) -> None:
    """The container's label says where its log is, whatever folder the command was told."""
    web = world.want(instance("web-0"))
    world.make(web)
    world.log(web).write_bytes(b"hello\n")
    world.facts = world.facts.__class__("node1", log_dir=str(tmp_path / "elsewhere"))
    assert world.run("logs", "web-0").stdout == "hello\n"


def test_the_present_run_is_shown_although_higher_ones_are_left(world: World) -> None:
    """After a suspension runs are counted from 0 again: what is left of earlier ones is not taken for the present one."""
    web = world.want(instance("web-0"))
    world.make(web)
    world.log(web, attempt=5).write_bytes(b"before\n")
    world.log(web, attempt=0).write_bytes(b"now\n")
    assert world.run("logs", "web-0").stdout == "now\n"


def test_a_container_can_be_chosen(world: World) -> None:
    """-c chooses; without it the first is taken, and that is said on stderr only."""
    web = world.want(instance("web-0", containers=["main", "side"]))
    world.log(web, "main").write_bytes(b"main\n")
    world.log(web, "side").write_bytes(b"side\n")
    assert world.run("logs", "web-0", "-c", "side").stdout == "side\n"
    result = world.run("logs", "web-0")
    assert result.stdout == "main\n"
    assert "-c" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("logs", "db"), 1, "no instance 'db'"),
        (("logs", "web-0", "-c", "db"), 1, "has no container 'db'; there are: main"),
        (("logs", "web-0", "-p"), 1, "no earlier run"),
        (("logs", "late-0"), 1, "has not been started yet"),
        (("logs", "web-0", "-f", "-p"), 2, "--follow"),
        (("logs", "web-0", "--tail", "-1"), 2, "--tail"),
        (("logs",), 2, "INSTANCE"),
    ],
)
def test_what_cannot_be_done_is_said(world: World, arguments: tuple[str, ...], code: int, said: str) -> None:
    """Errors are words on stderr, with 1 for what is not there and 2 for what cannot be meant."""
    world.log(world.want(instance("web-0"))).write_bytes(b"x\n")
    world.want(instance("late-0"))
    result = world.run(*arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.output


# --- following


@dataclass
class Following:
    """A follower at work."""

    out: io.BytesIO
    work: "asyncio.Task[None]"

    async def shows(self, text: bytes) -> None:
        """Wait until it has printed exactly this."""
        async with asyncio.timeout(SECONDS):
            while self.out.getvalue() != text:
                assert not self.work.done() or self.out.getvalue() == text
                await asyncio.sleep(0.01)

    async def ends(self) -> None:
        """Wait until it ends by itself."""
        async with asyncio.timeout(SECONDS):
            await self.work


@asynccontextmanager
async def follower(world: World, *, tail: int | None = None) -> AsyncIterator[Following]:
    """`logs -f web-0`, from its newest attempt."""
    runtime, out = MemoryRuntime(world.node), io.BytesIO()
    containers = await runtime.list() if world.answers else ()
    (known,) = take(read_state(world.state_dir), containers, Path(world.facts.log_dir)).instances
    folder = world.log(instance("web-0")).parent
    work = asyncio.create_task(followed(runtime, known, "main", folder, attempts(folder)[-1], tail, out))
    try:
        yield Following(out, work)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


@pytest.fixture
def start(world: World) -> Callable[..., str]:
    """Have web-0 run, with a log that says "one"; the container's id."""

    def started(**spec: Any) -> str:
        web = world.want(instance("web-0", **spec))
        world.log(web).write_bytes(b"one\n")
        return world.make(web)

    return started


async def append(world: World, text: bytes, attempt: int = 0) -> None:
    """Have the container write something."""
    with world.log(instance("web-0"), attempt=attempt).open("ab") as file:
        file.write(text)


async def test_following_shows_what_comes(world: World, start: Callable[..., str]) -> None:
    """What is written shows up, over a rotation, and begins with the wanted tail."""
    await asyncio.to_thread(start)
    await append(world, b"two\n")
    async with follower(world, tail=1) as following:
        await following.shows(b"two\n")
        await asyncio.to_thread(LogFiles(Path(world.facts.log_dir), max_bytes=0).rotate)
        await append(world, b"3\n")
        await following.shows(b"two\n3\n")


async def test_following_goes_on_after_a_restart(world: World, start: Callable[..., str]) -> None:
    """A crash ends nothing: the next attempt's output follows the last word of the one before."""
    container = await asyncio.to_thread(start)
    async with follower(world) as following:
        await following.shows(b"one\n")
        world.end(container, 1)
        await append(world, b"crash\n")
        await append(world, b"again\n", attempt=1)
        await append(world, b"and again\n", attempt=2)
        await following.shows(b"one\ncrash\nagain\nand again\n")


@pytest.mark.parametrize(("policy", "exit_code"), [("Never", 1), ("OnFailure", 0)])
async def test_following_ends_with_the_container(world: World, start: Callable[..., str], policy: str, exit_code: int) -> None:
    """When the container ends for good, its last words are printed, and the command ends."""
    container = await asyncio.to_thread(lambda: start(restartPolicy=policy))
    async with follower(world) as following:
        await following.shows(b"one\n")
        world.end(container, exit_code)
        await append(world, b"bye\n")
        await following.ends()
        assert following.out.getvalue() == b"one\nbye\n"


async def test_following_what_has_ended_ends_at_once(world: World, start: Callable[..., str]) -> None:
    """Of a container that ended for good before, everything is printed, and that is all."""
    world.end(await asyncio.to_thread(lambda: start(restartPolicy="Never")), 0)
    async with follower(world) as following:
        await following.ends()
        assert following.out.getvalue() == b"one\n"


async def test_following_ends_when_the_instance_goes(world: World, start: Callable[..., str]) -> None:
    """The agent removes the logs of a deleted instance: then there is nothing to come."""
    await asyncio.to_thread(start)
    async with follower(world) as following:
        await following.shows(b"one\n")
        await append(world, b"bye\n")
        shutil.rmtree(Path(world.facts.log_dir) / "default_web-0_uid-of-default-web-0")
        await following.ends()
        assert following.out.getvalue() == b"one\nbye\n"


async def test_following_needs_no_runtime(world: World, start: Callable[..., str]) -> None:
    """While the runtime is away, or goes away, files are followed all the same."""
    await asyncio.to_thread(start)
    world.node.stop_answering()
    async with follower(world) as following:
        await following.shows(b"one\n")
        await append(world, b"two\n")
        await following.shows(b"one\ntwo\n")
