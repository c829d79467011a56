"""Small files that are replaced as a whole."""

from pathlib import Path

import pytest

from controller import disk


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_as_a_whole(tmp_path: Path, durable: bool) -> None:  # noqa: FBT001 - a table
    """Readable by its owner only; whoever has the old one open goes on reading that; nothing is left beside it."""
    path = tmp_path / "a.json"
    disk.replace(path, "one", durable=durable)
    with path.open() as old:
        disk.replace(path, "two", durable=durable)
        assert old.read() == "one"
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    """The error is the caller's to tell."""
    path = tmp_path / "a.json"
    disk.replace(path, "one")
    (tmp_path / "a.new").mkdir()
    with pytest.raises(IsADirectoryError):
        disk.replace(path, "two")
    assert path.read_text() == "one"


def test_files_that_went_are_not_flushed(tmp_path: Path) -> None:
    """Between its writing and its flushing a file may be removed; a folder that is not there is an error."""
    disk.replace(tmp_path / "a.json", "one")
    disk.flush(tmp_path, [tmp_path / "gone.json", tmp_path / "a.json"])
    with pytest.raises(FileNotFoundError):
        disk.flush(tmp_path / "nowhere")
