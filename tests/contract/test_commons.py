"""What containers of an instance share in any case, on a real kernel: an IPC namespace and memory, held by mounts alone."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller import kernel
from controller.agent.decide.volumes.mounts import Shared
from controller.agent.decide.volumes.wanted import VolumeFailure
from controller.agent.volumes.place import Place
from controller.agent.volumes.volumes import NodeVolumes
from controller.runtime.memory import MemoryNode, MemoryRuntime
from tests.contract.containerd_subject import ContainerdSubject
from tests.contract.folders import mounts, volumes_folder
from tests.threads import namespaces

A = "6f1c1f0e-0000-4000-8000-00000000000a"


def agent(folder: Path) -> NodeVolumes:
    """The volumes as an agent knows them that has just started."""
    found = NodeVolumes(str(folder), Place(seconds=20), MemoryRuntime(MemoryNode()))
    found.load()
    return found


@pytest.fixture(name="shared")
def _shared(folder: Path) -> Shared:
    return Shared(f"{folder}/{A}/shared/shm", f"{folder}/{A}/shared/ipc")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for volumes."""
    with volumes_folder(tmp_path) as folder:
        yield folder


async def test_made_once(folder: Path, shared: Shared) -> None:
    """Asked for again, also by another agent, it is what is there; and nothing else is moved into that namespace."""
    own = Path("/proc/self/ns/ipc").stat().st_ino
    first = agent(folder)
    await asyncio.gather(*(first.prepare(A, name, [], shared) for name in ("one", "two")))
    Path(shared.memory, "word").write_text("kept")
    made = Path(shared.namespace).stat().st_ino
    assert made != own
    second = agent(folder)
    assert second.uids() == {A}
    for _ in range(2):
        await second.prepare(A, "three", [], shared)
    assert Path(shared.memory, "word").read_text() == "kept"
    assert Path(shared.namespace).stat().st_ino == made
    assert len(mounts(folder)) == 2
    assert namespaces("ipc") == {f"ipc:[{own}]"}
    await second.remove(A)
    assert not Path(folder, A).exists()
    assert not mounts(folder)
    await first.remove(A)


async def test_what_the_memory_is(folder: Path, shared: Shared) -> None:
    """As in a pod: 64 MiB, where all may write and nothing is executed."""
    volumes = agent(folder)
    await volumes.prepare(A, "one", [], shared)
    (line,) = (line for line in mounts(folder) if "/shm " in line)
    assert {"nosuid", "nodev", "noexec"} <= set(line.split()[5].split(","))
    found = os.statvfs(shared.memory)
    assert found.f_blocks * found.f_frsize == 64 << 20
    assert Path(shared.memory).stat().st_mode & 0o7777 == 0o1777
    await volumes.remove(A)


@pytest.mark.parametrize("lost", ["memory", "namespace", "both"])
async def test_after_a_reboot(folder: Path, shared: Shared, lost: str) -> None:
    """What is not mounted any more, or was not yet, is made anew by the next agent; so it is after a removed instance."""
    await agent(folder).prepare(A, "one", [], shared)
    for path in (shared.memory, shared.namespace):
        if lost == "both" or path == getattr(shared, lost):
            kernel.unmount(path)
    volumes = agent(folder)
    for _ in range(2):
        await volumes.prepare(A, "one", [], shared)
        assert len(mounts(folder)) == 2
        await volumes.remove(A)
        assert not mounts(folder)


async def test_what_cannot_be_made_is_told(folder: Path, shared: Shared) -> None:
    """And tried again by the next container."""
    folder.mkdir()
    (folder / A).mkdir()
    (folder / A / "shared").write_text("in the way")
    volumes = agent(folder)
    with pytest.raises(VolumeFailure, match=r"what its containers share cannot be made: .*: Not a directory"):
        await volumes.prepare(A, "one", [], shared)
    (folder / A / "shared").unlink()
    await volumes.prepare(A, "one", [], shared)
    await volumes.remove(A)


async def test_containers_join_it(real: ContainerdSubject, folder: Path, shared: Shared) -> None:
    """By the path; it outlives each of them, and those that do not join have another one."""
    volumes = agent(folder)
    await volumes.prepare(A, "one", [], shared)
    joined = {"ipc_namespace": shared.namespace, "mounts": shared.mounts(())}
    first = await real.run("sh", "-c", "touch /dev/mqueue/queue; echo word > /dev/shm/word", **joined)
    await real.ended(first.id)
    await real.runtime.remove(first.id)
    second = await real.run("sh", "-c", "ls /dev/mqueue /dev/shm; readlink /proc/self/ns/ipc", **joined)
    other = await real.run("sh", "-c", "ls /dev/mqueue /dev/shm")
    for state in (second, other):
        await real.ended(state.id)
        await real.runtime.remove(state.id)
    ino = Path(shared.namespace).stat().st_ino
    assert real.log(second.id).split() == ["/dev/mqueue:", "queue", "/dev/shm:", "word", f"ipc:[{ino}]"]
    assert real.log(other.id).split() == ["/dev/mqueue:", "/dev/shm:"]
    await volumes.remove(A)
