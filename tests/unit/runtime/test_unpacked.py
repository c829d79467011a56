"""Layers against what they were unpacked to."""

import gzip
import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from controller.runtime.containerd.api.snapshots_pb2 import COMMITTED, Info
from controller.runtime.containerd.image.layers import on_top_of
from controller.runtime.containerd.image.unpacked import comparable, differences

Entries = Iterable[tuple[str, bytes | str | None]]
"""Paths with content, the target of a link, or None for a folder."""


def layer(*entries: tuple[str, bytes | str | None], compressed: bool = True) -> "io.BufferedReader[io.BytesIO]":
    """A layer as a registry sends it, with its entries in this order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, entry in entries:
            info = tarfile.TarInfo(path)
            if entry is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(entry, str):
                info.type, info.linkname = tarfile.SYMTYPE, entry
            else:
                info.size = len(entry)
            archive.addfile(info, io.BytesIO(entry) if isinstance(entry, bytes) else None)
    data = buffer.getvalue()
    return io.BufferedReader(io.BytesIO(gzip.compress(data) if compressed else data))


TREE: tuple[tuple[str, bytes | str | None], ...] = (
    ("./", None),
    ("usr/bin", None),
    ("usr/bin/tool", b"tool" * 1000),
    ("bin", "usr/bin"),
    ("bin/other", b"by way of a link"),
    ("etc/./empty", b""),
    ("etc/.wh.gone", b""),
)


def unpack(folder: Path) -> None:
    """What becomes of it."""
    (folder / "usr/bin").mkdir(parents=True)
    (folder / "etc").mkdir()
    (folder / "usr/bin/tool").write_bytes(b"tool" * 1000)
    (folder / "bin").symlink_to("usr/bin")
    (folder / "usr/bin/other").write_bytes(b"by way of a link")
    (folder / "etc/empty").touch()


@pytest.mark.parametrize("compressed", [True, False])
def test_what_is_whole(tmp_path: Path, compressed: bool) -> None:  # noqa: FBT001
    """Compressed or not, by way of links, and whiteouts are nobody's files."""
    unpack(tmp_path)
    assert differences(layer(*TREE, compressed=compressed), str(tmp_path)) == {}


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _changed(path: Path) -> None:
    path.write_bytes(b"fool" + path.read_bytes()[4:])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "is missing"),
        (_emptied, "is 0 bytes long in place of 4000"),
        (_changed, "has another content"),
        (_folder, "is of another kind"),
    ],
)
def test_what_is_damaged(tmp_path: Path, change: Callable[[Path], object], said: str) -> None:
    """Told of the file that it is, and of no other."""
    unpack(tmp_path)
    change(tmp_path / "usr/bin/tool")
    found = differences(layer(*TREE), str(tmp_path))
    assert list(found) == ["usr/bin/tool"]
    assert said in found["usr/bin/tool"]


def test_a_folder_in_the_way_that_is_gone(tmp_path: Path) -> None:
    """All below it is missing."""
    unpack(tmp_path)
    (tmp_path / "bin").unlink()
    assert differences(layer(*TREE), str(tmp_path)) == {"bin": "is missing", "bin/other": "is missing"}


def test_the_later_of_two_entries_counts(tmp_path: Path) -> None:
    """Also where that takes away what was below the earlier one."""
    (tmp_path / "file").write_bytes(b"later")
    (tmp_path / "was-folder").write_bytes(b"x")
    twice = layer(("file", b"first"), ("was-folder/below", b"y"), ("file", b"later"), ("was-folder", b"x"))
    assert differences(twice, str(tmp_path)) == {}


@pytest.mark.parametrize("target", ["/etc", "../../../../../../../../../../etc", "loop"])
def test_no_link_leads_out_of_the_folder(tmp_path: Path, target: str) -> None:
    """Not to the node's own files, and not for ever in a circle."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "way").symlink_to(target)
    found = differences(layer(("way/passwd", Path("/etc/passwd").read_bytes())), str(tmp_path))
    assert found == {"way/passwd": "is missing"}


def test_links_are_followed_within_the_folder(tmp_path: Path) -> None:
    """With the folder as their root."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_bytes(b"x")
    (tmp_path / "way").symlink_to("/../a/b/../b")
    assert differences(layer(("way/file", b"x")), str(tmp_path)) == {}


def test_zstd_is_known_and_not_read() -> None:
    """Nothing here can decompress it."""
    assert not comparable(io.BufferedReader(io.BytesIO(b"\x28\xb5\x2f\xfd\x00")))
    assert comparable(layer(*TREE))


def test_what_lies_on_a_layer_goes_before_it() -> None:
    """All of it, whoever's it is, and nothing else."""
    snapshots = {"base": "", "left": "base", "right": "base", "c1": "right", "other": "", "c2": "other"}
    found = {name: Info(name=name, parent=parent, kind=COMMITTED) for name, parent in snapshots.items()}
    going = on_top_of(["right", "base", "not there"], found)
    assert sorted(going) == ["base", "c1", "left", "right"]
    assert all(
        going.index(name) < going.index(parent) for name, parent in snapshots.items() if parent in going and name in going
    )
    assert on_top_of(["c2"], found) == ("c2",)
