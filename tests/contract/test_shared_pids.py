"""Process ids that the containers of a group share: kept over their ends, and gone with the last of them."""

import os
import signal
from pathlib import Path

import pytest

from controller.runtime.port import EventKind, ExecConfig, InvalidConfig, Phase, StartFailure
from tests.contract.containerd_subject import ContainerdSubject
from tests.contract.subject import FOREVER, SECONDS, Subject


async def output(runtime_subject: Subject, container_id: str, script: str) -> str:
    """What a shell in a container prints."""
    config = ExecConfig(("sh", "-c", script))
    async with await runtime_subject.runtime.exec(container_id, config) as process:
        found = b"".join([data async for _, data in process.output()])
        assert await process.wait() == 0
    return found.decode()


def namespace(pid: int, kind: str = "pid") -> str:
    """A namespace of a process."""
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


# --- the same on every runtime ----------------------------------------------------------------------------------------


async def test_nothing_but_the_containers_is_told_of(subject: Subject) -> None:
    """Neither lists nor figures nor events have more than what was asked for; and nothing stays."""
    async with subject.watch() as watch:
        ids = {(await subject.run(*FOREVER, shared_pids=True)).id for _ in range(2)}
        assert {state.id for state in await subject.runtime.list()} == ids
        assert {stats.id for stats in await subject.runtime.stats()} == ids
        for id_ in ids:
            await subject.runtime.remove(id_)
            await watch.until_told(EventKind.REMOVED, id_)
        assert {event.container_id for event in watch.events if event.container_id} == ids
    assert await subject.runtime.list() == ()


async def test_no_process_is_the_first_one(subject: Subject) -> None:
    """So signals end it that the kernel would keep from the first process of a namespace (pid_namespaces(7))."""
    state = await subject.run(*FOREVER, shared_pids=True)
    await subject.runtime.signal(state.id, "SIGTERM")
    assert (await subject.ended(state.id)).exit_code == 143


async def test_process_ids_are_shared_with_the_node_or_with_the_group(subject: Subject) -> None:
    """Both at once is refused."""
    await subject.pull()
    with pytest.raises(InvalidConfig, match="not both"):
        await subject.runtime.create(subject.config(*FOREVER, shared_pids=True, host_pid=True))
    assert await subject.runtime.list() == ()


async def test_ipc_is_shared_with_the_node_or_by_path(subject: Subject) -> None:
    """Both at once is refused."""
    await subject.pull()
    with pytest.raises(InvalidConfig, match="not both"):
        await subject.runtime.create(subject.config(*FOREVER, host_ipc=True, ipc_namespace="/proc/1/ns/ipc"))
    assert await subject.runtime.list() == ()


# --- seen from inside -------------------------------------------------------------------------------------------------


async def test_containers_of_a_group_see_each_other(real: ContainerdSubject) -> None:
    """Those that share, and no others; the first process is one that does nothing."""
    first = await real.run("sleep", "1111", shared_pids=True)
    second = await real.run("sleep", "2222", shared_pids=True)
    other = await real.run("sleep", "3333", shared_pids=True, group="another")
    alone = await real.run("sleep", "4444")
    seen = await output(real, first.id, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "sleep 1111" in seen
    assert "sleep 2222" in seen
    assert "3333" not in seen
    assert "4444" not in seen
    assert (await output(real, second.id, "cat /proc/1/comm")).strip() == "pause"
    assert len({namespace(state.pid) for state in (first, second, other, alone)}) == 3
    assert namespace(os.getpid()) not in {namespace(state.pid) for state in (first, second, other, alone)}


async def test_one_may_signal_another(real: ContainerdSubject) -> None:
    """As with processes of one container; the first process is not theirs to end."""
    first = await real.run("sleep", "1111", shared_pids=True)
    second = await real.run(shared_pids=True)
    script = "kill -9 1; for p in $(pidof sleep); do grep -q 1111 /proc/$p/cmdline && kill $p; done; true"
    await output(real, second.id, script)
    assert (await real.ended(first.id)).exit_code == 143
    assert (await real.runtime.inspect(second.id)).phase is Phase.RUNNING


async def test_they_outlive_every_container_but_the_last(real: ContainerdSubject) -> None:
    """Whoever started first may end, be removed and come back, by a later agent too; the others keep their process ids."""
    first = await real.run(shared_pids=True)
    second = await real.run(shared_pids=True)
    before = namespace(second.pid)
    await real.runtime.signal(first.id, "SIGKILL")
    await real.ended(first.id)
    again = await real.connect()
    await again.remove(first.id)
    third = await again.start((await again.create(real.config(shared_pids=True))).id)
    assert (namespace(third.pid), namespace(second.pid)) == (before, before)
    await again.remove(second.id)
    assert (await again.inspect(third.id)).phase is Phase.RUNNING
    await again.remove(third.id)
    assert await real.leftovers() == []


async def test_the_last_one_may_be_removed_by_a_later_agent(real: ContainerdSubject) -> None:
    """Which looks at the records before one goes."""
    state = await real.run(shared_pids=True)
    await (await real.connect()).remove(state.id)
    assert await real.leftovers() == []


async def test_what_is_left_behind_is_collected(real: ContainerdSubject) -> None:
    """A process whose parent has ended becomes the first one's child, and does not stay when it ends."""
    state = await real.run(shared_pids=True)
    await output(real, state.id, "for i in 1 2 3 4 5; do (sleep 0.1 &); done")
    script = "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; pidof sleep | wc -w"
    for _ in range(int(SECONDS / 0.1)):
        zombies, sleeping = (await output(real, state.id, script)).split()
        if sleeping == "1":
            break
    assert (zombies, sleeping) == ("0", "1")


async def test_when_the_first_process_is_killed_all_are(real: ContainerdSubject) -> None:
    """It is seen as the containers' end, and the next start makes a new one."""
    first = await real.run(shared_pids=True)
    second = await real.run(shared_pids=True)
    holder = next(pid for pid in members(first.pid) if Path(f"/proc/{pid}/comm").read_text() == "pause\n")
    os.kill(holder, signal.SIGKILL)
    assert [(await real.ended(state.id)).exit_code for state in (first, second)] == [137, 137]
    third = await real.run(shared_pids=True)
    assert third.phase is Phase.RUNNING
    for state in (first, second, third):
        await real.runtime.remove(state.id)
    assert await real.leftovers() == []


def members(pid: int) -> list[int]:
    """Processes in the PID namespace of one."""
    wanted, found = namespace(pid), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if namespace(int(entry.name)) == wanted:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def test_the_first_process_may_do_nothing(real: ContainerdSubject) -> None:
    """No rights, nobody's user, an empty root file system, no network but its own, and not in the node's cgroup."""
    state = await real.run(shared_pids=True)
    holder = next(pid for pid in members(state.pid) if Path(f"/proc/{pid}/comm").read_text() == "pause\n")
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{holder}/status").read_text().splitlines() if ":\t" in line)
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {0}
    assert (status["Uid"].split()[0], status["NoNewPrivs"], status["Seccomp"]) == ("65535", "1", "2")
    assert namespace(holder, "net") not in {namespace(pid, "net") for pid in (os.getpid(), state.pid)}
    assert real.cgroup in Path(f"/proc/{holder}/cgroup").read_text()


async def test_one_that_nobody_needs_is_tidied_away(real: ContainerdSubject) -> None:
    """A process that is killed between the last container's removal and the holder's leaves it; the next one finds it twice."""
    state = await real.run(shared_pids=True)
    half = await real.connect()

    async def nothing(container_id: str, group: str) -> None:
        """The process ends here."""

    half._lifecycle.holders.leave = nothing  # type: ignore[method-assign]
    await half.remove(state.id)
    assert [record.id for record in await half._containers.list()] == ["contract.pause"]
    later = await real.connect()
    assert await later.tidy() == 0
    assert await later.tidy() == 1
    assert await real.leftovers() == []


async def test_a_program_that_cannot_be_run_is_told(real: ContainerdSubject) -> None:
    """The start fails in words that name it; nothing is left but the container, which can be started when that is mended."""
    (real.folder / "programs").write_text("in the way")
    container_id = await real.create(shared_pids=True)
    with pytest.raises(StartFailure, match="programs"):
        await real.runtime.start(container_id)
    assert (await real.runtime.inspect(container_id)).phase is Phase.CREATED
    (real.folder / "programs").unlink()
    assert (await real.runtime.start(container_id)).phase is Phase.RUNNING
