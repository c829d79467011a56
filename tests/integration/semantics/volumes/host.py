"""What a node has that instances mount by hostPath."""

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECRET = "what is outside of every volume"


@contextmanager
def host_folder(folder: Path) -> Iterator[Path]:
    """A folder with one of each kind of file, links that lead out of `inside`, and two mounts: `shared`, and one in `nested`.

    All that is mounted below it, by whomever, is unmounted at the end.
    """
    inside = folder / "inside"
    inside.mkdir()
    (inside / "file").write_text("inside\n")
    (inside / "folder").mkdir()
    (inside / "folder" / "deep").write_text("deep\n")
    (inside / "to-root").symlink_to("/")
    (inside / "to-secret").symlink_to(folder / "secret")
    (inside / "upwards").symlink_to("../..")
    (inside / "within").symlink_to("folder/deep")
    (folder / "secret").write_text(SECRET)
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o666)
    os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(folder / "block", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    (folder / "nested" / "below").mkdir(parents=True)
    for name in ("shared", "nested/below"):
        (folder / name).mkdir(exist_ok=True)
        _run("mount", "-t", "tmpfs", "tmpfs", folder / name)
    try:
        _run("mount", "--make-shared", folder / "shared")
        (folder / "shared" / "late").mkdir()
        yield folder
    finally:
        for path in reversed(mounted(folder)):
            _run("umount", "-l", path)


def mount_late(folder: Path) -> None:
    """Mount something that containers were started before, with a file in it."""
    path = folder / "shared" / "late"
    _run("mount", "-t", "tmpfs", "tmpfs", path)
    (path / "file").touch()


def mounted(folder: Path) -> list[str]:
    """What is mounted below a folder, parents first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(f"{folder}/")]


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True)
