"""Log files: rotation, and what is kept."""

import asyncio
import threading
from pathlib import Path

import pytest

from controller.agent.logs import LogFiles


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ns_web_uid" / "main"
    folder.mkdir(parents=True)
    return folder


def names(folder: Path) -> list[str]:
    """What is there."""
    return sorted(p.name for p in folder.iterdir())


def test_a_file_above_its_size_is_rotated_and_the_writer_goes_on(tmp_path: Path, folder: Path) -> None:
    """The runtime keeps its open file, in append mode, and goes on at the new beginning."""
    logs = LogFiles(tmp_path, max_bytes=10, max_files=3)
    with (folder / "0.log").open("ab", buffering=0) as writer:
        writer.write(b"a" * 11)
        logs.rotate()
        writer.write(b"b")
        assert (folder / "0.log").read_bytes() == b"b"
        assert (folder / "0.log.1").read_bytes() == b"a" * 11


def test_a_file_at_its_size_stays(tmp_path: Path, folder: Path) -> None:
    """Only what is larger is rotated."""
    (folder / "0.log").write_bytes(b"a" * 10)
    LogFiles(tmp_path, max_bytes=10).rotate()
    assert names(folder) == ["0.log"]


def test_so_many_files_are_kept_the_newest_first(tmp_path: Path, folder: Path) -> None:
    """`max_files` counts the current one; the oldest goes."""
    logs = LogFiles(tmp_path, max_bytes=1, max_files=3)
    for text in (b"11", b"22", b"33", b"44"):
        with (folder / "0.log").open("ab") as file:
            file.write(text)
        logs.rotate()
    assert names(folder) == ["0.log", "0.log.1", "0.log.2"]
    assert [(folder / f"0.log.{n}").read_bytes() for n in (1, 2)] == [b"44", b"33"]


def test_one_file_is_cut(tmp_path: Path, folder: Path) -> None:
    """With `max_files` 1 nothing older is kept."""
    (folder / "0.log").write_bytes(b"abc")
    LogFiles(tmp_path, max_bytes=1, max_files=1).rotate()
    assert names(folder) == ["0.log"]
    assert (folder / "0.log").read_bytes() == b""


def test_a_file_that_cannot_be_rotated_does_not_stop_the_others(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and the rest goes on."""
    (folder / "0.log").write_bytes(b"abc")
    (folder / "0.log.1").mkdir()
    (folder / "1.log").write_bytes(b"abc")
    LogFiles(tmp_path, max_bytes=1, max_files=2).rotate()
    assert (folder / "1.log.1").read_bytes() == b"abc"
    assert "0.log" in caplog.text


def test_the_run_and_the_one_before_it_are_kept(tmp_path: Path, folder: Path) -> None:
    """A new attempt's folder is made; older ones with all that was rotated of them go."""
    for name in ("7.log", "7.log.1", "8.log", "8.log.1", "notes"):
        (folder / name).write_bytes(b"x")
    LogFiles(tmp_path).prepare(str(folder / "9.log"))
    assert names(folder) == ["8.log", "8.log.1", "9.termination", "notes"]
    LogFiles(tmp_path).prepare(str(tmp_path / "ns_new_uid" / "main" / "0.log"))
    assert (tmp_path / "ns_new_uid" / "main").is_dir()


def test_logs_are_not_for_everybody(tmp_path: Path) -> None:
    """What a container writes may be a secret: no other user may look into its folder."""
    LogFiles(tmp_path / "logs").prepare(str(tmp_path / "logs" / "ns_web_uid" / "main" / "0.log"))
    assert (tmp_path / "logs" / "ns_web_uid" / "main").stat().st_mode & 0o007 == 0


async def test_the_logs_of_an_instance_go_with_it(tmp_path: Path, folder: Path) -> None:
    """Its own folder only; nothing there is success."""
    (tmp_path / "ns_web_other").mkdir()
    logs = LogFiles(tmp_path)
    await logs.remove("ns", "web", "uid")
    await logs.remove("ns", "web", "uid")
    assert names(tmp_path) == ["ns_web_other"]


def test_folders_are_found_by_uid(tmp_path: Path, folder: Path) -> None:
    """What is no instance's folder is not looked at; no folder at all is no error."""
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "a_b_c").write_text("a file")
    assert LogFiles(tmp_path).folders() == {"uid": folder.parent}
    assert LogFiles(tmp_path / "nothing").folders() == {}


def test_a_pass_survives_instances_that_go_meanwhile(tmp_path: Path) -> None:
    """Folders vanish between being listed and being looked into; and no rotated copy keeps one of them there."""
    folders = [tmp_path / f"default_web{number}_uid{number}" / "main" for number in range(200)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "0.log").write_bytes(b"x" * 20)
    logs = LogFiles(tmp_path, max_bytes=10)

    async def remove_all() -> None:
        for number in range(len(folders)):
            await logs.remove("default", f"web{number}", f"uid{number}")

    remover = threading.Thread(target=asyncio.run, args=[remove_all()])
    remover.start()
    while remover.is_alive():
        logs.rotate()
    remover.join()
    assert list(tmp_path.iterdir()) == []
