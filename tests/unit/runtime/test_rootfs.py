"""Files of an image are read from its layers, and nothing else is."""

import os
from pathlib import Path

import pytest

from controller.runtime.containerd.api.types_pb2 import Mount
from controller.runtime.containerd.image.rootfs import layer_folders, read_file
from controller.runtime.port import InvalidConfig, Unsupported

LIMIT = 100


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path]:
    """An upper and a lower layer; the lower one has /etc/passwd."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    (upper / "etc").mkdir(parents=True)
    (lower / "etc").mkdir(parents=True)
    (lower / "etc" / "passwd").write_text("lower")
    (tmp_path / "secret").write_text("secret of the node")
    return upper, lower


def read(layers: tuple[Path, Path], path: str = "/etc/passwd") -> bytes | None:
    """Read from both."""
    return read_file([str(layer) for layer in layers], path, LIMIT)


def test_the_topmost_layer_wins(layers: tuple[Path, Path]) -> None:
    """And what it does not have comes from below."""
    assert read(layers) == b"lower"
    (layers[0] / "etc" / "passwd").write_text("upper")
    assert read(layers) == b"upper"


def test_what_is_not_there(layers: tuple[Path, Path]) -> None:
    """No file, no folder, a folder in place of a file."""
    for path in ("/etc/group", "/none/passwd", "/etc", "/etc/passwd/x"):
        assert read(layers, path) is None


def test_a_deleted_file_is_gone(layers: tuple[Path, Path]) -> None:
    """Whether itself or its folder was deleted."""
    os.mknod(layers[0] / "etc" / "passwd", 0o600 | 0o020000, os.makedev(0, 0))
    assert read(layers) is None
    (layers[0] / "etc" / "passwd").unlink()
    (layers[0] / "etc").rmdir()
    os.mknod(layers[0] / "etc", 0o600 | 0o020000, os.makedev(0, 0))
    assert read(layers) is None


def test_an_opaque_folder_hides_what_is_below(layers: tuple[Path, Path]) -> None:
    """Also deeper down."""
    (layers[1] / "etc" / "deep").mkdir()
    (layers[1] / "etc" / "deep" / "file").write_text("x")
    assert read(layers, "/etc/deep/file") == b"x"
    os.setxattr(layers[0] / "etc", "trusted.overlay.opaque", b"y")
    assert read(layers) is None
    assert read(layers, "/etc/deep/file") is None


def test_a_folder_in_place_of_a_file_hides_it(layers: tuple[Path, Path]) -> None:
    """They are not merged."""
    (layers[1] / "thing").write_text("file")
    (layers[0] / "thing").mkdir()
    assert read(layers, "/thing/x") is None


@pytest.mark.parametrize("target", ["/usr/passwd", "../usr/passwd", "/usr/../../../usr/passwd", "//usr/./passwd"])
def test_links_stay_within_the_image(layers: tuple[Path, Path], target: str) -> None:
    """Absolute or relative, over layers, never above the root."""
    (layers[1] / "usr").mkdir()
    (layers[1] / "usr" / "passwd").write_text("linked")
    (layers[0] / "etc" / "passwd").symlink_to(target)
    assert read(layers) == b"linked"


def test_no_link_leads_out(layers: tuple[Path, Path], tmp_path: Path) -> None:
    """Neither of a file nor of a folder."""
    (layers[0] / "etc" / "passwd").symlink_to(tmp_path / "secret")
    (layers[0] / "etc" / "group").symlink_to("../../secret")
    (layers[0] / "out").symlink_to(tmp_path)
    for path in ("/etc/passwd", "/etc/group", "/out/secret", "/../secret"):
        assert read(layers, path) is None


def test_linked_folders_are_followed(layers: tuple[Path, Path]) -> None:
    """/etc itself may be a link, as on some distributions."""
    (layers[0] / "etc").rmdir()
    (layers[0] / "etc").symlink_to("private/etc")
    (layers[1] / "private" / "etc").mkdir(parents=True)
    (layers[1] / "private" / "etc" / "passwd").write_text("private")
    assert read(layers) == b"private"


def test_links_in_a_circle_end(layers: tuple[Path, Path]) -> None:
    """With an error that says so."""
    (layers[0] / "etc" / "passwd").symlink_to("passwd")
    with pytest.raises(InvalidConfig, match="links"):
        read(layers)


def test_a_pipe_is_not_read(layers: tuple[Path, Path]) -> None:
    """It would block for ever."""
    os.mkfifo(layers[0] / "etc" / "passwd")
    assert read(layers) is None


def test_a_file_that_is_too_large(layers: tuple[Path, Path]) -> None:
    """An image cannot fill the memory of the node's agent."""
    (layers[0] / "etc" / "passwd").write_text("x" * (LIMIT + 1))
    with pytest.raises(InvalidConfig, match="larger"):
        read(layers)


def test_layers_of_mounts() -> None:
    """As overlayfs has them in its options; a single layer is a bind mount."""
    assert layer_folders([Mount(type="bind", source="/a", options=["ro"])]) == ["/a"]
    overlay = Mount(type="overlay", options=["index=off", "lowerdir=/b:/c\\:d:/e"])
    assert layer_folders([overlay]) == ["/b", "/c:d", "/e"]
    with pytest.raises(Unsupported):
        layer_folders([Mount(type="erofs")])
