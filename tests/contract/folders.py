"""Folders in which tests mount: nothing of that is left behind, also when a test fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller import kernel


def mounts(folder: Path) -> list[str]:
    """What is mounted below a folder."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {folder}/" in line]


@contextmanager
def volumes_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for volumes; whatever a test left in it is unmounted, and told."""
    folder = tmp_path / "volumes"
    yield folder
    left = mounts(folder)
    for line in reversed(left):
        kernel.unmount(line.split()[4])
    assert not left
