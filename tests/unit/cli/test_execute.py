"""`moorage exec`, and the terminal's two ends."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli.terminal import Input, raw, resizes
from controller.runtime.memory.process import MemoryProcess
from controller.runtime.memory.script import read_script
from tests.unit.cli.world import World, instance

SECONDS = 10.0


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: the side of the person, and that of the program."""
    person, program = pty.openpty()
    yield person, program
    os.close(person)
    os.close(program)


@pytest.fixture
def running(world: World) -> World:
    """A node on which web-0 runs."""
    world.make(world.want(instance("web-0", containers=["main", "side"])), "main")
    return world


def test_output_and_exit_code_are_the_commands_own(running: World) -> None:
    """Each stream goes to its own, and the exit code is handed on."""
    result = running.run("exec", "web-0", "-c", "main", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert result.stdout == "out\n"
    assert result.stderr == "err\n"
    assert result.exit_code == 7


def test_options_after_the_dashes_belong_to_the_command(running: World) -> None:
    """Nothing behind `--` is taken for an option of ours."""
    result = running.run("exec", "web-0", "--", "sh", "-c", "echo -it --help")
    assert result.stdout == "-it --help\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("web-0", "--", "nosuch"), 1, "command 'nosuch' not found"),
        (("web-0", "-c", "side", "--", "true"), 1, "container 'side' of default/web-0 does not run: Waiting"),
        (("db", "--", "true"), 1, "no instance 'db'"),
        (("web-0",), 2, "COMMAND"),
        (("web-0", "ls", "-l"), 2, "-l"),
    ],
)
def test_what_cannot_be_done_is_said(running: World, arguments: tuple[str, ...], code: int, said: str) -> None:
    """Errors are words on stderr, with 1 for what cannot be run and 2 for what cannot be meant."""
    result = running.run("exec", *arguments)
    assert result.exit_code == code
    assert said in result.stderr


def test_an_ended_container_is_told_with_its_end(world: World) -> None:
    """Whoever wants into a crashed container reads how it ended."""
    world.end(world.make(world.want(instance("web-0"))), 3)
    assert "does not run: Exited (3)" in world.run("exec", "web-0", "--", "true").stderr


@pytest.mark.parametrize("kind", ["file", "pipe"])
async def test_input_ends_where_its_source_ends(tmp_path: Path, kind: str) -> None:
    """A file and a pipe are read to their end, which the process then sees."""
    text = b"x" * 50_000
    reader, writer = os.pipe()
    try:
        os.write(writer, text)  # less than a pipe holds
        os.close(writer)
        (tmp_path / "input").write_bytes(text)
        with (tmp_path / "input").open("rb") as file:
            source = file.fileno() if kind == "file" else reader
            process = MemoryProcess(read_script(["cat"]), tty=False)
            async with asyncio.timeout(SECONDS), process, Input(source, process):
                echoed = b"".join([data async for _, data in process.output()])
    finally:
        os.close(reader)
    assert echoed == text


async def test_input_is_given_up_when_the_process_ends() -> None:
    """A process that ends is not held up by a keyboard that nobody uses, nor by input that it never reads."""
    reader, writer = os.pipe()
    try:
        async with asyncio.timeout(SECONDS):
            async with MemoryProcess(read_script(["true"]), tty=False) as process, Input(reader, process):
                assert await process.wait() == 0
            async with MemoryProcess(read_script(["true"]), tty=False) as process, Input(reader, process):
                await process.wait()
                os.write(writer, b"nobody reads this")
                await asyncio.sleep(0)
    finally:
        os.close(reader)
        os.close(writer)


def test_the_terminal_is_restored(terminal: tuple[int, int]) -> None:
    """Raw mode ends with what it was for, also when that fails."""
    _, program = terminal
    before = termios.tcgetattr(program)
    with pytest.raises(ZeroDivisionError), raw(program):
        assert 1 / (termios.tcgetattr(program)[3] & termios.ECHO)
    assert termios.tcgetattr(program) == before


async def test_sizes_are_passed_on(terminal: tuple[int, int]) -> None:
    """The process learns the terminal's size at once, and each change of it."""
    person, program = terminal
    sizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    async def told(width: int, height: int) -> None:
        await sizes.put((width, height))

    termios.tcsetwinsize(person, (24, 80))
    async with asyncio.timeout(SECONDS):
        with resizes(program, told):
            assert await sizes.get() == (80, 24)
            termios.tcsetwinsize(person, (50, 132))
            os.kill(os.getpid(), signal.SIGWINCH)
            assert await sizes.get() == (132, 50)


WHOLE = """
import asyncio, sys
from pathlib import Path
from controller.cli.app import app
from controller.runtime.memory import MemoryRuntime
from tests.unit.cli.world import World, instance
world = World(Path(sys.argv[1]))
world.make(world.want(instance("web-0")))
app(["exec", "-it", "--state-dir", str(world.state_dir), "web-0", "--", "cat"], obj=lambda _: MemoryRuntime(world.node))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(terminal: tuple[int, int], tmp_path: Path, number: signal.Signals) -> None:
    """Typed text reaches the process and comes back; a command that is ended from elsewhere restores the terminal first."""
    person, program = terminal
    before = termios.tcgetattr(program)
    command = [sys.executable, "-c", WHOLE, str(tmp_path)]
    with subprocess.Popen(command, stdin=program, stdout=program, stderr=program, start_new_session=True) as process:
        try:
            seen = os.read(person, 1) if os.write(person, b"hi\n") else b""
            while b"hi" not in seen or termios.tcgetattr(program) == before:
                seen += os.read(person, 1024)
            process.send_signal(number)
            assert process.wait(SECONDS) == 128 + number
        finally:
            process.kill()
    assert termios.tcgetattr(program) == before
