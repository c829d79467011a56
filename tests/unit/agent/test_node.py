"""What an agent says of its node."""

from pathlib import Path

import pytest

from controller.agent.node import os_image


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
    """The first file that is there speaks, as os-release(5) has it; one that makes no sense harms nothing."""
    (tmp_path / "second").write_text(content)
    assert os_image([tmp_path / "missing", tmp_path / "second"]) == said
    assert os_image([tmp_path / "missing"]) == ""
