"""How the files of an image are mounted for a volume."""

from controller.agent.volumes.images import MOST_OPTIONS, options

ROOT = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"


def given(layers: int) -> tuple[str, str]:
    """The options for so many layers, and the folder from which they are named."""
    return options(["index=off", "ro", "lowerdir=" + ":".join(f"{ROOT}/{number}/fs" for number in range(1, layers + 1))])


def test_a_few_layers_are_named_as_they_are() -> None:
    """With their whole paths; access is a flag, and no option."""
    assert given(2) == (f"index=off,lowerdir={ROOT}/1/fs:{ROOT}/2/fs", "")


def test_many_layers_are_named_from_where_they_are() -> None:
    """mount(2) takes one page of options, which 127 layers would exceed with their whole paths."""
    text, folder = given(127)
    assert folder == ROOT
    assert text.startswith("index=off,lowerdir=1/fs:2/fs:")
    assert len(text) <= MOST_OPTIONS
