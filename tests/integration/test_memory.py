"""Folders in memory, on the machine's own kernel: nothing of them reaches a disk, and nothing stays behind."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.agent.memory import Memory, in_memory


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Iterator[Path]:
    """A place on a disk; whatever is mounted there goes at the end."""
    folder = tmp_path / "memory"
    yield folder
    for _ in range(3):
        subprocess.run(["umount", str(folder)], capture_output=True, check=False, timeout=10)


def test_a_folder_on_a_disk_becomes_one_in_memory(folder: Path) -> None:
    """For root alone; once, however often it is asked for; and it goes with the last that is in it."""
    memory = Memory(folder)
    memory.prepare("secrets")
    assert in_memory(memory.path("secrets"))
    assert not in_memory(folder.parent)
    assert folder.stat().st_mode & 0o777 == 0o700
    (memory.path("secrets") / "a").write_text("hidden")
    memory.prepare("secrets")
    memory.prepare("others")
    memory.tidy()
    assert (memory.path("secrets") / "a").read_text() == "hidden", "another prepare, or tidy, has taken it"
    assert not memory.path("others").exists()
    (memory.path("secrets") / "a").unlink()
    memory.tidy()
    assert not folder.exists()
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    memory.tidy()


def test_a_mount_of_somebody_else_stays(folder: Path) -> None:
    """Such as that by which a pod sees the place on its node."""
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    folder.mkdir()
    subprocess.run(["mount", "--bind", str(elsewhere), str(folder)], check=True, timeout=10)
    memory = Memory(folder)
    memory.prepare("secrets")
    assert in_memory(memory.path("secrets"))
    assert not (elsewhere / "secrets").exists(), "it would be on the disk"
    memory.tidy()
    memory.tidy()
    mounts = Path("/proc/self/mountinfo").read_text()
    assert mounts.count(f" {folder} ") == 1, "the mount of somebody else was taken away, or ours is left"
    assert not in_memory(folder)
