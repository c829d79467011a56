"""Containers with a terminal, or with a standard input that stays open: what only a real runtime can show."""

import asyncio
import os
import re
import signal
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from controller.runtime.containerd.handlers import Handler, table
from controller.runtime.containerd.runtime import ContainerdRuntime
from controller.runtime.port import InvalidConfig, Phase
from tests.contract.containerd_subject import ContainerdSubject
from tests.contract.subject import SECONDS

TALKER = """trap "echo again" USR1; trap "exit 0" TERM
test -t 0 && test -t 1 && test -t 2 && test -c /dev/console && echo ready
while true; do sleep 0.02; done"""


def _log(real: ContainerdSubject, container_id: str) -> Path:
    return real.folder / "logs" / f"{container_id}.log"


async def _ended(real: ContainerdSubject, container_id: str) -> bytes:
    """What it wrote, all of it."""
    await real.ended(container_id)
    await real.runtime.remove(container_id)
    return _log(real, container_id).read_bytes()


@pytest.mark.parametrize("later", [False, True], ids=["in one go", "by another agent"])
async def test_the_log_of_a_terminal_may_be_truncated(real: ContainerdSubject, *, later: bool) -> None:
    """What comes after it stands at the beginning, also when an agent was killed between the task and its start."""
    container_id = await real.create("sh", "-c", TALKER, tty=True)
    if later:
        killed = await real.connect()
        created = await killed._lifecycle._find_created(container_id)
        assert created.mounts is not None
        await killed._lifecycle._create_task(created, created.mounts)
        await real.runtime.close()
        real.runtime = await real.connect()
    await real.runtime.start(container_id)
    await real.wait_for_output(container_id, "ready")
    log = _log(real, container_id)
    assert log.read_bytes() == b"ready\r\n"
    os.truncate(log, 0)
    await real.runtime.signal(container_id, "SIGUSR1")
    await real.wait_for_output(container_id, "again")
    assert log.read_bytes() == b"again\r\n"
    await real.runtime.signal(container_id, "SIGTERM")
    assert await _ended(real, container_id) == b"again\r\n"


async def test_the_last_words_on_a_terminal_are_kept(real: ContainerdSubject) -> None:
    """All of what was written just before the end, which is more than a terminal holds."""
    script = "i=0; while [ $i -lt 2000 ]; do echo 0123456789; i=$((i+1)); done; echo last"
    for _ in range(10):
        state = await real.run("sh", "-c", script, tty=True)
        lines = (await _ended(real, state.id)).split(b"\r\n")
        assert (len(lines), lines[-2]) == (2002, b"last")


async def test_a_terminal_belongs_to_the_user(real: ContainerdSubject) -> None:
    """Who is not root can open it by its name, too."""
    state = await real.run("sh", "-c", "echo named > $(tty) && id -u", tty=True, user="app", image=real.ref("user:1"))
    assert (await _ended(real, state.id)).split() == [b"named", b"1001"]


async def test_containerd_may_be_killed(real: ContainerdSubject) -> None:
    """Terminals and standard inputs are the shim's: nobody reads an end, and nothing that is written meanwhile is lost."""
    script = 'trap "echo again" USR1; exec 3<&0; (cat <&3; echo ended) & echo ready; while true; do sleep 0.02; done'
    talkers = [await real.run("sh", "-c", script, **{kind: True}) for kind in ("tty", "stdin")]
    for state in talkers:
        await real.wait_for_output(state.id, "ready")
    await asyncio.to_thread(real.containerd.kill)
    for state in talkers:
        os.kill(state.pid, signal.SIGUSR1)
        await real.wait_for_output(state.id, "again")
    await asyncio.to_thread(real.containerd.start)
    real.runtime = await real.connect()
    for state in talkers:
        assert (await real.runtime.inspect(state.id)).phase is Phase.RUNNING
        await real.runtime.remove(state.id)
        assert re.sub(r"\s+", " ", real.log(state.id)).strip() == "ready again"


@pytest.mark.parametrize("how", [{"stdin": True}, {"stdin": True, "tty": True}], ids=str)
async def test_a_shim_keeps_nothing_open(real: ContainerdSubject, how: dict[str, bool]) -> None:
    """After a container is removed, its shim, which serves others, has no pipe of its standard input open any more."""
    await real.run()
    (shim,) = real.shims()
    before = _pipes(shim)
    for _ in range(3):
        state = await real.run("cat", **how)
        assert (_pipes(shim) > before) is not how.get("tty", False)
        await real.runtime.remove(state.id)
    async with asyncio.timeout(SECONDS):  # the shim's own routines end a moment after the answer
        while _pipes(shim) > before:
            await asyncio.sleep(0.01)


def _pipes(pid: int) -> int:
    """How many a process has open, with a name or without; terminals and sockets are not counted."""
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += stat.S_ISFIFO(descriptor.stat().st_mode)
    return found


async def test_another_shim_is_not_believed(real: ContainerdSubject) -> None:
    """Whose log would get holes: a terminal is refused, before anything is made."""
    handlers = table([Handler("strange", "io.containerd.strange.v1")])
    runtime = ContainerdRuntime(real.containerd.address, namespace=real.namespace, handlers=handlers)
    await real.pull()
    with pytest.raises(InvalidConfig, match="tty cannot be had with the runtime handler 'strange'"):
        await runtime.create(real.config("true", tty=True, runtime_handler="strange"))
    assert await runtime.list() == ()
    await runtime.close()
