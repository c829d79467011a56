"""One suite for whatever makes volumes: the node's file systems, and the simulation of other tests; then the former alone."""

import asyncio
import ctypes
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.agent.decide.payload import File
from controller.agent.decide.volumes.mounts import Preparation, Shared
from controller.agent.decide.volumes.wanted import Files, Folder, ImageVolume, NodePath, VolumeFailure, WantedVolume
from controller.agent.volumes.place import Place
from controller.agent.volumes.port import Volumes
from controller.agent.volumes.volumes import NodeVolumes
from controller.runtime.memory import MemoryImage, MemoryNode, MemoryRuntime
from tests.contract.folders import mounts, volumes_folder
from tests.unit.agent.rig import SimulatedVolumes

A, B = "6f1c1f0e-0000-4000-8000-00000000000a", "6f1c1f0e-0000-4000-8000-00000000000b"
DATA = WantedVolume("data", "emptyDir~data~1", Folder())
FAST = WantedVolume("fast", "emptyDir~fast~1", Folder(memory=True, size=1 << 20))
NO_RUNTIME = MemoryRuntime(MemoryNode())
"""Where no volume holds an image."""
Make = Callable[[], Volumes]
"""Gives the volumes of one node to an agent that has just started."""


def run(*command: str | Path) -> None:
    """Run a command."""
    subprocess.run(command, check=True)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for volumes."""
    with volumes_folder(tmp_path) as folder:
        yield folder


@pytest.fixture(name="make", params=["simulated", "kernel"])
def _make(request: pytest.FixtureRequest, folder: Path) -> Make:
    """Each implementation; what is there outlives an agent."""
    there: dict[str, set[str]] = {}

    def made() -> Volumes:
        found: Volumes = (
            SimulatedVolumes(there) if request.param == "simulated" else NodeVolumes(str(folder), Place(seconds=20), NO_RUNTIME)
        )
        found.load()
        return found

    return made


async def test_making_twice(make: Make) -> None:
    """What was made is known in the state that was asked for; asked for again, it is found; nobody else's is known."""
    volumes = make()
    assert volumes.made(A) == {}
    for _ in range(2):
        assert await volumes.make(A, [DATA, FAST]) == {}
        assert volumes.made(A) == {DATA.id: DATA.state, FAST.id: FAST.state}
    assert volumes.made(B) == {}
    assert volumes.uids() == {A}
    await volumes.remove(A)
    assert volumes.uids() == frozenset()


async def test_an_agent_that_begins_knows_what_is_there(make: Make) -> None:
    """But not in which state: it has to ask for it once."""
    await make().make(A, [DATA])
    volumes = make()
    assert volumes.made(A) == {DATA.id: ""}
    assert volumes.uids() == {A}
    assert await volumes.make(A, [DATA]) == {}
    assert volumes.made(A) == {DATA.id: DATA.state}
    await volumes.remove(A)
    assert make().uids() == frozenset()


async def test_removing(make: Make) -> None:
    """One, then all; what is not there is removed already."""
    volumes = make()
    await volumes.make(A, [DATA, FAST])
    await volumes.remove(A, frozenset({FAST.id}))
    assert volumes.made(A) == {DATA.id: DATA.state}
    for _ in range(2):
        await volumes.remove(A)
    assert volumes.made(A) == {}


async def test_what_containers_share_goes_with_the_instance(make: Make, folder: Path) -> None:
    """It is no volume, and yet makes the instance one of which there is something."""
    shared = Shared(f"{folder}/{A}/shared/shm", f"{folder}/{A}/shared/ipc")
    volumes = make()
    for _ in range(2):
        await volumes.prepare(A, "main", [], shared)
    assert (volumes.made(A), volumes.uids()) == ({}, frozenset({A}))
    again = make()
    assert (again.made(A), await again.found()) == ({}, frozenset({A}))
    await again.remove(A)
    assert again.uids() == make().uids() == frozenset()


# --- the kernel's alone


@pytest.fixture(name="volumes")
def _volumes(folder: Path) -> NodeVolumes:
    """Those of a node."""
    return NodeVolumes(str(folder), Place(seconds=20), NO_RUNTIME)


async def test_what_is_in_a_volume_stays(volumes: NodeVolumes, folder: Path) -> None:
    """Over a restart of the agent, also when a tmpfs gets another size, or the group another number; its removal takes all."""
    await volumes.make(A, [DATA, FAST])
    for volume in (DATA, FAST):
        (folder / A / volume.id / "sub").mkdir()
        (folder / A / volume.id / "sub" / "file").write_text("x" * 600_000)
        (folder / A / volume.id / "link").symlink_to("/etc/passwd")
    before = Path("/etc/passwd").stat().st_gid
    larger = WantedVolume(FAST.name, FAST.id, Folder(memory=True, size=2 << 20), fs_group=77)
    again = NodeVolumes(str(folder), Place(), NO_RUNTIME)
    assert await again.make(A, [WantedVolume(DATA.name, DATA.id, Folder(), fs_group=77), larger]) == {}
    assert os.statvfs(folder / A / FAST.id).f_blocks * os.statvfs(folder / A / FAST.id).f_frsize == 2 << 20
    for volume in (DATA, FAST):
        top = folder / A / volume.id
        assert (top / "sub" / "file").read_text() == "x" * 600_000
        assert {p.lstat().st_gid for p in (top, top / "sub", top / "sub" / "file", top / "link")} == {77}
        assert stat.S_IMODE((top / "sub").stat().st_mode) & 0o2770 == 0o2770
        assert stat.S_IMODE((top / "sub" / "file").stat().st_mode) & 0o660 == 0o660
    assert Path("/etc/passwd").stat().st_gid == before
    failed = await again.make(A, [WantedVolume(FAST.name, FAST.id, Folder(memory=True, size=4096))])
    assert "fast" in failed  # it holds more than that
    await again.remove(A)
    assert list(folder.iterdir()) == []


async def test_what_is_not_ours_does_not_keep_an_agent_from_its_work(volumes: NodeVolumes, folder: Path) -> None:
    """A file among the folders was put there by somebody else."""
    await volumes.make(A, [DATA])
    (folder / "notes.txt").touch()
    again = NodeVolumes(str(folder), Place(seconds=20), NO_RUNTIME)
    again.load()
    assert again.uids() == {A}
    await again.remove(A)
    assert (folder / "notes.txt").exists()


async def test_folders_on_the_way_are_not_open_to_all(volumes: NodeVolumes, folder: Path, tmp_path: Path) -> None:
    """An emptyDir is, as with a kubelet; what is above it is root's, and a hostPath that is made gets 0755 all the way."""
    wanted = WantedVolume("h", "hostPath~h~1", NodePath(str(tmp_path / "x" / "y"), "DirectoryOrCreate"))
    assert await volumes.make(A, [DATA, wanted]) == {}
    modes = {
        p: stat.S_IMODE(p.stat().st_mode)
        for p in (folder, folder / A, folder / A / DATA.id, tmp_path / "x", tmp_path / "x" / "y")
    }
    assert list(modes.values()) == [0o700, 0o700, 0o777, 0o755, 0o755]
    await volumes.remove(A)
    assert (tmp_path / "x" / "y").is_dir(), "a path of the node is never removed"


@pytest.mark.parametrize(
    ("kind", "good", "told"),
    [
        ("Directory", "folder", "is not a directory"),
        ("File", "file", "is not a file"),
        ("Socket", "socket", "is not a socket file"),
        ("CharDevice", "/dev/null", "is not a character device"),
        ("BlockDevice", "block", "is not a block device"),
        ("DirectoryOrCreate", "new/folder", "is not a directory"),
        ("FileOrCreate", "new-file", "is not a file"),
    ],
)
async def test_types_of_host_paths(volumes: NodeVolumes, tmp_path: Path, kind: str, good: str, told: str) -> None:
    """What is there must be what is asked for, whether by name or behind a link; the kubelet's words say what it is not."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mknod(tmp_path / "socket", stat.S_IFSOCK | 0o600)
    os.mknod(tmp_path / "block", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / good)

    async def tried(path: Path) -> str:
        return (await volumes.make(A, [WantedVolume("h", "hostPath~h~1", NodePath(str(path), kind))])).get("h", "")

    assert await tried(tmp_path / good) == ""
    assert await tried(tmp_path / "link") == ""
    assert await tried(tmp_path / "fifo") == f"hostPath type check failed: {tmp_path}/fifo {told}"
    if "Create" not in kind:
        assert await tried(tmp_path / "missing") == f"hostPath type check failed: {tmp_path}/missing {told}"
    (tmp_path / "file" if "File" not in kind else tmp_path / "folder").rename(tmp_path / "other")
    assert told in await tried(tmp_path / "other")
    await volumes.remove(A)


PATHS = {
    "in": True,
    "in/file": True,
    "rel/file": True,
    "new/deeply/below": True,
    "./in/./file": True,
    "absolute": False,
    "absolute/passwd": False,
    "up": False,
    "up/new": False,
    "loop": False,
    "magic": False,
    "in/file/below": False,
}


@pytest.mark.parametrize("path", PATHS)
async def test_a_sub_path_never_leads_out(volumes: NodeVolumes, folder: Path, path: str) -> None:
    """Links are followed as far as they stay in the volume; nothing is made, opened or bound outside of it."""
    await volumes.make(A, [DATA])
    root = folder / A / DATA.id
    outside = folder / "outside"
    outside.mkdir()
    (root / "in").mkdir()
    (root / "in" / "file").write_text("inside")
    (root / "rel").symlink_to("in")
    (root / "absolute").symlink_to(outside)
    (root / "up").symlink_to("../../outside")
    (root / "loop").symlink_to("loop")
    (root / "magic").symlink_to("/proc/self/root")
    target = folder / A / "subpaths" / "main" / "0"
    needed = [Preparation("data", str(root), sub_path=path, target=str(target))]
    if PATHS[path]:
        for _ in range(2):
            await volumes.prepare(A, "main", needed)
        assert len(mounts(folder)) == 1
        bound = target.stat()
        real = (root / path).stat()
        assert (bound.st_dev, bound.st_ino) == (real.st_dev, real.st_ino)
    else:
        with pytest.raises(VolumeFailure, match='failed to prepare subPath for volumeMount "data" of container "main"'):
            await volumes.prepare(A, "main", needed)
        assert not mounts(folder)
    assert list(outside.iterdir()) == []
    outside.rmdir()
    await volumes.remove(A)


async def test_a_link_that_is_swapped_in_meanwhile_leads_nowhere(volumes: NodeVolumes, folder: Path) -> None:
    """While a folder and a link that leads out of the volume take turns under one name, only the folder is ever bound."""
    await volumes.make(A, [DATA])
    root, target = folder / A / DATA.id, folder / A / "subpaths" / "main" / "0"
    outside = folder / "outside"
    (outside / "below").mkdir(parents=True)
    (root / "name" / "below").mkdir(parents=True)
    (root / "other").symlink_to(outside)
    inside = (root / "name" / "below").stat().st_ino
    bound: list[int] = []
    refused = 0
    needed = [Preparation("data", str(root), sub_path="name/below/new", target=str(target))]
    with _swapping(root):
        while len(bound) < 100 or refused < 100:
            try:
                await volumes.prepare(A, "main", needed)
            except VolumeFailure:
                refused += 1
                continue
            bound.append(target.stat().st_ino)
    real = next(p for p in (root / "name", root / "other") if not p.is_symlink()) / "below"
    assert real.stat().st_ino == inside
    assert set(bound) == {(real / "new").stat().st_ino}
    assert list((outside / "below").iterdir()) == []
    shutil.rmtree(outside)
    await volumes.remove(A)


@contextmanager
def _swapping(root: Path) -> Iterator[None]:
    """A thread puts a folder and a link in place of each other as fast as it can, by renameat2(2) with RENAME_EXCHANGE."""
    libc, over = ctypes.CDLL(None), threading.Event()
    one, other = (os.fsencode(root / name) for name in ("name", "other"))

    def swap() -> None:
        while not over.is_set():
            assert libc.renameat2(-100, one, -100, other, 2) == 0

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def test_propagation_needs_a_mount_that_can(volumes: NodeVolumes, folder: Path) -> None:
    """Of a private mount nothing passes; a slave gets what is mounted, and gives nothing."""
    await volumes.make(A, [FAST])
    root = str(folder / A / FAST.id)

    async def tried(kind: str) -> str:
        try:
            await volumes.prepare(A, "main", [Preparation("fast", root, propagation=kind)])
        except VolumeFailure as exc:
            return str(exc)
        return ""

    run("mount", "--make-private", root)
    assert f'path "{root}" is mounted on "{root}" but it is not a shared mount' in await tried("rshared")
    assert "but it is not a shared or slave mount" in await tried("rslave")
    run("mount", "--make-shared", root)
    assert (await tried("rshared"), await tried("rslave")) == ("", "")
    await volumes.remove(A)


async def test_mounts_of_others_are_unmounted_here_alone(volumes: NodeVolumes, folder: Path, tmp_path: Path) -> None:
    """Somebody has bound a shared tree of the node into a volume: it goes from there, and stays where it is on the node."""
    await volumes.make(A, [DATA])
    shared = tmp_path / "shared"
    (shared / "below").mkdir(parents=True)
    here = folder / A / DATA.id / "bound"
    here.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", shared)
    try:
        run("mount", "--make-rshared", shared)
        (shared / "below").mkdir()
        run("mount", "-t", "tmpfs", "tmpfs", shared / "below")
        (shared / "below" / "file").touch()
        run("mount", "--rbind", shared, here)
        assert (here / "below" / "file").exists()
        await volumes.remove(A)
        assert not mounts(folder)
        assert (shared / "below" / "file").exists()
    finally:
        run("umount", "-R", "-l", shared)


async def test_images_are_held_until_their_volumes_go(folder: Path) -> None:
    """Also those of an instance whose folder is lost: the runtime knows whose they are."""
    runtime = MemoryRuntime(MemoryNode([MemoryImage("registry.test/art:1")]))
    await runtime.pull("registry.test/art:1")
    volumes = NodeVolumes(str(folder), Place(seconds=20), runtime)
    art = WantedVolume("art", "image~art~1", ImageVolume("registry.test/art:1"))
    gone = WantedVolume("gone", "image~gone~1", ImageVolume("registry.test/gone:1"))
    assert set(await volumes.make(A, [art, gone])) == {"art", "gone"}  # nothing can be mounted of an image in memory
    assert len(await runtime.image_holders()) == 1
    assert volumes.made(A) == {"image~art~1": ""}, "the other has to be pulled before it is asked for again"
    shutil.rmtree(folder)
    for _ in range(2):
        begun = NodeVolumes(str(folder), Place(seconds=20), runtime)
        begun.load()
        assert (begun.uids(), await begun.found()) == (frozenset(), frozenset({A}))
    await begun.remove(A)
    assert await begun.found() == frozenset()
    await volumes.make(B, [art])
    await volumes.remove(B, frozenset({art.id}))
    await volumes.remove(B)
    assert await runtime.image_holders() == frozenset()


async def test_files_of_values(volumes: NodeVolumes, folder: Path) -> None:
    """In memory or on disk, replaced in place; a new agent is content with what is there, and tells of what is not."""
    for memory in (True, False):
        wanted = WantedVolume("v", f"secret~v~{memory}", Files({"a": File(b"1", 0o400)}, memory=memory), fs_group=77)
        assert await volumes.make(A, [wanted]) == {}
        path = folder / A / wanted.id
        assert bool(mounts(folder)) is memory
        assert (path / "a").read_bytes() == b"1"
        assert stat.S_IMODE((path / "a").stat().st_mode) == 0o440
        assert (path / "a").stat().st_gid == 77
        kept = WantedVolume("v", wanted.id, Files(None, memory=memory), fs_group=77)
        again = NodeVolumes(str(folder), Place(seconds=20), NO_RUNTIME)
        assert await again.make(A, [kept]) == {}
        if memory:
            run("umount", path)  # as a reboot does
            assert "are gone" in (await again.make(A, [kept]))["v"]
        await volumes.remove(A)
        assert not (folder / A).exists()


async def test_work_that_hangs_is_told_and_waited_for(folder: Path) -> None:
    """It has a deadline; until it has ended, nothing else is done for that instance, and others do not wait."""
    volumes = NodeVolumes(str(folder), Place(seconds=0.3), NO_RUNTIME)
    over = threading.Event()
    hanging = asyncio.ensure_future(volumes._place.do(A, over.wait))
    with pytest.raises(VolumeFailure, match="has not answered"):
        await hanging
    with pytest.raises(VolumeFailure, match="has not answered"):
        await volumes.make(A, [DATA])
    assert not (folder / A).exists()
    assert await volumes.make(B, [DATA]) == {}
    over.set()
    assert await volumes.make(A, [DATA]) == {}
    for uid in (A, B):
        await volumes.remove(uid)
