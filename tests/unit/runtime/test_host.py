"""What of the node a privileged container gets."""

import os
import stat
from pathlib import Path

import pytest

from controller.runtime.containerd.host import devices

NULL = os.makedev(1, 3)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A root file system with devices, beside what is no device and what is each container's own."""
    (tmp_path / "dev" / "bus" / "usb").mkdir(parents=True)
    (tmp_path / "dev" / "pts").mkdir()
    for name in ("x", "bus/usb/001", "pts/0", "console"):
        os.mknod(tmp_path / "dev" / name, stat.S_IFCHR | 0o640, NULL)
    (tmp_path / "dev" / "file").touch()
    (tmp_path / "dev" / "link").symlink_to("x")
    return tmp_path


def test_devices_have_the_names_that_they_have_on_the_node(node: Path) -> None:
    """Wherever the node's root is seen from; with all that is below /dev, but for what each container has of its own."""
    found = {device.path: device for device in devices(str(node))}
    assert sorted(found) == ["/dev/bus/usb/001", "/dev/x"]
    assert (found["/dev/x"].kind, found["/dev/x"].major, found["/dev/x"].minor) == ("c", 1, 3)
    assert found["/dev/x"].mode == stat.S_IMODE(os.lstat(node / "dev" / "x").st_mode)


def test_without_a_view_of_the_node_the_agents_own_devices_count(tmp_path: Path) -> None:
    """An agent that may not look into the first process is on the node itself, or sees what its pod has."""
    assert "/dev/null" in {device.path for device in devices(str(tmp_path / "none"))}
