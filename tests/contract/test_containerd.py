"""What only a real runtime can show: files, users, leftovers, and what happens when containerd or a shim dies."""

import asyncio
import os
import signal
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from controller.network.namespaces import Namespaces
from controller.runtime.containerd import methods
from controller.runtime.containerd.api import containers_pb2, content_pb2
from controller.runtime.containerd.container import evidence
from controller.runtime.containerd.host import detect_host
from controller.runtime.containerd.runtime import ContainerdRuntime
from controller.runtime.port import (
    Conflict,
    ContainerState,
    EventKind,
    ExecConfig,
    InvalidConfig,
    Mount,
    NotFound,
    Phase,
    RegistryUnreachable,
    Resources,
    StartFailure,
    Stream,
    Unavailable,
    Unsupported,
)
from tests.contract.containerd_subject import ContainerdSubject
from tests.contract.subject import FOREVER, SECONDS
from tests.waiting import eventually


async def written(real: ContainerdSubject, *args: str, **changes: object) -> str:
    """What a container writes until its end; both of its streams in one file."""
    state = await real.run(*args, **changes)
    await real.ended(state.id)
    await real.runtime.remove(state.id)  # which waits until all that it wrote is in the log
    return real.log(state.id)


async def test_info(real: ContainerdSubject) -> None:
    """Name, version and where it keeps things."""
    info = await real.runtime.info()
    assert info.name == "containerd"
    assert info.version[0].isdigit()
    assert info.snapshotters[0] == "overlayfs"
    assert info.handlers == ("runc", "other")  # the default one first
    assert Path(info.root_dir).is_dir()


async def test_a_snapshotter_that_is_not_there(real: ContainerdSubject) -> None:
    """Told at the start, with those that there are."""
    runtime = ContainerdRuntime(real.containerd.address, namespace=real.namespace, snapshotter="none")
    with pytest.raises(Unsupported, match="overlayfs"):
        await runtime.info()
    await runtime.close()


async def test_nothing_listens(tmp_path: Path) -> None:
    """A containerd that is away is not available, at once."""
    runtime = ContainerdRuntime(str(tmp_path / "none.sock"))
    async with asyncio.timeout(2):
        for call in (runtime.info(), runtime.list(), runtime.events().__anext__()):
            with pytest.raises(Unavailable):
                await call
    await runtime.close()


# --- processes --------------------------------------------------------------------------------------------------------


async def test_both_streams_go_to_the_log(real: ContainerdSubject) -> None:
    """And a second container with the same file appends."""
    log = str(real.folder / "logs" / "shared.log")
    for number in (1, 2):
        state = await real.run("sh", "-c", f"echo out{number}; echo err{number} >&2", log_path=log)
        await real.ended(state.id)
        await real.runtime.remove(state.id)
    assert sorted(Path(log).read_text().split()) == ["err1", "err2", "out1", "out2"]


async def test_the_last_words_on_both_streams_are_kept(real: ContainerdSubject) -> None:
    """A process that writes to both and ends at once loses neither, however the ends of its streams are noticed."""
    script = "echo out; echo err >&2"
    logs = [str(real.folder / "logs" / f"{number}.log") for number in range(60)]
    for log in logs:
        state = await real.run("sh", "-c", script, log_path=log)
        await real.ended(state.id)
        await real.runtime.remove(state.id)
    lost = [log for log in logs if sorted(Path(log).read_text().split()) != ["err", "out"]]
    assert not lost, f"{len(lost)} of {len(logs)}"


async def test_a_terminal_writes_a_log_too(real: ContainerdSubject) -> None:
    """With a terminal, and readable by its owner and group alone."""
    state = await real.run("sh", "-c", "tty && echo $TERM", tty=True)
    await real.ended(state.id)
    await real.wait_for_output(state.id, "xterm")
    assert real.log(state.id).split() == ["/dev/pts/0", "xterm"]
    assert stat.S_IMODE((real.folder / "logs" / f"{state.id}.log").stat().st_mode) == 0o640


@pytest.mark.parametrize("how", [{"tty": False}, {"tty": True}], ids=str)
async def test_a_container_without_a_log(real: ContainerdSubject, how: dict[str, bool]) -> None:
    """Its output is discarded, and that it was started is known all the same."""
    container_id = await real.create("sh", "-c", "echo lost; exit 4", log_path="", **how)
    assert (await real.runtime.inspect(container_id)).phase is Phase.CREATED
    await real.runtime.start(container_id)
    assert (await real.ended(container_id)).exit_code == 4
    await lose_task(real, container_id)
    assert (await real.runtime.inspect(container_id)).phase is Phase.EXITED


async def test_a_failed_start_without_a_log_was_no_start(real: ContainerdSubject) -> None:
    """The mark is taken back."""
    container_id = await real.create("nosuchcommand", log_path="")
    with pytest.raises(StartFailure):
        await real.runtime.start(container_id)
    assert (await real.runtime.inspect(container_id)).phase is Phase.CREATED


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("", "uid=0(root) gid=0(root) groups=0(root)"),
        ("app", "uid=1001(app) gid=50(staff) groups=50(staff),2001(extra)"),
        ("1001", "uid=1001(app) gid=50(staff) groups=50(staff),2001(extra)"),
        ("app:extra", "uid=1001(app) gid=2001(extra) groups=2001(extra)"),
        ("4711", "uid=4711 gid=0(root) groups=0(root)"),
        ("4711:4712", "uid=4711 gid=4712 groups=4712"),
    ],
)
async def test_users_are_those_of_the_image(real: ContainerdSubject, user: str, ids: str) -> None:
    """Names, primary and supplementary groups come from the image's own files."""
    assert (await written(real, "id", user=user)).strip() == ids


async def test_what_a_process_may_do(real: ContainerdSubject) -> None:
    """Docker's capabilities, no new privileges, a filter, and nothing of that in effect for others than root."""
    status = (await written(real, "cat", "/proc/self/status")).splitlines()
    shown = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    assert int(shown["CapBnd"], 16) == int(shown["CapEff"], 16) == 0xA80425FB
    assert (shown["NoNewPrivs"], shown["Seccomp"]) == ("1", "2")
    status = (await written(real, "cat", "/proc/self/status", user="1001")).splitlines()
    shown = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    assert int(shown["CapEff"], 16) == 0


@pytest.mark.parametrize("command", ["mount -t tmpfs x /tmp", "unshare -m true", "echo 1 > /proc/sys/kernel/printk"])
async def test_what_a_process_may_not_do(real: ContainerdSubject, command: str) -> None:
    """Nothing that would reach the node."""
    state = await real.run("sh", "-c", command)
    assert (await real.ended(state.id)).exit_code != 0


async def test_a_network_namespace_is_joined_by_path(real: ContainerdSubject, tmp_path: Path) -> None:
    """The container is in it, has its own host name, and listens on low ports without being root."""
    networks = Namespaces(str(tmp_path / "netns"))
    await networks.create("a")
    try:
        script = "ip -o link | wc -l; hostname; stat -L -c %i /proc/self/ns/net; nc -l -p 80 & sleep 0.1; kill $!"
        changes = {"network_namespace": str(tmp_path / "netns" / "a"), "hostname": "afloat", "user": "1001"}
        lines = (await written(real, "sh", "-c", script, **changes)).splitlines()
        assert lines == ["1", "afloat", str((tmp_path / "netns" / "a").stat().st_ino)]
    finally:
        await networks.remove("a")


async def test_names_of_the_host(real: ContainerdSubject) -> None:
    """The node's own, unless the container has one."""
    assert (await written(real, "hostname")).strip() == os.uname().nodename
    assert (await written(real, "hostname", hostname="berth")).strip() == "berth"


async def test_environment_folder_and_mounts(real: ContainerdSubject) -> None:
    """As configured, with a PATH where none is given."""
    data = real.folder / "data"
    data.mkdir()
    (data / "file").write_text("from the node\n")
    mounts = (Mount(str(data), "/mnt/data", options=("rbind", "ro")),)
    script = "echo $A $PATH; pwd; cat /mnt/data/file; touch /mnt/data/new 2>&1 || echo read-only"
    lines = (await written(real, "sh", "-c", script, env=(("A", "b c"),), cwd="/made/here", mounts=mounts)).splitlines()
    assert lines[:3] == ["b c /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/made/here", "from the node"]
    assert lines[4:] == ["read-only"]  # behind what touch says


@pytest.mark.parametrize(
    ("args", "changes", "message"),
    [
        (("/no/such",), {}, r"command '/no/such' not found"),
        (("/etc/passwd",), {}, r"'/etc/passwd' is not executable"),
        (("/etc",), {}, r"directory|not executable"),
        (("true",), {"cwd": "/etc/passwd"}, r"working directory '/etc/passwd'"),
        (("true",), {"resources": Resources(memory_bytes=1 << 20)}, r"memory limit .*too low"),
        (("true",), {"mounts": (Mount("/no/such/source", "/x"),)}, r"mount of '/no/such/source': no such file"),
        (("true",), {"mounts": (Mount("/etc", "/etc/passwd"),)}, r"mount of '/etc'"),
        (("true",), {"network_namespace": "/run/netns/none"}, r"network namespace"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, tuple) else "",
)
async def test_why_it_cannot_start(
    real: ContainerdSubject, args: tuple[str, ...], changes: dict[str, object], message: str
) -> None:
    """The message names the cause, and the container is as if it had never been tried."""
    container_id = await real.create(*args, **changes)
    with pytest.raises(StartFailure, match=message) as caught:
        await real.runtime.start(container_id)
    assert "runc" not in str(caught.value)
    assert (await real.runtime.inspect(container_id)).phase is Phase.CREATED
    assert not (real.folder / "logs" / f"{container_id}.log").exists()


async def test_memory_limits_hold(real: ContainerdSubject) -> None:
    """Who needs more is killed, and that is told whoever listened."""
    script = 'x=$(head -c 64000000 /dev/zero | tr "\\0" x); echo $x'
    state = await real.run("sh", "-c", script, resources=Resources(memory_bytes=16 << 20))
    ended = await real.ended(state.id)
    assert ended.oom_killed
    assert ended.exit_code == 137
    again = await real.connect()
    assert await again.inspect(state.id) == ended


async def test_limits_are_written_to_the_cgroup(real: ContainerdSubject) -> None:
    """Also when they change, and when they are taken away."""
    asked = Resources(cpu_millis=250, memory_bytes=32 << 20, cpu_request_millis=100, pids=20)
    state = await real.run(resources=asked)
    assert limits(real, state) == {"cpu": "25000", "memory": str(32 << 20), "weight": weight(102), "pids": "20"}
    more = Resources(cpu_millis=1500, memory_bytes=64 << 20, cpu_request_millis=1000, pids=30)
    await real.runtime.update_resources(state.id, more)
    assert limits(real, state) == {"cpu": "150000", "memory": str(64 << 20), "weight": weight(1024), "pids": "30"}
    await real.runtime.update_resources(state.id, Resources(cpu_request_millis=0))
    found = limits(real, state)
    assert found["cpu"] in {"-1", "max"}
    assert found["memory"] == "max" or int(found["memory"]) > 1 << 60
    assert (found["weight"], found["pids"]) == (weight(2), "max")


CGROUPS = Path("/sys/fs/cgroup")


def limits(real: ContainerdSubject, state: ContainerState) -> dict[str, str]:
    """What the kernel has of CPU quota, memory limit, weight and processes, from whichever version of cgroups there is."""
    below = f"{real.cgroup.lstrip('/')}/{state.id}"
    if CGROUP_V2:
        files = {"cpu": "cpu.max", "memory": "memory.max", "weight": "cpu.weight", "pids": "pids.max"}
        return {name: (CGROUPS / below / file).read_text().split()[0] for name, file in files.items()}
    files = {
        "cpu": f"cpu/{below}/cpu.cfs_quota_us",
        "memory": f"memory/{below}/memory.limit_in_bytes",
        "weight": f"cpu/{below}/cpu.shares",
        "pids": f"pids/{below}/pids.max",
    }
    return {name: (CGROUPS / file).read_text().strip() for name, file in files.items()}


CGROUP_V2 = (CGROUPS / "cgroup.controllers").exists()
WEIGHTS = {2: "1", 102: "17", 1024: "100"}
"""What runc makes of shares on version 2: the least of the least, and the default of what a core has."""


def weight(shares: int) -> str:
    """Shares, as the kernel has them."""
    return WEIGHTS[shares] if CGROUP_V2 else str(shares)


async def test_what_an_interrupted_start_left_goes_with_the_container(real: ContainerdSubject) -> None:
    """A cgroup that the OCI runtime had made, and a process in it, when containerd gave the task up."""
    container_id = await real.create()
    tops = [CGROUPS] if CGROUP_V2 else [CGROUPS / "memory", CGROUPS / "pids"]
    folders = [top / real.cgroup.lstrip("/") / container_id for top in tops]
    process = await asyncio.create_subprocess_exec("sleep", "infinity")
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text(str(process.pid))
    await real.runtime.remove(container_id)
    assert await process.wait() == -9
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(("wanted", "least"), [(1000, 1000), (500, 500), (-997, None)])
async def test_oom_scores_are_set_as_far_as_allowed(real: ContainerdSubject, wanted: int, least: int | None) -> None:
    """One that is lower than this process may set is as low as it may be, and nothing fails."""
    state = await real.run(oom_score_adj=wanted)
    score = int(Path(f"/proc/{state.pid}/oom_score_adj").read_text())
    assert score == (least if least is not None else max(wanted, detect_host().oom_score_floor))


async def test_one_shim_serves_a_group(real: ContainerdSubject) -> None:
    """However they are started; and a group that was empty in between starts with a new one."""
    states = await asyncio.gather(*(real.run() for _ in range(4)))
    assert len(real.shims()) == 1
    for state in states:
        await real.runtime.remove(state.id)
    await asyncio.gather(*(real.run() for _ in range(3)))
    other = await real.run(group="other")
    assert other.pid
    await real.runtime.remove(other.id)


# --- further processes ------------------------------------------------------------------------------------------------


async def test_a_terminal_is_one(real: ContainerdSubject) -> None:
    """With the size that it was told."""
    state = await real.run()
    script = "read line; stty size; echo got $line"
    config = ExecConfig(("sh", "-c", script), tty=True, stdin=True)
    async with asyncio.timeout(SECONDS), await real.runtime.exec(state.id, config) as process:
        await process.resize(120, 40)
        await process.write(b"something\n")
        output = b"".join([data async for _, data in process.output()])
        assert b"40 120" in output
        assert b"got something" in output


async def test_a_child_left_behind_holds_up_nobody(real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output ends some time after the process, whoever still has it open."""
    monkeypatch.setattr("controller.runtime.containerd.container.fifos._SILENCE", 0.2)
    state = await real.run()
    config = ExecConfig(("sh", "-c", "sleep 1000 & echo said"))
    async with asyncio.timeout(SECONDS), await real.runtime.exec(state.id, config) as process:
        assert [item async for item in process.output()] == [(Stream.STDOUT, b"said\n")]
        assert await process.wait() == 0
        await real.runtime.remove(state.id)


async def test_a_process_ends_with_its_container(real: ContainerdSubject) -> None:
    """Who reads its output or waits for it is told."""
    state = await real.run()
    async with asyncio.timeout(SECONDS), await real.runtime.exec(state.id, ExecConfig(("sleep", "1000"))) as process:
        await real.runtime.signal(state.id, "SIGKILL")
        assert [item async for item in process.output()] == []
        assert await process.wait() == 137


# --- what others do ---------------------------------------------------------------------------------------------------


async def lose_task(real: ContainerdSubject, container_id: str) -> None:
    """Take the task away, as `ctr` can."""
    await asyncio.to_thread(real.containerd.ctr, "--namespace", real.namespace, "tasks", "rm", "--force", container_id)


async def test_a_lost_task_is_an_end(real: ContainerdSubject) -> None:
    """`ctr tasks rm -f` of ours: ended, with a code that nobody knows, and not to be started again."""
    state = await real.run()
    async with real.watch() as watch:
        assert (state,) == await real.runtime.list()  # as everybody does who follows the events
        await lose_task(real, state.id)
        await watch.until(lambda event: event.kind in {EventKind.EXITED, EventKind.CHANGED})
    lost = await real.runtime.inspect(state.id)
    assert (lost.phase, lost.exit_code, lost.pid) == (Phase.EXITED, None, 0)
    assert lost.started_at == state.started_at
    assert (lost,) == await real.runtime.list()
    with pytest.raises(Conflict):
        await real.runtime.start(state.id)


async def test_who_comes_after_a_lost_task_has_a_shim_that_lasts(real: ContainerdSubject) -> None:
    """The shim of a group ends when somebody deletes its last task: what is started meanwhile must not be given it."""
    await real.pull()
    first = real.config(group="g")
    await real.runtime.create(first)
    await real.runtime.start(first.id)
    for number in range(5):
        second = real.config(group="g")
        await real.runtime.create(second)
        async with real.watch() as watch:
            assert len(await real.runtime.list()) == 2  # as everybody does who follows the events
            losing = asyncio.create_task(lose_task(real, first.id))
            await watch.until(lambda event: event.kind is EventKind.EXITED)
            await real.runtime.start(second.id)
            await losing
        await real.runtime.remove(first.id)
        assert (await real.runtime.inspect(second.id)).phase is Phase.RUNNING, number
        first = second


async def test_a_killed_process_is_told_at_once(real: ContainerdSubject) -> None:
    """By the runtime's own event, whoever killed it."""
    state = await real.run()
    async with real.watch() as watch:
        os.kill(state.pid, signal.SIGKILL)
        event = await watch.until(lambda event: event.kind is EventKind.EXITED)
    assert (event.container_id, event.exit_code) == (state.id, 137)


async def test_a_killed_shim_takes_its_containers_along(real: ContainerdSubject) -> None:
    """Nothing of them goes on unseen, and they can be removed and made anew."""
    config = real.config()
    await real.pull()
    await real.runtime.create(config)
    state = await real.runtime.start(config.id)
    async with real.watch() as watch:
        (shim,) = real.shims()
        os.kill(shim, signal.SIGKILL)
        await watch.until(lambda event: event.kind is EventKind.EXITED)
    assert (await real.runtime.inspect(state.id)).phase is Phase.EXITED
    await real.runtime.remove(state.id)
    await real.runtime.create(config)
    assert (await real.runtime.start(config.id)).phase is Phase.RUNNING


def stop(pid: int) -> None:
    """Stop a process; its threads may run on for a moment after the signal was sent, and are waited for."""
    os.kill(pid, signal.SIGSTOP)
    tasks = [path / "stat" for path in Path(f"/proc/{pid}/task").iterdir()]
    states = eventually(lambda: {task.read_text().rpartition(")")[2].split()[0] for task in tasks}, lambda seen: seen == {"T"})
    assert states == {"T"}


async def test_a_hung_shim_is_not_taken_for_an_end(real: ContainerdSubject) -> None:
    """Neither gone nor ended: unknown. When it goes on, all is as before."""
    state = await real.run()
    (shim,) = real.shims()
    stop(shim)
    try:
        assert [one.phase for one in await real.runtime.list()] == [Phase.UNKNOWN]
    finally:
        os.kill(shim, signal.SIGCONT)
    assert await real.runtime.inspect(state.id) == state


async def test_a_reboot_ends_all(real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made before this boot and has no task is taken as ended."""
    container_id = await real.create()
    monkeypatch.setattr(evidence, "boot_id", lambda: "another")
    assert (await real.runtime.inspect(container_id)).phase is Phase.EXITED
    assert [state.phase for state in await real.runtime.list()] == [Phase.EXITED]


async def test_a_task_that_was_made_and_not_started(real: ContainerdSubject) -> None:
    """An agent killed between the two: created still, and the next start goes on with it."""
    container_id = await real.create(*FOREVER)
    again = await real.connect()
    created = await again._lifecycle._find_created(container_id)  # the half of `start` before the kill
    assert created.mounts is not None
    await again._lifecycle._create_task(created, created.mounts)
    await real.runtime.close()
    real.runtime = await real.connect()
    assert (await real.runtime.inspect(container_id)).phase is Phase.CREATED
    started = await real.runtime.start(container_id)
    assert started == await real.runtime.inspect(container_id)
    assert started.phase is Phase.RUNNING


async def test_a_record_without_its_snapshot(real: ContainerdSubject) -> None:
    """An agent killed in the middle of `create`: the next start makes what is missing."""
    container_id = await real.create()
    await real.runtime._snapshots.remove(container_id)  # as if it had not been made yet
    await real.runtime.close()
    real.runtime = await real.connect()
    assert (await real.runtime.start(container_id)).phase is Phase.RUNNING


LOOKING = """
import asyncio, sys
from controller.runtime.containerd.channel import Channel
from controller.runtime.containerd.container.snapshots import Snapshots

async def main(address, namespace, chain):
    async with Snapshots(Channel(address, namespace), "overlayfs").view(chain):
        print("looking", flush=True)
        await asyncio.sleep(1000)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_look_into_an_image_that_was_killed_leaves_nothing(real: ContainerdSubject) -> None:
    """The next process takes away what the one before held open, and nothing that it holds open itself."""
    await real.pull()
    chain = (await real.runtime._images.get(real.ref("busybox:1"))).contents.chain_id
    arguments = (sys.executable, "-c", LOOKING, real.containerd.address, real.namespace, chain)
    looking = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    assert looking.stdout is not None
    assert await looking.stdout.readline() == b"looking\n"
    looking.kill()
    await looking.wait()
    assert len([line for line in await real.leftovers() if line.startswith(("snapshot", "lease"))]) == 2
    async with real.runtime._snapshots.view(chain):
        assert await real.runtime.tidy() == 0
        assert len([line for line in await real.leftovers() if line.startswith(("snapshot", "lease"))]) == 2, "its own"
    assert await real.leftovers() == []


async def test_an_image_that_is_not_unpacked_is_not_there(real: ContainerdSubject) -> None:
    """It must be pulled again before a container can be made from it."""
    await real.pull()
    chain = (await real.runtime._images.get(real.ref("busybox:1"))).contents.chain_id
    await real.runtime._snapshots.remove(chain)
    with pytest.raises(NotFound):
        await real.runtime.create(real.config())
    runtime = await real.connect()
    with pytest.raises(NotFound, match="not unpacked"):
        await runtime.image(real.ref("busybox:1"))
    assert await runtime.images() == ()
    assert await runtime.list() == ()


async def test_a_removed_image_is_not_needed_any_more(real: ContainerdSubject) -> None:
    """A container has all that it needs; only a new one cannot be made."""
    container_id = await real.create()
    await real.runtime.remove_image(real.ref("busybox:1"))
    await real.collect_garbage()
    assert (await real.runtime.start(container_id)).phase is Phase.RUNNING
    with pytest.raises(NotFound):
        await real.runtime.create(real.config())


async def test_the_room_is_free_when_a_removal_has_waited(real: ContainerdSubject) -> None:
    """Neither content nor layers are left then, but for what a container, or another name, still needs."""
    await real.create()
    kept = set(await real.snapshots())
    await real.pull("user:1")
    digest = (await real.runtime.image(real.ref("user:1"))).digest
    assert set(await real.snapshots()) > kept
    await real.runtime.remove_image(real.ref("user:1"), wait=True)
    assert set(await real.snapshots()) == kept
    with pytest.raises(NotFound):
        async for _ in real.channel.stream(methods.READ_CONTENT, content_pb2.ReadContentRequest(digest=digest)):
            pass


async def test_a_silent_registry_is_given_up(real: ContainerdSubject) -> None:
    """One that takes the connection and says nothing."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    runtime = ContainerdRuntime(real.containerd.address, namespace=real.namespace, pull_silence=0.5)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(RegistryUnreachable, match="nothing was received"):
            await runtime.pull(f"127.0.0.1:{port}/x:1")
        for writer in writers:
            writer.close()
            await writer.wait_closed()
    await runtime.close()


async def test_an_id_that_containerd_does_not_take(real: ContainerdSubject) -> None:
    """Refused before anything is made."""
    await real.pull()
    with pytest.raises(InvalidConfig):
        await real.runtime.create(replace(real.config(), id="not an id"))
    assert await real.runtime.list() == ()


async def test_a_container_of_somebody_else_is_listed(real: ContainerdSubject) -> None:
    """In our namespace, but not made by us: it shows, and can be removed."""
    await real.pull()
    record = containers_pb2.Container(id="foreign", runtime=containers_pb2.Container.Runtime(name="io.containerd.runc.v2"))
    record.spec.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
    record.spec.value = b"{}"
    await real.channel.call(methods.CREATE_CONTAINER, containers_pb2.CreateContainerRequest(container=record))
    assert [state.id for state in await real.runtime.list()] == ["foreign"]
    await real.runtime.remove("foreign")


# --- under load, and when containerd dies -----------------------------------------------------------------------------


async def test_many_cycles_leave_nothing(real: ContainerdSubject) -> None:
    """200 containers made, started and removed, 8 at a time, with the garbage collector at work between create and start."""
    await real.pull()
    slots = asyncio.Semaphore(8)

    async def cycle(number: int) -> None:
        async with slots:
            container_id = await real.create("true", group=f"g{number % 20}")
            if number % 5 == 0:
                await real.collect_garbage()
            await real.runtime.start(container_id)
            await real.runtime.remove(container_id)

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(cycle(number))
    assert await real.leftovers() == []


async def test_containerd_is_killed_and_comes_back(real: ContainerdSubject) -> None:
    """The stream ends at once, calls fail at once, and afterwards everything runs as before."""
    await asyncio.gather(*(real.run(group=f"g{number % 3}") for number in range(6)))
    before = sorted(await real.runtime.list(), key=str)
    async with real.watch() as watch:
        await asyncio.to_thread(real.containerd.kill)
        try:
            async with asyncio.timeout(1):
                with pytest.raises(Unavailable):
                    await watch.broken()
                with pytest.raises(Unavailable):
                    await real.runtime.list()
        finally:
            await asyncio.to_thread(real.containerd.start)
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                after = sorted(await real.runtime.list(), key=str)
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    assert after == before
    assert {state.phase for state in after} == {Phase.RUNNING}
    async with real.watch() as watch:
        await real.runtime.signal(after[0].id, "SIGKILL")
        await watch.until(lambda event: event.kind is EventKind.EXITED)


async def test_a_hung_containerd_ends_the_stream(real: ContainerdSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that says nothing any more is given up, though its connection stands."""
    monkeypatch.setattr("controller.runtime.containerd.events._LATE", 0.5)
    runtime = ContainerdRuntime(real.containerd.address, namespace=real.namespace, heartbeat=0.1)
    stream = runtime.events()
    async with asyncio.timeout(SECONDS):
        assert (await stream.__anext__()).kind is EventKind.SUBSCRIBED
        pid = real.containerd.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match="dead"):
                await stream.__anext__()
        finally:
            os.kill(pid, signal.SIGCONT)
    await runtime.close()
