"""Files of configMap, secret, downwardAPI and projected volumes: replaced all at once, and only when something changed."""

import os
import stat
import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.decide.volumes.wanted import VolumeFailure
from controller.agent.volumes.files import DATA, write, written


@dataclass(frozen=True)
class Text:
    """A file."""

    content: bytes
    mode: int = 0o644
    owner: int | None = None


def visible(folder: Path) -> dict[str, bytes]:
    """What a container finds, by path."""
    return {
        str(Path(at, name).relative_to(folder)): Path(at, name).read_bytes()
        for at, _, names in os.walk(folder, followlinks=True)
        for name in names
        if not str(Path(at).relative_to(folder)).startswith("..")
    }


FILES = st.dictionaries(
    st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h", ".hidden", ".x.y"]),
    st.builds(Text, st.binary(max_size=20), st.sampled_from([0o644, 0o400, 0o755])),
    max_size=6,
)


@given(st.lists(FILES, min_size=1, max_size=5))
def test_any_history_ends_with_what_was_written_last(history: list[dict[str, Text]]) -> None:
    """Names, contents and modes; nothing else is left, neither to be seen nor hidden; writing again changes nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for files in history:
            write(name, files)
            assert visible(folder) == {path: file.content for path, file in files.items()}
            modes = {path: stat.S_IMODE((folder / path).stat().st_mode) for path in files}
            assert modes == {path: file.mode for path, file in files.items()}
            assert not write(name, files)
            hidden = {p.name for p in folder.iterdir() if p.name.startswith("..")}
            assert hidden == {DATA, str((folder / DATA).readlink())}


def test_names_are_links_through_one_that_is_replaced(tmp_path: Path) -> None:
    """So one rename(2) changes all files; the folder before goes, and one that did not change is not touched."""
    write(str(tmp_path), {"a": Text(b"1"), "c/d": Text(b"2")})
    assert str((tmp_path / "a").readlink()) == "..data/a"
    assert str((tmp_path / "c").readlink()) == "..data/c"
    before = (tmp_path / DATA).readlink()
    assert write(str(tmp_path), {"a": Text(b"1"), "c/d": Text(b"3")})
    assert (tmp_path / DATA).readlink() != before
    assert not (tmp_path / before).exists()
    kept = (tmp_path / "a").stat().st_ino
    assert not write(str(tmp_path), {"a": Text(b"1"), "c/d": Text(b"3")})
    assert (tmp_path / "a").stat().st_ino == kept
    assert write(str(tmp_path), {"a": Text(b"1", 0o600), "c/d": Text(b"3")}), "a mode is a change, too"


def test_a_file_may_belong_to_somebody(tmp_path: Path) -> None:
    """With the name that people see; a change of that is one like any other. Only root can give files away."""
    mine = os.geteuid()
    other = 1234 if mine == 0 else mine
    write(str(tmp_path), {"c/d": Text(b"2", 0o600, other), "a": Text(b"1")})
    assert [(tmp_path / path).stat().st_uid for path in ("c/d", "a")] == [other, mine]
    assert [(tmp_path / path).lstat().st_uid for path in ("c", "a")] == [other, mine]
    assert not write(str(tmp_path), {"c/d": Text(b"2", 0o600, other), "a": Text(b"1")})
    assert write(str(tmp_path), {"c/d": Text(b"2", 0o600), "a": Text(b"1")}) == (other != mine)
    assert (tmp_path / "c/d").stat().st_uid == mine


def test_a_reader_never_meets_half_of_a_change(tmp_path: Path) -> None:
    """Two files that are always written alike are always read alike, by one who holds the folder that `..data` leads to."""
    folder, over = str(tmp_path), threading.Event()
    write(folder, {"a": Text(b"0"), "b": Text(b"0")})
    seen: set[tuple[bytes, bytes]] = set()

    def read() -> None:
        while not over.is_set():
            with suppress(FileNotFoundError), ExitStack() as stack:  # one that is replaced is removed soon after
                held = os.open(f"{folder}/{DATA}", os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, held)
                files = [stack.enter_context(os.fdopen(os.open(name, os.O_RDONLY, dir_fd=held), "rb")) for name in ("a", "b")]
                seen.add((files[0].read(), files[1].read()))

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(1, 200):
        write(folder, {"a": Text(b"%d" % number), "b": Text(b"%d" % number)})
    over.set()
    thread.join()
    assert seen
    assert all(one == other for one, other in seen)


def test_what_an_interrupted_writer_left_is_removed(tmp_path: Path) -> None:
    """A folder that never came into force, a link that was not renamed, and a folder that a subPath made of a name."""
    write(str(tmp_path), {"a": Text(b"1")})
    (tmp_path / "..2020_01_01_00_00_00.000000000").mkdir()
    (tmp_path / "..data_tmp").symlink_to("..2020_01_01_00_00_00.000000000")
    (tmp_path / "b" / "below").mkdir(parents=True)
    assert write(str(tmp_path), {"b": Text(b"2")})
    assert visible(tmp_path) == {"b": b"2"}
    assert len(list(tmp_path.iterdir())) == 3
    (tmp_path / DATA).unlink()
    assert not written(str(tmp_path))
    assert write(str(tmp_path), {"b": Text(b"2")})
    assert written(str(tmp_path))


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", "..a", "..data", "a//b", "a/.", "a\0b"])
def test_a_path_that_is_none_is_refused(tmp_path: Path, path: str) -> None:
    """Whoever gives the paths: nothing is ever written beside a volume, or in place of what makes it work."""
    with pytest.raises(VolumeFailure):
        write(str(tmp_path), {"fine": Text(b""), path: Text(b"")})
    assert list(tmp_path.iterdir()) == []
