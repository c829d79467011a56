"""What an agent says of its node."""

from pathlib import Path

import pytest

from controller.agent.node import NodeJudge, node_root, os_image
from controller.api.conditions import find
from controller.api.node import DISK_PRESSURE
from controller.api.reasons import Reason
from controller.runtime.memory import MemoryNode, MemoryRuntime


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"),
        ("PRETTY_NAME=Alpine\n", "Alpine"),
        ('PRETTY_NAME="half a line\n', "half a line"),
        ("ID=other\n", ""),
    ],
)
def test_the_system_is_called_as_it_calls_itself(content: str, said: str, tmp_path: Path) -> None:
    """/etc comes before /usr/lib, as os-release(5) has it; a file that makes no sense harms nothing, and neither does none."""
    assert os_image(tmp_path) == ""
    for folder in ("usr/lib", "etc"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "os-release").write_text(content)
        assert os_image(tmp_path) == said
        (tmp_path / "usr/lib/os-release").write_text("PRETTY_NAME=another")


def test_in_a_pod_the_node_is_not_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod's own files are its image's: the node's are those of its first process."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert node_root() == Path("/")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert node_root() == Path("/proc/1/root")


async def test_disk_pressure_is_told_with_its_message() -> None:
    """While there is some, and no longer: the rest of the status is the same by it."""
    why = ""
    judge = NodeJudge("node1", MemoryRuntime(MemoryNode()), lambda: "", pressure=lambda: why)
    told = find((await judge(1.0)).conditions, DISK_PRESSURE)
    assert told is not None
    assert (told.status, told.reason, told.message) == ("False", Reason.HAS_SUFFICIENT_DISK, "")
    why = "less than 10% is free"
    told = find((await judge(2.0)).conditions, DISK_PRESSURE)
    assert told is not None
    assert (told.status, told.reason, told.message) == ("True", Reason.HAS_DISK_PRESSURE, why)
