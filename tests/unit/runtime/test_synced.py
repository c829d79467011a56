"""What a loss of power may have taken a part of."""

import pytest

from controller.runtime.containerd.api.snapshots_pb2 import ACTIVE, COMMITTED, Info
from controller.runtime.containerd.image.synced import doubtful

BOOT = 1000.0


def snapshot(name: str, parent: str = "", *, old: bool = True, committed: bool = True) -> Info:
    """One of an earlier boot, or of this one."""
    info = Info(name=name, parent=parent, kind=COMMITTED if committed else ACTIVE)
    info.created_at.FromSeconds(900 if old else 1100)
    return info


BASE, TOP, OTHER = snapshot("base"), snapshot("top", "base"), snapshot("other", "base")


@pytest.mark.parametrize(
    ("found", "tops", "wanted"),
    [
        ([], [], set()),
        ([BASE, TOP], ["top"], set()),
        ([BASE, TOP], [], {"base", "top"}),
        ([BASE, TOP, OTHER], ["other", "not there", ""], {"top"}),
        ([BASE, snapshot("top", "base", old=False)], [], set()),
        ([snapshot("base", old=False), TOP], [], {"top"}),
        ([BASE, TOP, snapshot("container", "top", committed=False)], [], set()),
        ([BASE, TOP, OTHER, snapshot("container", "top", committed=False)], [], {"other"}),
    ],
    ids=[
        "nothing there",
        "of an image that was synced",
        "of none",
        "some layers of one that was",
        "what lies under this boot's is used",
        "this boot's own is kept",
        "what a container uses is kept",
        "and only that",
    ],
)
def test_what_is_unpacked_anew(found: list[Info], tops: list[str], wanted: set[str]) -> None:
    """What an earlier boot has unpacked, and no image that was synced has; never what somebody uses."""
    assert set(doubtful({info.name: info for info in found}, tops, BOOT)) == wanted


def test_layers_go_from_the_top() -> None:
    """Containerd removes none that another lies on."""
    assert doubtful({info.name: info for info in (BASE, TOP)}, [], BOOT) == ("top", "base")
