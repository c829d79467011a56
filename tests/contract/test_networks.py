"""One suite for whatever makes networks: network namespaces of the kernel, and the simulation that other tests use."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.network.attached import AttachedNetworks
from controller.network.namespaces import Namespaces
from controller.network.port import NetworkFailure, NetworkRequest, Networks, NetworkState
from tests.threads import namespaces
from tests.unit.agent.rig import SimulatedNetworks

ABSENT, BROKEN, READY = NetworkState.ABSENT, NetworkState.BROKEN, NetworkState.READY
ALONE = NetworkRequest()
A, B = "6f1c1f0e-0000-4000-8000-00000000000a", "6f1c1f0e-0000-4000-8000-00000000000b"
Make = Callable[[], Networks]
"""Gives the networks of one node to an agent that has just started."""


def mounts(folder: Path) -> list[str]:
    """What is mounted below a folder."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {folder}/" in line]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for namespaces; whatever a test left in it is unmounted."""
    folder = tmp_path / "netns"
    yield folder
    left = mounts(folder)
    for line in left:
        run("umount", line.split()[4])
    assert not left


@pytest.fixture(name="node", params=["namespaces", "simulated"])
def _node(request: pytest.FixtureRequest, folder: Path) -> Make:
    simulated = SimulatedNetworks()
    if request.param == "simulated":
        return lambda: simulated
    return lambda: loaded(folder)


def loaded(folder: Path) -> AttachedNetworks:
    """The namespaces of a folder, as an agent has them that has just started; nothing is attached."""
    found = AttachedNetworks(Namespaces(str(folder)), folder.parent / "records")
    found.load()
    return found


async def test_a_network_is_there_until_it_is_removed(node: Make) -> None:
    """Made, found by the next agent, removed; of another instance there is nothing."""
    networks = node()
    assert networks.state(A) is ABSENT
    await networks.create(A, ALONE)
    assert (networks.state(A), networks.state(B), networks.uids()) == (READY, ABSENT, frozenset({A}))
    again = node()
    assert (again.state(A), again.uids()) == (READY, frozenset({A}))
    await again.remove(A)
    assert (again.state(A), again.uids()) == (ABSENT, frozenset())


async def test_doing_it_again_is_success(node: Make) -> None:
    """What is there is not made twice, and what is not there is gone already."""
    networks = node()
    await networks.remove(A)
    await networks.create(A, ALONE)
    await networks.create(A, ALONE)
    await networks.remove(A)
    await networks.remove(A)
    assert networks.state(A) is ABSENT


# --- what only the kernel shows


def inside(path: Path, *command: str) -> str:
    """What a command says in a namespace."""
    entered = ["nsenter", f"--net={path}", *command]
    return subprocess.run(entered, capture_output=True, text=True, timeout=10, check=True).stdout


def run(*command: str | Path) -> None:
    """A command that must succeed."""
    subprocess.run(command, check=True, timeout=10)


@contextmanager
def process_in(path: Path) -> Iterator[int]:
    """A process in a namespace; its pid."""
    command = ["nsenter", f"--net={path}", "sh", "-c", "echo in; read x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        yield process.pid
        process.communicate(b"\n", timeout=10)


async def test_there_is_nothing_but_loopback_and_it_is_up(folder: Path) -> None:
    """One interface, with both of its addresses, and no route; the agent itself stays where it was."""
    before = str(Path("/proc/self/ns/net").readlink())
    networks = loaded(folder)
    await networks.create(A, ALONE)
    links = inside(folder / A, "ip", "-o", "link").splitlines()
    assert len(links) == 1
    assert ",UP," in links[0]
    assert "127.0.0.1/8" in inside(folder / A, "ip", "-o", "address")
    assert inside(folder / A, "ip", "route") == ""
    assert namespaces("net") == {before}
    await networks.remove(A)
    assert list(folder.iterdir()) == []


async def test_a_file_without_a_namespace_is_made_anew(folder: Path) -> None:
    """After a restart of the node the file is there and its mount is not."""
    folder.mkdir()
    (folder / A).touch()
    networks = loaded(folder)
    assert networks.state(A) is BROKEN
    await networks.create(A, ALONE)
    assert networks.state(A) is READY
    run("umount", folder / A)
    assert networks.state(A) is BROKEN
    await networks.remove(A)
    assert list(folder.iterdir()) == []


async def test_a_namespace_that_got_out_of_reach_is_taken_again_from_its_processes(folder: Path) -> None:
    """A process that is in it holds it: what is started beside that one comes into the same; one of the node's network not."""
    networks = loaded(folder)
    await networks.create(A, ALONE)
    inode = (folder / A).stat().st_ino
    with process_in(folder / A) as pid:
        run("umount", folder / A)
        await networks.create(A, ALONE, [os.getpid(), 2**22 + 1, pid])
        assert (folder / A).stat().st_ino == inode
    await networks.remove(A)


async def test_a_file_that_is_mounted_twice_is_removed_all_the_same(folder: Path) -> None:
    """Nothing is left, whatever somebody did to it."""
    networks = loaded(folder)
    await networks.create(A, ALONE)
    run("mount", "--bind", "/proc/self/ns/net", folder / A)
    await networks.remove(A)
    assert list(folder.iterdir()) == []
    assert mounts(folder) == []


async def test_what_others_made_is_not_ours(folder: Path) -> None:
    """A folder that is shared with ip-netns or a CNI runtime by mistake: what is not named by a uid is never touched."""
    folder.mkdir()
    for name in ("cni-6f1c1f0e-0000-4000-8000-00000000000a", "blue", A):
        (folder / name).touch()
    assert loaded(folder).uids() == {A}


async def test_what_fails_says_which_step_and_why(folder: Path) -> None:
    """A folder that cannot be made, and one that cannot be removed."""
    folder.touch()
    with pytest.raises(NetworkFailure, match=r"/netns: File exists"):
        await loaded(folder).create(A, ALONE)
    blocked = loaded(folder)
    assert blocked.state(A) is ABSENT
    await blocked.remove(A)
    folder.unlink()
    (folder / A).mkdir(parents=True)
    networks = loaded(folder)
    with pytest.raises(NetworkFailure, match=r"/netns/6f1c\S+: Is a directory"):
        await networks.create(A, ALONE)
    with pytest.raises(NetworkFailure, match=r"/netns/6f1c\S+: Is a directory"):
        await networks.remove(A)


async def test_many_at_once(folder: Path) -> None:
    """Twenty are made and removed side by side; no thread stays in one of them."""
    networks = loaded(folder)
    uids = [f"6f1c1f0e-0000-4000-8000-{n:012}" for n in range(20)]
    await asyncio.gather(*(networks.create(uid, ALONE) for uid in uids))
    assert len({(folder / uid).stat().st_ino for uid in uids}) == 20
    assert not [t for t in threading.enumerate() if t.name == "network namespace"]
    await asyncio.gather(*map(networks.remove, uids))
    assert networks.uids() == set()
