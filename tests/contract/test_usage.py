"""How much is in a folder, held against du(1), and against those who would hide it."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from controller import kernel
from controller.agent.decide.eviction import SizeLimit
from controller.agent.volumes import limits
from controller.agent.volumes.place import Place
from controller.agent.volumes.usage import Usage, exceeds

MANY = 1 << 40


def used(folder: Path) -> int:
    """Bytes in a folder."""
    usage = Usage(MANY)
    usage.measure(str(folder))
    return usage.bytes


def du(folder: Path) -> int:
    """The same, as the command has it."""
    told = subprocess.run(["du", "-s", "-x", "-B1", folder], check=True, capture_output=True, text=True)
    return int(told.stdout.split()[0])


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Iterator[Path]:
    """A folder; one of its own kind may be too deep for anything but rm."""
    folder = tmp_path / "volume"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def fill(path: Path, size: int = 100_000) -> None:
    """A file of so many bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


def test_as_du_counts(folder: Path) -> None:
    """Files, folders, holes, links of both kinds: what is allocated, and each file once."""
    for at in ("a", "b/c/d", "b/e", "f"):
        fill(folder / at)
    (folder / "again").hardlink_to(folder / "a")
    (folder / "b" / "again").hardlink_to(folder / "a")
    with (folder / "holes").open("wb") as file:
        file.truncate(1 << 30)
    (folder / "out").symlink_to("/usr")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe")
    assert used(folder) == du(folder)
    assert 400_000 < used(folder) < 500_000


def test_a_link_in_place_of_the_folder_is_not_followed(folder: Path) -> None:
    """Nothing of the node is read through it."""
    fill(folder / "inside" / "file")
    (folder.parent / "link").symlink_to(folder)
    with pytest.raises(OSError, match="link"):
        used(folder.parent / "link")
    with pytest.raises(FileNotFoundError):
        used(folder.parent / "nothing")


def test_another_file_system_is_not_counted(folder: Path) -> None:
    """What is mounted below, also when it is mounted on a file."""
    fill(folder / "own")
    before = used(folder)
    (folder / "mount").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder / "mount"], check=True)
    try:
        fill(folder / "mount" / "other", 1 << 20)
        assert used(folder) - before < 1 << 16
    finally:
        subprocess.run(["umount", folder / "mount"], check=True)


@pytest.fixture(name="served")
def _served(folder: Path) -> Iterator[IO[bytes]]:
    """A process's own file system is mounted in the folder, `data/mount`; it answers nothing, and ends when this is closed."""
    fill(folder / "data" / "own")
    (folder / "data" / "mount").mkdir()
    with Path("/dev/fuse").open("r+b", buffering=0) as device:
        options = f"fd={device.fileno()},rootmode=40000,user_id=0,group_id=0"
        kernel.mount("test", str(folder / "data" / "mount"), "fuse", data=options)
        yield device
    kernel.unmount_below(str(folder))


def test_a_file_system_that_lost_its_process_is_passed_over(folder: Path, served: IO[bytes]) -> None:
    """As others that are mounted there; it keeps nothing else from being measured."""
    served.close()
    with pytest.raises(OSError, match="not connected"):
        (folder / "data" / "mount").stat()
    assert 100_000 <= used(folder) < 150_000


async def test_one_that_does_not_answer_keeps_others_from_nothing(
    folder: Path, served: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks at it hangs; other instances are measured meanwhile, and its own one when it has ended."""
    monkeypatch.setattr(limits, "HOLD_UP_SECONDS", 0.2)
    found, woken = limits.SizeLimits(str(folder.parent), Place(), lambda *_: True), list[str]()
    fill(folder.parent / "other" / "data" / "file")
    for uid in (folder.name, "other"):
        found.follow(uid, [SizeLimit("data", "data", "90k")], measured=True)
    (folder / "data" / "own").rename(folder / "own")
    await found.once(woken.append)
    assert woken == ["other"]
    (folder / "own").rename(folder / "data" / "own")
    served.close()
    await asyncio.wait(found._under_way.values())
    await found.once(woken.append)
    assert woken == ["other", folder.name]


def test_it_is_not_looked_at_for_ever(folder: Path) -> None:
    """However many folders there are, or are made meanwhile."""
    for number in range(2000):
        (folder / str(number)).mkdir()
    with pytest.raises(TimeoutError, match=r"within 0\.001 s"):
        exceeds(str(folder), MANY, 0.001)


def open_files() -> set[tuple[int, int, int]]:
    """Descriptors of this process with device and inode; what tests before have left to the collector may go at any time."""
    found = set()
    for path in list(Path("/proc/self/fd").iterdir()):
        number = int(path.name)
        with suppress(OSError):  # the listing's own
            status = os.fstat(number)
            found.add((number, status.st_dev, status.st_ino))
    return found


def test_deeper_than_a_path_can_be(folder: Path) -> None:
    """Nor is there a stack, or a number of open files, that could be exhausted."""
    open_before = open_files()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=here)
        deeper = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    file = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(file, os.urandom(1 << 20))
    os.close(file)
    os.close(here)
    fill(folder / "beside")
    assert used(folder) == du(folder)
    assert exceeds(str(folder), 1 << 20)
    assert open_files() <= open_before


def test_it_ends_when_there_is_more_than_the_limit(folder: Path) -> None:
    """The limit itself is not more."""
    for number in range(20):
        fill(folder / f"f{number:02}")
    exact = used(folder)
    assert exceeds(str(folder), exact - 1)
    assert not exceeds(str(folder), exact)
    usage = Usage(150_000)
    usage.measure(str(folder))
    assert usage.beyond
    assert usage.bytes < exact / 2


def test_files_and_folders_that_come_and_go_meanwhile(folder: Path) -> None:
    """Whatever is renamed, removed and made while it is measured: there is an answer, and what stays is in it."""
    fill(folder / "stays" / "file", 1 << 20)
    ending = threading.Event()

    def stir() -> None:
        number = 0
        while not ending.is_set():
            number += 1
            with suppress(OSError):
                (folder / "a" / "b" / "c").mkdir(parents=True, exist_ok=True)
                (folder / "a" / "b" / "c" / "file").write_bytes(b"x" * 5000)
                (folder / "a" / "b").rename(folder / f"moved{number % 7}")
                remove(folder / f"moved{(number + 3) % 7}")

    stirring = threading.Thread(target=stir)
    stirring.start()
    try:
        for _ in range(300):
            assert used(folder) >= 1 << 20
    finally:
        ending.set()
        stirring.join()


def remove(folder: Path) -> None:
    """Remove what `stir` makes."""
    (folder / "c" / "file").unlink()
    (folder / "c").rmdir()
    folder.rmdir()
