"""What a container's process may do: refused alike by every runtime, and seen from inside on a real one."""

import json
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.port import ExecConfig, InvalidConfig, Phase, Seccomp, Security, Stream
from tests.contract.containerd_subject import ContainerdSubject
from tests.contract.subject import FOREVER, Subject

CHOWN, NET_BIND_SERVICE, NET_ADMIN = 1 << 0, 1 << 10, 1 << 12
DOCKERS = 0xA80425FB
"""Docker's default set, as the kernel shows it."""


# --- the same on every runtime ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "changes", "message"),
    [
        ("busybox:1", {"security": Security(run_as_non_root=True)}, "image will run as root"),
        ("busybox:1", {"security": Security(run_as_non_root=True), "user": "root"}, "image will run as root"),
        ("busybox:1", {"security": Security(run_as_non_root=True, run_as_user=0)}, "runAsUser is 0"),
        ("user:1", {"security": Security(run_as_non_root=True, run_as_user=0), "user": "app"}, "runAsUser is 0"),
        ("busybox:1", {"security": Security(drop_capabilities=("FLY",))}, "'FLY' is none"),
        ("busybox:1", {"security": Security(seccomp=Seccomp.LOCALHOST, seccomp_profile="{")}, "no JSON"),
    ],
    ids=["root by default", "root by name", "root by number", "over the image's", "no such capability", "broken filter"],
)
async def test_what_may_not_be_is_refused_and_leaves_nothing(
    subject: Subject, image: str, changes: dict[str, Any], message: str
) -> None:
    """Before anything is made, in words that name the field."""
    await subject.pull(image)
    with pytest.raises(InvalidConfig, match=message):
        await subject.runtime.create(subject.config(*FOREVER, image=subject.ref(image), **changes))
    assert await subject.runtime.list() == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "app"},
        {"user": "app:staff"},
        {"user": "root", "security": Security(run_as_user=7)},
        {"user": "", "security": Security(run_as_user=7, run_as_group=0)},
    ],
    ids=["by name", "by name and group", "over the image's", "group 0 is not root"],
)
async def test_who_is_not_root_runs_where_root_may_not(subject: Subject, changes: dict[str, Any]) -> None:
    """`run_as_non_root` looks at the user's number, wherever it comes from."""
    security = changes.get("security", Security())
    wanted = Security(run_as_non_root=True, run_as_user=security.run_as_user, run_as_group=security.run_as_group)
    state = await subject.run(*FOREVER, **{**changes, "image": subject.ref("user:1"), "security": wanted})
    assert state.phase is Phase.RUNNING


async def test_a_user_by_number_needs_no_user_of_the_image(subject: Subject) -> None:
    """The image's own may then be one that does not even exist."""
    security = Security(run_as_user=1234, supplemental_groups=(5,))
    assert (await subject.run(*FOREVER, user="no-such-user:no-such-group", security=security)).phase is Phase.RUNNING


async def test_with_the_nodes_process_ids_a_process_is_not_guarded_from_signals(subject: Subject) -> None:
    """The kernel's guard is for the first process of a namespace (pid_namespaces(7)), which it then is not."""
    state = await subject.run(*FOREVER, host_pid=True)
    await subject.runtime.signal(state.id, "SIGTERM")
    assert (await subject.ended(state.id)).exit_code == 143


# --- seen from inside -------------------------------------------------------------------------------------------------


async def seen(real: ContainerdSubject, script: str, **changes: Any) -> list[str]:
    """The lines that a shell in the container prints."""
    state = await real.run("sh", "-c", script, **changes)
    await real.ended(state.id)
    await real.runtime.remove(state.id)
    return real.log(state.id).splitlines()


async def status(real: ContainerdSubject, **changes: Any) -> dict[str, str]:
    """/proc/self/status of a process in the container."""
    lines = await seen(real, "cat /proc/self/status", **changes)
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":\t") for line in lines)}


@pytest.mark.parametrize(
    ("security", "user", "effective", "bounding"),
    [
        (Security(), "", DOCKERS, DOCKERS),
        (Security(drop_capabilities=("ALL",)), "", 0, 0),
        (Security(drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",)), "", NET_BIND_SERVICE, NET_BIND_SERVICE),
        (Security(add_capabilities=("NET_ADMIN",), drop_capabilities=("CHOWN",)), "", *2 * (DOCKERS & ~CHOWN | NET_ADMIN,)),
        (Security(add_capabilities=("NET_ADMIN",)), "1001", 0, DOCKERS | NET_ADMIN),
        (Security(run_as_user=1001), "", 0, DOCKERS),
    ],
    ids=["default", "none", "one", "changed", "not root", "not root by number"],
)
async def test_capabilities(real: ContainerdSubject, security: Security, user: str, effective: int, bounding: int) -> None:
    """Added to Docker's and taken from it; none is inherited, none ambient, and none in effect without root."""
    shown = await status(real, security=security, user=user)
    assert (int(shown["CapEff"], 16), int(shown["CapBnd"], 16)) == (effective, bounding)
    assert (int(shown["CapInh"], 16), int(shown["CapAmb"], 16)) == (0, 0)


async def test_escalation_and_filter(real: ContainerdSubject) -> None:
    """New privileges only if they are asked for; a filter unless it is not wanted."""
    shown = await status(real, security=Security(no_new_privileges=False, seccomp=Seccomp.UNCONFINED))
    assert (shown["NoNewPrivs"], shown["Seccomp"]) == ("0", "0")


async def test_a_filter_of_the_nodes_own(real: ContainerdSubject) -> None:
    """The profile is used as it is."""
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    security = Security(seccomp=Seccomp.LOCALHOST, seccomp_profile=profile)
    lines = await seen(real, "grep Seccomp: /proc/self/status; mkdir /x 2>&1", security=security)
    assert lines[0].split() == ["Seccomp:", "2"]
    assert "not supported" in lines[1]


@pytest.mark.parametrize(
    ("user", "changes", "ids", "groups"),
    [
        ("app:staff", {"run_as_user": 4711}, ("4711", "0"), "0"),
        ("app:staff", {"run_as_user": 1001}, ("1001", "50"), "50 2001"),
        ("app:staff", {"run_as_group": 4712}, ("1001", "4712"), "2001 4712"),
        ("app", {"supplemental_groups": (9, 50, 7)}, ("1001", "50"), "7 9 50 2001"),
        ("", {"run_as_user": 0, "run_as_group": 8, "supplemental_groups": (9,)}, ("0", "8"), "8 9"),
    ],
    ids=str,
)
async def test_users_and_groups(
    real: ContainerdSubject, user: str, changes: dict[str, Any], ids: tuple[str, str], groups: str
) -> None:
    """Numbers take the place of the image's user; memberships in its group file and further groups come on top."""
    shown = await status(real, user=user, security=Security(**changes))
    assert shown["Uid"].split() == [ids[0]] * 4
    assert shown["Gid"].split() == [ids[1]] * 4
    assert sorted(map(int, shown["Groups"].split())) == sorted(map(int, groups.split()))


async def test_a_read_only_root(real: ContainerdSubject) -> None:
    """Nothing can be written but on what is mounted."""
    script = "touch /file 2>/dev/null || echo refused; touch /dev/shm/file && echo written"
    assert await seen(real, script, security=Security(read_only_root=True)) == ["refused", "written"]


async def test_nothing_of_proc_is_masked_if_so_wanted(real: ContainerdSubject) -> None:
    """`procMount: Unmasked` leaves all else as it is."""
    script = "grep -c ' /proc/' /proc/self/mountinfo; grep Seccomp: /proc/self/status"
    masked, unmasked = [await seen(real, script, security=Security(unmasked_proc=wanted)) for wanted in (False, True)]
    assert int(masked[0]) > 5
    assert unmasked[0] == "0"
    assert masked[1:] == unmasked[1:] == ["Seccomp:\t2"]


async def test_privileged(real: ContainerdSubject) -> None:
    """All that the node can give: its capabilities, its devices, a /sys that can be written; no filter, nothing masked."""
    script = (
        "cat /proc/self/status; find /dev -type b -o -type c; grep -E ' /(sys|proc|sys/fs/cgroup) ' /proc/self/mountinfo "
        "| cut -d' ' -f6 | cut -d, -f1; grep -c ' /proc/' /proc/self/mountinfo"
    )
    lines = await seen(real, script, security=Security(privileged=True, no_new_privileges=False))
    shown = dict(line.split(":\t") for line in lines if ":\t" in line)
    own = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
    assert shown["CapEff"] == shown["CapBnd"] == own["CapBnd"]
    assert (shown["NoNewPrivs"], shown["Seccomp"]) == ("0", "0")
    devices = {line for line in lines if line.startswith("/dev/")}
    node = {
        str(path)
        for path in Path("/dev").iterdir()
        if not path.is_symlink() and (path.is_char_device() or path.is_block_device())
    }
    assert node - {"/dev/console", "/dev/ptmx"} <= devices
    assert lines[-4:] == ["rw", "rw", "rw", "0"]


@pytest.mark.parametrize("shared", [False, True])
async def test_the_nodes_process_ids_and_ipc(real: ContainerdSubject, *, shared: bool) -> None:
    """Left alone, or shared; nothing else changes with it."""
    state = await real.run(*FOREVER, host_pid=shared, host_ipc=shared)
    script = "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; ls -d /proc/[0-9]* | wc -l"
    async with await real.runtime.exec(state.id, ExecConfig(("sh", "-c", script))) as process:
        text = b"".join([data async for stream, data in process.output() if stream is Stream.STDOUT]).decode()
    lines = text.split()
    same = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("pid", "ipc")]
    assert [a == b for a, b in zip(lines[:2], same, strict=True)] == [shared, shared]
    assert (int(lines[2]) > 10) is shared
    assert (Path(f"/proc/{state.pid}/root/dev/shm").stat().st_dev == Path("/dev/shm").stat().st_dev) is shared


async def test_nothing_of_a_container_with_the_nodes_process_ids_outlives_it(real: ContainerdSubject) -> None:
    """Without a namespace of process ids the kernel does not kill its children: the runtime does."""
    state = await real.run("sh", "-c", "sleep 7654321 & echo ready; wait", host_pid=True)
    await real.wait_for_output(state.id, "ready")
    children = Path(f"/proc/{state.pid}/task/{state.pid}/children").read_text().split()
    assert children
    await real.runtime.remove(state.id)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
