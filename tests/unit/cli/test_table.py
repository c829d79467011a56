"""Tables."""

import pytest

from controller.cli.table import Narrowing, table

HEADER = ["NAME", "IMAGE", "PID"]
ROWS = [["web", "registry.test/team/web:1", "12"], ["a-longer-name", "busybox", "3"]]
NARROWING = Narrowing(cut="IMAGE", least=6, drop=("PID", "IMAGE"))


def lines(width: int | None) -> list[str]:
    """The table as it is printed."""
    return ["  ".join(line) for line in table(HEADER, ROWS, width, NARROWING)]


def test_without_a_width_nothing_is_cut() -> None:
    """What goes into a pipe is complete."""
    assert lines(None) == [
        "NAME           IMAGE                     PID",
        "web            registry.test/team/web:1  12",
        "a-longer-name  busybox                   3",
    ]


def test_the_image_is_cut_first_and_keeps_its_end() -> None:
    """In a narrow terminal the image loses its beginning before anything else is touched."""
    assert lines(34) == [
        "NAME           IMAGE           PID",
        "web            …st/team/web:1  12",
        "a-longer-name  busybox         3",
    ]


def test_columns_are_left_out_before_names_are_cut() -> None:
    """When a shortened image is not enough, whole columns go."""
    assert lines(24) == ["NAME           IMAGE", "web            …web:1", "a-longer-name  …sybox"]
    assert lines(13) == ["NAME", "web", "a-longer-name"]


@pytest.mark.parametrize("width", range(1, 60))
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    """Whatever the width, no line wraps."""
    assert max(map(len, lines(width))) <= width
